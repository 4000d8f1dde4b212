"""Distillation: a constrained network learns to answer as its float network does, from questions without labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from .student import Student, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..constrained import ConstrainedNetwork
    from .settings import DistilSettings
    from .student import Way

__all__ = ["distil"]

_GRADIENT_BOUND: Final = 1.0
_LENGTH_NOISE: Final = 2.5
_EVERY_WORD: Final = 0.3

def distil(
    start: ConstrainedNetwork,
    embedding: NDArray[np.float64],
    questions: Sequence[NDArray[np.int64]],
    logits: Callable[[list[NDArray[np.int64]]], NDArray[np.float64]],
    settings: DistilSettings,
    labels: NDArray[np.int64] | None = None,
    log=None,
) -> ConstrainedNetwork:
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    student = Student(start, embedding)
    own = {id(p) for p in (student.log_scale, student.log_head_scale)}
    optimiser = torch.optim.Adam(student.parameters(), lr=settings.rate)
    for way, epochs, rate in (
        ("integer", settings.epochs, settings.rate),
        ("spiking", settings.spiking_epochs, settings.spiking_rate),
    ):
        mean = None
        total = epochs * math.ceil(len(questions) / settings.batch)
        done = 0
        for epoch in range(epochs):
            texts = changed(questions, len(start.rows), settings, rng)
            targets = torch.from_numpy(_softmax(logits(texts))).float()  # [questions, steps, classes]
            if labels is not None:
                hard = functional.one_hot(torch.from_numpy(labels), targets.shape[2])[:, None]
                targets = (1 - settings.label_weight) * targets + settings.label_weight * hard
            lengths = np.array([len(t) for t in texts])
            run = 0.0
            for chosen in batches(lengths, settings.batch, rng):
                for group in optimiser.param_groups:
                    warm = min(1.0, (done + 1) / 50)
                    group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * done / total))
                ids, alive = pack([texts[i] for i in chosen], start.direction)
                got = functional.log_softmax(student(ids, alive, way), dim=2)
                wanted = aligned(targets[chosen], lengths[chosen], len(ids))
                every = functional.kl_div(got, wanted, reduction="none").sum(dim=2) * alive
                last = every[-1].mean()
                loss = last + settings.every * every.sum() / alive.sum()
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(student.parameters(), _GRADIENT_BOUND)
                optimiser.step()
                run += float(last.detach()) * len(chosen)
                done += 1
                if way == "spiking":
                    if mean is None:
                        mean = [p.detach().clone() for p in student.parameters()]
                    for m, p in zip(mean, student.parameters(), strict=True):
                        m.lerp_(p.detach(), 1 - settings.average)
            if log:
                log(way, epoch, run / len(texts), student)
        if mean is not None:
            with torch.no_grad():
                for m, p in zip(mean, student.parameters(), strict=True):
                    p.copy_(m)
    return student.constrained(embedding)


def aligned(targets: torch.Tensor, lengths, steps: int) -> torch.Tensor:
    """Lay answers after every word out as `pack` does: all ending in the last step."""
    place = torch.arange(steps)[:, None] - (steps - torch.from_numpy(lengths))[None]
    return targets[torch.arange(len(targets))[None], place.clamp(min=0)]


def changed(questions, vocabulary, settings, rng):
    everything = np.concatenate(questions)
    lengths = [len(q) for q in questions]
    share = np.where(rng.random(len(questions)) < settings.replaced, settings.share, 0.0)
    hit = rng.random(len(everything)) < np.repeat(share, lengths)
    other = rng.choice(everything, len(everything))
    anything = rng.integers(0, vocabulary, len(everything))
    other = np.where(rng.random(len(everything)) < _EVERY_WORD, anything, other)
    words = np.where(hit, other, everything)
    return list(np.split(words, np.cumsum(lengths)[:-1]))


def batches(lengths, size, rng):
    order = np.argsort(lengths + rng.uniform(0, _LENGTH_NOISE, len(lengths)))
    dealt = [order[i : i + size] for i in range(0, len(order), size)]
    for i in rng.permutation(len(dealt)):
        yield dealt[i]


def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
