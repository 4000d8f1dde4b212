"""One training of a distillation: a constrained network learns to answer as its float network does.

Distillation is that of Hinton, Vinyals and Dean 2015.  The teacher, the float network, answers after every word and not
only after the last, so that the student learns the meaning of a sentence's beginning from its beginning.  The
calibration questions, with words replaced at random, are the only training data; they need no labels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from ...network.constrained import OPPOSITE
from .questions import batches, pack, replace_words
from .student import Student

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ...network.constrained import ConstrainedNetwork
    from ...network.elman import ElmanNetwork
    from .settings import DistilSettings
    from .student import Mode

    Teacher = Callable[[list[NDArray[np.int64]]], NDArray[np.float64]]

__all__ = ["train_student"]

_WARM_UP: Final = 50  # steps over which the learning rate rises
_GRADIENT_BOUND: Final = 1.0


def train_student(
    start: ConstrainedNetwork,
    mode: Mode,
    network: ElmanNetwork,
    questions: Sequence[NDArray[np.int64]],
    settings: DistilSettings,
    *,
    labels: NDArray[np.int64] | None = None,
    floor: float = 0.0,
    on_pass: Callable[[], None] = lambda: None,
) -> ConstrainedNetwork:
    """Train a constrained network to answer as its float network does.

    Parameters
    ----------
    start
        The constrained network that training starts from.
    mode
        `integer`: train the rounded network; `spiking`: train with the spikes in the loop.
    network
        The float network: the teacher.
    questions
        Calibration questions as word ids, each at least one word.
    settings
        Schedule and seed; equal ones give equal networks.
    labels
        int64 (questions,): true labels to learn as well; None: learn the teacher's answers only.
    floor
        Lowest potential of the hidden neurons, in thresholds.
    on_pass
        Called after every pass over the questions.

    """
    student = Student(start, network.embedding, floor)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, sums in another order would give another network
    try:
        _fit(student, mode, questions, network.logits_after_each_word, settings, labels, on_pass)
    finally:
        torch.set_num_threads(threads)
    return student.constrained(network.embedding)


def _fit(
    student: Student,
    mode: Mode,
    questions: Sequence[NDArray[np.int64]],
    teacher: Teacher,
    settings: DistilSettings,
    labels: NDArray[np.int64] | None,
    on_pass: Callable[[], None],
) -> None:
    """Train a student in place; its final parameters are the running mean of all steps."""
    spiking = mode == "spiking"
    epochs = settings.spiking_epochs if spiking else settings.passes(len(questions))
    rate = settings.spiking_rate if spiking else settings.rate
    rng = np.random.default_rng([settings.seed, spiking])  # the two modes draw different numbers
    optimiser = _optimiser(
        student, settings.spiking_code_factor if spiking else settings.code_factor
    )
    mean = [p.detach().clone() for p in student.parameters()]
    total = epochs * math.ceil(len(questions) / settings.batch)
    done = 0
    for _ in range(epochs):
        texts = replace_words(questions, len(student.rows), settings, rng)
        # the teacher answers the changed questions, so the targets are right for them
        lengths = np.array([len(t) for t in texts])
        targets = _targets(teacher(texts), labels, lengths, settings)
        for chosen in batches(lengths, settings.batch, rng):
            _set_rate(optimiser, rate, done, total)
            ids, alive = pack([texts[i] for i in chosen], student.start.direction)
            ends = None
            if student.start.backward_lines:
                ends, _ = pack([texts[i] for i in chosen], OPPOSITE[student.start.direction])
            wanted = _aligned(targets[chosen], lengths[chosen], len(ids))
            loss = _loss(student(ids, alive, mode, ends), wanted, alive, settings.every)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(student.parameters(), _GRADIENT_BOUND)
            optimiser.step()
            student.bound()  # a step may leave the range that the chip can express
            done += 1
            # Polyak averaging, which evens out the noise of single steps
            with torch.no_grad():
                for m, p in zip(mean, student.parameters(), strict=True):
                    m.lerp_(p, 1 - settings.average)
        on_pass()
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
    """Return the teacher's probabilities [questions, steps, classes], mixed with the true labels at the last word."""
    targets = functional.softmax(torch.from_numpy(logits).float(), dim=2)
    if labels is not None:
        rows, last = torch.arange(len(labels)), torch.from_numpy(lengths - 1)
        hard = functional.one_hot(torch.from_numpy(labels), targets.shape[2])
        share = settings.label_share
        targets[rows, last] = (1 - share) * targets[rows, last] + share * hard
    return targets


def _aligned(targets: torch.Tensor, lengths: NDArray[np.int64], steps: int) -> torch.Tensor:
    """Lay out answers after every word as `pack` does: [steps, questions, classes], all ending in the last step."""
    place = torch.arange(steps)[:, None] - (steps - torch.from_numpy(lengths))[None]
    # rows before a question's first word repeat its first answer; `_loss` masks them by `alive`
    return targets[torch.arange(len(targets))[None], place.clamp(min=0)]


def _loss(
    logits: torch.Tensor, wanted: torch.Tensor, alive: torch.Tensor, every: float
) -> torch.Tensor:
    """Return the divergence from the teacher after the last word, plus `every` times its mean over all words."""
    got = functional.log_softmax(logits, dim=2)
    # kl_div(log p, q) is KL(q || p): the student p must cover every class to which the teacher q gives a probability.
    # Questions end in the last step, so row -1 is the answer after the last word of each.
    divergence = functional.kl_div(got, wanted, reduction="none").sum(dim=2) * alive
    return divergence[-1].mean() + every * divergence.sum() / alive.sum()
