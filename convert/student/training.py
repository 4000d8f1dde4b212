"""Train a student by back-propagation through time: first on the core's grids, then with its spikes in the loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ..constraining.distil.questions import batches, pack
from .network import divergence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .lessons import Lesson
    from .network import StudentNet, Way
    from .settings import StudentSettings

__all__ = ["agreement", "answers", "fit"]

_WARM_UP: Final = 100  # steps over which the learning rate rises
_GRADIENT_BOUND: Final = 1.0
_AT_ONCE: Final = 250  # questions in a batch of answers


def fit(
    net: StudentNet,
    taught: Sequence[Lesson],
    way: Way,
    passes: int,
    settings: StudentSettings,
    rng: np.random.Generator,
    on_pass: Callable[[], None] = lambda: None,
) -> None:
    """Train a student in place; its final parameters are the running mean of all steps.

    Parameters
    ----------
    net
        The student.
    taught
        The versions of the questions; each pass reads one, and all are read before one is read again.
    way, passes
        How activities are computed, and number of passes.
    settings
        Rates, weights of the loss, size of a batch.
    rng
        Random source of the order.
    on_pass
        Called after every pass.

    """
    peak = settings.rate if way == "integer" else settings.spiking_rate
    optimiser = _optimiser(net, settings)
    lengths = np.array([len(q) for q in taught[0].questions])
    total = passes * math.ceil(len(lengths) / settings.batch)
    mean = [p.detach().clone() for p in net.parameters()]
    done = 0
    order: list[int] = []
    for _ in range(passes):
        order = order or rng.permutation(len(taught)).tolist()
        lesson = taught[order.pop()]
        for chosen in batches(lengths, settings.batch, rng):
            _set_rate(optimiser, peak, done, total)
            loss = _loss(net, lesson, chosen, way, settings)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(net.parameters(), _GRADIENT_BOUND)
            optimiser.step()
            net.bound()
            done += 1
            # Polyak averaging; the first steps weigh less, so that the start is soon forgotten
            decay = min(settings.average, done / (done + 9))
            with torch.no_grad():
                for m, p in zip(mean, net.parameters(), strict=True):
                    m.lerp_(p, 1 - decay)
        on_pass()
    with torch.no_grad():
        for m, p in zip(mean, net.parameters(), strict=True):
            p.copy_(m)
    net.bound()


def _loss(
    net: StudentNet,
    lesson: Lesson,
    chosen: NDArray[np.intp],
    way: Way,
    settings: StudentSettings,
) -> torch.Tensor:
    questions = [lesson.questions[i] for i in chosen]
    logits = net(*pack(questions, net.shape.direction), way)
    read = torch.from_numpy(lesson.prefix[chosen])
    lengths = torch.tensor([len(q) for q in questions])
    # questions end in the last step, so the first words of one are read at a step of its own
    at = len(logits) - lengths + read - 1
    prefix = divergence(
        logits[at, torch.arange(len(chosen))], lesson.prefix_answers[torch.from_numpy(chosen)]
    )
    whole = divergence(logits[-1], lesson.answers[torch.from_numpy(chosen)])
    return (1 - settings.prefixes) * whole + settings.prefixes * prefix


def _optimiser(net: StudentNet, settings: StudentSettings) -> torch.optim.Optimizer:
    rest = [p for p in net.parameters() if p is not net.correction]
    return torch.optim.Adam(
        [
            {"params": rest, "factor": 1.0},
            {"params": [net.correction], "factor": settings.word_factor},
        ],
        fused=True,  # updates the corrections of a large vocabulary in one memory pass instead of five
    )


def _set_rate(optimiser: torch.optim.Optimizer, peak: float, done: int, total: int) -> None:
    # linear warm-up, then cosine decay to 0 (Loshchilov and Hutter 2017)
    warm = min(1.0, (done + 1) / _WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * done / total))
    for group in optimiser.param_groups:
        group["lr"] = group["factor"] * peak * warm * cosine


@torch.no_grad()
def answers(net: StudentNet, questions: Sequence[NDArray[np.int64]], way: Way) -> NDArray[np.int64]:
    """Return the class that the student gives each question, int64 (questions,)."""
    found = np.empty(len(questions), dtype=np.int64)
    order = np.argsort([len(q) for q in questions], kind="stable")
    for start in range(0, len(order), _AT_ONCE):
        chosen = order[start : start + _AT_ONCE]
        ids, alive = pack([questions[i] for i in chosen], net.shape.direction)
        found[chosen] = net(ids, alive, way)[-1].argmax(dim=1).numpy()
    return found


def agreement(
    net: StudentNet,
    questions: Sequence[NDArray[np.int64]],
    wanted: NDArray[np.int64],
    way: Way,
) -> float:
    """Return the share of questions to which the student gives the wanted class, 0..1."""
    return float((answers(net, questions, way) == wanted).mean())
