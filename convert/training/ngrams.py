"""A teacher without an order beyond three words: a linear model of the n-grams of a question.

Such models are as good on questions as recurrent networks trained on as few of them, err elsewhere, and
take seconds to train: a good fourth voice (Wang and Manning, Baselines and Bigrams, ACL 2012).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .corpus import batches, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from .corpus import Corpus

__all__ = ["NGramTeacher", "train_ngrams"]

_BUCKETS: Final = (
    1 << 18
)  # a TREC question has 30 n-grams; all of TREC's have 90,000 different ones
_FACTORS: Final = (1, 1_000_003, 31_337)  # of the words of an n-gram, the last read first
_KINDS: Final = (0, 17, 19, 5, 3)  # one, two and three words; first word; first two words
_LEFT_OUT: Final = 0.5
_WHOLE: Final = 0.7  # of the sum where nothing is left out: between half, as trained, and all
_RATE: Final = 2e-2
_SMOOTHING: Final = 0.05
_BATCH: Final = 256


class NGramTeacher(nn.Module):
    """Adds up what a question's n-grams speak for; n-grams share buckets by chance.

    Parameters
    ----------
    classes
        Outputs.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.votes = nn.EmbeddingBag(_BUCKETS, classes, mode="sum", padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.zeros_(self.votes.weight)

    def forward(self, ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Read packed questions (see `corpus.pack`); return the logits, [questions, classes]."""
        found = _ngrams(ids, alive)
        if self.training:
            found = torch.where(torch.rand(found.shape) < _LEFT_OUT, 0, found)
        total: torch.Tensor = self.votes(found)
        return total * (1.0 if self.training else _WHOLE) + self.bias


def train_ngrams(
    teacher: NGramTeacher,
    corpus: Corpus,
    epochs: int,
    generator: np.random.Generator,
    passed: Callable[[], None],
) -> None:
    """Train on the labels, in place; `passed` is called after every pass."""
    optimiser = torch.optim.Adam(teacher.parameters())
    steps = epochs * math.ceil(len(corpus) / _BATCH)
    labels = torch.from_numpy(corpus.labels)
    lengths = np.array([len(ids) for ids in corpus.ids])
    done = 0
    teacher.train()
    for _ in range(epochs):
        for chosen in batches(lengths, _BATCH, generator):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * (1 - done / steps)
            logits = teacher(*pack([corpus.ids[i] for i in chosen]))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=_SMOOTHING)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            done += 1
        passed()
    teacher.eval()


def _ngrams(ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
    """Find the buckets of all n-grams, int64 [questions, n-grams]; 0 where there is none."""
    words = torch.where(alive, ids + 1, 0)  # 0 is no word; the first word stands in the last row
    whole = functional.pad(words, (0, 0, 2, 0))  # so that the shortest question has three rows
    found = []
    for n, kind in enumerate(_KINDS[:3]):
        parts = [whole[n - i : len(whole) - i] * f for i, f in enumerate(_FACTORS[: n + 1])]
        bucket = (sum(parts[1:], parts[0]) + kind) % _BUCKETS
        found.append(torch.where(whole[: len(bucket)] > 0, bucket, 0))
    first, second = whole[-1:], whole[-2:-1]
    found.append((_FACTORS[2] * first + _KINDS[3]) % _BUCKETS)
    found.append((_FACTORS[1] * first + _FACTORS[2] * second + _KINDS[4]) % _BUCKETS)
    return torch.cat(found).t()
