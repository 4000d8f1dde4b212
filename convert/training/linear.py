"""Train the linear teacher, which adds up evidence from a question's n-grams and from its focus.

Trained on as few questions, linear models of the words, of the focus and of the kinds of thing that the focus
names are as good as recurrent networks, make other errors, and train in seconds (Huang, Thint and Qin, EMNLP
2008; Wang and Manning, Baselines and Bigrams, ACL 2012).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .corpus import batches, pack
from .focus import OPENINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..words.vectors import WordTable
    from .corpus import Corpus
    from .focus import Focus

__all__ = ["LinearTeacher", "train_linear"]

_BUCKETS: Final = 1 << 18  # TREC's questions have 100,000 different features
_FACTORS: Final = (
    1,
    1_000_003,
    31_337,
)  # hash factors of the words of an n-gram, from its last word on
_APART: Final = 100_003  # hash offset between kinds of features
_LEFT_OUT: Final = 0.5  # dropout of features and of the focus's vector
# Factor of the votes without dropout: between 0.5, their share in training, and 1
_WHOLE: Final = 0.7
_VECTOR_SCALE: Final = 0.1  # of table rows, so that one learning rate suits n-grams and vectors
_LONGEST: Final = 15  # words: lengths above are treated as equal
_FURTHEST: Final = 10  # words after the focus: distances above are treated as equal
_RATE: Final = 2e-2
_SMOOTHING: Final = 0.05
_BATCH: Final = 256


class LinearTeacher(nn.Module):
    """Add up the votes of n-grams (hashed into shared buckets), of the focus and of its vector.

    Parameters
    ----------
    table
        Vectors of the words, with WordNet's features if there are any.
    focus
        Finds the focus of a question.
    classes
        Number of classes.
    """

    rows: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, table: WordTable, focus: Focus, classes: int) -> None:
        super().__init__()
        self.focus = focus
        matrix = torch.from_numpy(table.matrix)
        self.register_buffer("rows", torch.from_numpy(table.rows).long())
        self.register_buffer("matrix", _VECTOR_SCALE * matrix / matrix.std().clamp(min=1e-6))
        self.votes = nn.EmbeddingBag(_BUCKETS, classes, mode="sum", padding_idx=0)
        self.vector = nn.Linear(OPENINGS * matrix.shape[1], classes)
        # Zero weights: features that training never sees then add nothing.
        nn.init.zeros_(self.votes.weight)
        nn.init.zeros_(self.vector.weight)
        nn.init.zeros_(self.vector.bias)

    def forward(self, ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Read packed questions (see `corpus.pack`); return the logits, [questions, classes]."""
        place, opening = self.focus.places(ids, alive), self.focus.openings(ids)
        word = ids[place, torch.arange(ids.shape[1])]
        found = torch.cat([_ngrams(ids, alive), _landmarks(ids, alive, place)], dim=1)
        if self.training:
            found = torch.where(torch.rand(found.shape) < _LEFT_OUT, 0, found)
        votes: torch.Tensor = self.votes(found)
        vector = self.matrix[self.rows[word]] * (place >= 0)[:, None]
        vector = functional.dropout(vector, _LEFT_OUT, self.training)
        # Each kind of question has its own weights: `What city` asks for a city, `Who is the king` not for a king.
        apart = functional.one_hot(opening, OPENINGS)[:, :, None] * vector[:, None]
        total: torch.Tensor = self.vector(apart.flatten(1))
        return total + votes * (1.0 if self.training else _WHOLE)


def train_linear(
    teacher: LinearTeacher,
    corpus: Corpus,
    epochs: int,
    generator: np.random.Generator,
    on_pass: Callable[[], None],
) -> None:
    """Train the teacher on the labels, in place; call `on_pass` after every pass."""
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
        on_pass()
    teacher.eval()


def _bucket(kind: int, *words: torch.Tensor) -> torch.Tensor:
    """Return the bucket of a feature: a hash of up to three word ids or small numbers, and of its kind.

    Bucket 0 means "no feature", so the few features whose hash is 0 are lost.
    """
    products = [word * factor for word, factor in zip(words, _FACTORS, strict=False)]
    return (sum(products[1:], products[0]) + kind * _APART) % _BUCKETS


def _ngrams(ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
    """Return the buckets of all n-grams of 1 to 3 words, int64 [questions, n-grams]; 0 is padding."""
    words = torch.where(alive, ids + 1, 0)  # 0 is padding; the first word is in the last row
    whole = functional.pad(words, (0, 0, 2, 0))  # so that the shortest question has three rows
    found = []
    for n in range(3):
        bucket = _bucket(n, *(whole[n - i : len(whole) - i] for i in range(n + 1)))
        found.append(torch.where(whole[: len(bucket)] > 0, bucket, 0))
    return torch.cat(found).t()


def _landmarks(ids: torch.Tensor, alive: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return the buckets of first and last words, length and focus, int64 [questions, features]."""
    words = torch.where(alive, ids + 1, 0)
    question = torch.arange(ids.shape[1])
    start = alive.int().argmax(dim=0)  # the row of the last word
    first, second, last = words[-1], words[-2:][0], words[start, question]
    length = (len(ids) - start).clamp(max=_LONGEST)
    behind = (place - start).clamp(max=_FURTHEST)
    focus = words[place, question]
    found = [
        _bucket(3, first),
        _bucket(4, first, second),
        _bucket(5, last),
        _bucket(6, length),
    ]
    of_focus = [_bucket(7, focus), _bucket(8, focus, first), _bucket(9, behind, first)]
    found += [torch.where(place >= 0, bucket, 0) for bucket in of_focus]
    return torch.stack(found, dim=1)
