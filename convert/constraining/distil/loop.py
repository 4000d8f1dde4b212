"""Distillation: a constrained network learns to answer as its float network does, from questions without labels.

The teacher is asked for its answer after every word, not after the last one alone: what a sentence's beginning means
is then learnt from its beginning.  Nothing but the calibration questions, changed at random, decides anything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from ...network.constrained import OPPOSITE
from .questions import batches, changed, pack
from .student import Student

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ...network.constrained import ConstrainedNetwork
    from ...network.elman import ElmanNetwork
    from .settings import DistilSettings
    from .student import Way

    Teacher = Callable[[list[NDArray[np.int64]]], NDArray[np.float64]]

__all__ = ["distil"]

_WARM_UP: Final = 50  # steps over which the learning rate rises
_GRADIENT_BOUND: Final = 1.0


def distil(
    start: ConstrainedNetwork,
    way: Way,
    network: ElmanNetwork,
    questions: Sequence[NDArray[np.int64]],
    settings: DistilSettings,
    *,
    labels: NDArray[np.int64] | None = None,
    floor: float = 0.0,
) -> ConstrainedNetwork:
    """Train a constrained network to answer as its float network does.

    Parameters
    ----------
    start
        The constrained network that training starts from.
    way
        `integer`, or `spiking`: with the spikes in the loop.
    network
        The float network: the teacher.
    questions
        Calibration questions as word ids, each at least one word.
    settings
        Schedule and seed; equal ones give equal networks.
    labels
        int64: true labels of the questions, where they may be used.
    floor
        Lowest potential of the hidden neurons, in thresholds.

    """
    student = Student(start, network.embedding, floor)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would give another network
    try:
        _fit(student, way, questions, network.every_logits, settings, labels)
    finally:
        torch.set_num_threads(threads)
    return student.constrained(network.embedding)


def _fit(
    student: Student,
    way: Way,
    questions: Sequence[NDArray[np.int64]],
    teacher: Teacher,
    settings: DistilSettings,
    labels: NDArray[np.int64] | None,
) -> None:
    """Train a student in place; it ends as the running mean of what it was."""
    spiking = way == "spiking"
    epochs = settings.spiking_epochs if spiking else settings.epochs
    rate = settings.spiking_rate if spiking else settings.rate
    rng = np.random.default_rng([settings.seed, spiking])
    optimiser = _optimiser(
        student, settings.spiking_code_factor if spiking else settings.code_factor
    )
    mean = [p.detach().clone() for p in student.parameters()]
    total = epochs * math.ceil(len(questions) / settings.batch)
    done = 0
    for _ in range(epochs):
        texts = changed(questions, len(student.rows), settings, rng)
        lengths = np.array([len(t) for t in texts])
        targets = _targets(teacher(texts), labels, lengths, settings)
        for chosen in batches(lengths, settings.batch, rng):
            _set_rate(optimiser, rate, done, total)
            ids, alive = pack([texts[i] for i in chosen], student.start.direction)
            ends = None
            if student.start.backward_lines:
                ends, _ = pack([texts[i] for i in chosen], OPPOSITE[student.start.direction])
            wanted = _aligned(targets[chosen], lengths[chosen], len(ids))
            loss = _loss(student(ids, alive, way, ends), wanted, alive, settings.every)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(student.parameters(), _GRADIENT_BOUND)
            optimiser.step()
            student.bound()
            done += 1
            with torch.no_grad():
                for m, p in zip(mean, student.parameters(), strict=True):
                    m.lerp_(p, 1 - settings.average)
    with torch.no_grad():
        for m, p in zip(mean, student.parameters(), strict=True):
            p.copy_(m)


def _optimiser(student: Student, code_factor: float) -> torch.optim.Optimizer:
    codes = [student.projection, student.origin]
    ids = {id(p) for p in codes}
    rest = [p for p in student.parameters() if id(p) not in ids]
    return torch.optim.Adam(
        [{"params": rest, "factor": 1.0}, {"params": codes, "factor": code_factor}]
    )


def _set_rate(optimiser: torch.optim.Optimizer, rate: float, done: int, total: int) -> None:
    warm = min(1.0, (done + 1) / _WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * done / total))
    for group in optimiser.param_groups:
        group["lr"] = group["factor"] * rate * warm * cosine


def _targets(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    lengths: NDArray[np.int64],
    settings: DistilSettings,
) -> torch.Tensor:
    """Make the teacher's probabilities [questions, steps, classes], with the true labels' share at the last word."""
    targets = functional.softmax(torch.from_numpy(logits).float(), dim=2)
    if labels is not None:
        rows, last = torch.arange(len(labels)), torch.from_numpy(lengths - 1)
        hard = functional.one_hot(torch.from_numpy(labels), targets.shape[2])
        share = settings.label_share
        targets[rows, last] = (1 - share) * targets[rows, last] + share * hard
    return targets


def _aligned(targets: torch.Tensor, lengths: NDArray[np.int64], steps: int) -> torch.Tensor:
    """Lay answers after every word out as `pack` does, [steps, questions, classes]: all ending in the last step."""
    place = torch.arange(steps)[:, None] - (steps - torch.from_numpy(lengths))[None]
    return targets[torch.arange(len(targets))[None], place.clamp(min=0)]


def _loss(
    logits: torch.Tensor, wanted: torch.Tensor, alive: torch.Tensor, every: float
) -> torch.Tensor:
    """Divergence from the teacher after the last word, and in a smaller part after every word."""
    got = functional.log_softmax(logits, dim=2)
    divergence = functional.kl_div(got, wanted, reduction="none").sum(dim=2) * alive
    return divergence[-1].mean() + every * divergence.sum() / alive.sum()
