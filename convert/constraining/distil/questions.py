"""Questions of a distillation: replace words at random, deal questions into batches, lay them out for reading."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from .settings import DistilSettings

__all__ = ["batches", "judging_questions", "pack", "replace_words"]

_LENGTH_NOISE: Final = 2.5
"""Words by which lengths vary at random before sorting, so that batches differ between passes."""

_ANY_WORD: Final = 0.3
"""Share of the replacing words drawn from the whole vocabulary, so that words absent from calibration get codes too."""


_JUDGES: Final = 1500
"""Least number of changed questions that judge a core: few calibration questions are changed several times."""


def judging_questions(
    questions: Sequence[NDArray[np.int64]], vocabulary: int, settings: DistilSettings
) -> list[NDArray[np.int64]]:
    """Return the questions, and changed versions of them that no pass reads, to judge cores by.

    A network learns the calibration questions by heart, and the float network may have been trained on them, so that
    every core answers nearly all of them as wanted.  The changed ones tell cores apart.
    """
    rng = np.random.default_rng([settings.seed, 2])  # the trainings' second number is 0 or 1
    versions = math.ceil(_JUDGES / len(questions))
    return list(questions) + replace_words(list(questions) * versions, vocabulary, settings, rng)


def replace_words(
    questions: Sequence[NDArray[np.int64]],
    vocabulary: int,
    settings: DistilSettings,
    rng: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Replace some words of some questions by words drawn from the questions or from the whole vocabulary."""
    words = np.concatenate(questions)
    lengths = [len(q) for q in questions]
    share = np.where(rng.random(len(questions)) < settings.replaced, settings.share, 0.0)
    hit = rng.random(len(words)) < np.repeat(share, lengths)
    # `rng.choice(words)` draws a word as often as it occurs
    other = np.where(
        rng.random(len(words)) < _ANY_WORD,
        rng.integers(0, vocabulary, len(words)),
        rng.choice(words, len(words)),
    )
    return list(np.split(np.where(hit, other, words), np.cumsum(lengths)[:-1]))


def batches(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Yield batches of questions of similar length in random order, as indices intp (size,)."""
    # sorting by length keeps padding short
    order = np.argsort(lengths + rng.uniform(0, _LENGTH_NOISE, len(lengths)))
    dealt = [order[i : i + size] for i in range(0, len(order), size)]
    for i in rng.permutation(len(dealt)):
        yield dealt[i]


def pack(
    questions: Sequence[NDArray[np.int64]], direction: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay questions out in the direction of reading, so that all end in the last step.

    Returns
    -------
    ids, alive
        int64 and bool [steps, questions]: word ids, with zeros before a question's first word; and whether there is a
        word.

    """
    longest = max(len(ids) for ids in questions)
    words = np.zeros((longest, len(questions)), dtype=np.int64)
    alive = np.zeros((longest, len(questions)), dtype=bool)
    for i, ids in enumerate(questions):
        words[longest - len(ids) :, i] = ids if direction == "forward" else ids[::-1]
        alive[longest - len(ids) :, i] = True
    return torch.from_numpy(words), torch.from_numpy(alive)
