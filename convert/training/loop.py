"""Train the student by back-propagation through time: first on the core's grids, then with its spikes in the loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from .corpus import batches, pack
from .teacher import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from .corpus import Corpus
    from .network import ElmanNet, Way
    from .settings import TrainingSettings

__all__ = ["accuracy", "fit"]

_WARM_UP: Final = 200  # steps over which the learning rate rises
_WEIGHT_DECAY: Final = 1e-4
# Learning rate of words' own corrections, relative to the others': few batches touch one, so it must learn faster.
_OWN_FACTOR: Final = 2.0
_GRADIENT_BOUND: Final = 1.0  # largest norm
_SMOOTHING: Final = 0.05  # of the labels, if no teacher supplies better targets
_AT_ONCE: Final = 250  # questions per batch of an evaluation


def fit(
    net: ElmanNet,
    corpus: Corpus,
    teachers: Sequence[nn.Module],
    settings: TrainingSettings,
    generator: np.random.Generator,
    on_pass: Callable[[], None],
) -> None:
    """Train the network in place, on a fixed schedule: nothing is selected on held-out data.

    Parameters
    ----------
    net
        The student.
    corpus
        The training part.
    teachers
        Trained teachers; if empty, the targets are the smoothed labels.
    settings
        Schedule and batch size.
    generator
        Random source of augmentation and order.
    on_pass
        Called after every pass.
    """
    optimiser = _optimiser(net)
    # The teachers' answers cost more than training the student, so all passes share a few versions of the texts.
    texts = [corpus.augmented(settings.replace, generator) for _ in range(settings.texts)]
    lessons = [
        (version, answers(teachers, version) if teachers else _smoothed(corpus, len(net.head)))
        for version in texts
    ]
    _stage(net, "integer", lessons, settings, generator, optimiser, None, on_pass)
    mean = _Mean(net, settings.average)
    _stage(net, "spiking", lessons, settings, generator, optimiser, mean, on_pass)
    if settings.spiking_epochs:
        mean.put(net)
    net.bound()
    net.eval()


@torch.no_grad()
def accuracy(net: ElmanNet, corpus: Corpus, way: Way) -> float:
    """Return the share of right answers, 0..1."""
    net.eval()
    order = np.argsort([len(ids) for ids in corpus.ids], kind="stable")
    right = 0
    for start in range(0, len(order), _AT_ONCE):
        chosen = order[start : start + _AT_ONCE]
        answer = net(*pack([corpus.ids[i] for i in chosen]), way).argmax(dim=1)
        right += int((answer.numpy() == corpus.labels[chosen]).sum())
    return right / len(corpus)


class _Mean:
    """Running mean of a network's parameters, which averages out the noise of the last steps."""

    def __init__(self, net: ElmanNet, decay: float) -> None:
        self._decay = decay
        self._values = [p.detach().clone() for p in net.parameters()]

    @torch.no_grad()
    def add(self, net: ElmanNet) -> None:
        for value, parameter in zip(self._values, net.parameters(), strict=True):
            value.lerp_(parameter, 1 - self._decay)

    @torch.no_grad()
    def put(self, net: ElmanNet) -> None:
        for value, parameter in zip(self._values, net.parameters(), strict=True):
            parameter.copy_(value)


def _optimiser(net: ElmanNet) -> torch.optim.Optimizer:
    own = [net.words.correction]
    scales = [net.log_scale, net.log_head_scale]
    special = {id(p) for p in own + scales}
    rest = [p for p in net.parameters() if id(p) not in special]
    return torch.optim.AdamW(
        [
            {"params": rest, "factor": 1.0, "weight_decay": _WEIGHT_DECAY},
            {"params": scales, "factor": 1.0, "weight_decay": 0.0},
            {"params": own, "factor": _OWN_FACTOR, "weight_decay": 0.0},
        ]
    )


def _stage(
    net: ElmanNet,
    way: Way,
    lessons: Sequence[tuple[Sequence[NDArray[np.int64]], torch.Tensor]],
    settings: TrainingSettings,
    generator: np.random.Generator,
    optimiser: torch.optim.Optimizer,
    mean: _Mean | None,
    on_pass: Callable[[], None],
) -> None:
    spiking = way == "spiking"
    epochs = settings.spiking_epochs if spiking else settings.epochs
    rate = settings.spiking_rate if spiking else settings.rate
    lengths = np.array([len(ids) for ids in lessons[0][0]])
    total = epochs * math.ceil(len(lengths) / settings.batch)
    done = 0
    net.train()
    for _ in range(epochs):
        texts, targets = lessons[int(generator.integers(len(lessons)))]  # one version per pass
        for chosen in batches(lengths, settings.batch, generator):
            _set_rate(optimiser, rate, done, total)
            logits = net(*pack([texts[i] for i in chosen]), way)
            loss = net.loss(logits, targets[chosen])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(net.parameters(), _GRADIENT_BOUND)
            optimiser.step()
            net.bound()  # projected gradient: a step may leave the range of the chip's leak
            if mean is not None:
                mean.add(net)
            done += 1
        on_pass()


def _set_rate(optimiser: torch.optim.Optimizer, rate: float, done: int, total: int) -> None:
    # Linear warm-up, then cosine decay to 0 (Loshchilov and Hutter 2017).
    warm = min(1.0, (done + 1) / _WARM_UP)
    cosine = 0.5 + 0.5 * math.cos(math.pi * done / total)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"] * warm * cosine


def _smoothed(corpus: Corpus, classes: int) -> torch.Tensor:
    hard = functional.one_hot(torch.from_numpy(corpus.labels), classes)
    return (1 - _SMOOTHING) * hard + _SMOOTHING / classes
