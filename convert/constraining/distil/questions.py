"""Questions of a distillation: changed at random, dealt into batches, laid out for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from .settings import DistilSettings

__all__ = ["batches", "changed", "pack"]

_LENGTH_NOISE: Final = (
    2.5  # words; mixes neighbouring lengths, so that batches differ between passes
)
_ANY_WORD: Final = 0.3
"""Share of the replacing words that are any of the vocabulary: words that calibration never read get codes, too."""


def changed(
    questions: Sequence[NDArray[np.int64]],
    vocabulary: int,
    settings: DistilSettings,
    rng: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Replace some words of some questions: by words drawn as often as they occur, or by any of the vocabulary."""
    words = np.concatenate(questions)
    lengths = [len(q) for q in questions]
    share = np.where(rng.random(len(questions)) < settings.replaced, settings.share, 0.0)
    hit = rng.random(len(words)) < np.repeat(share, lengths)
    other = np.where(
        rng.random(len(words)) < _ANY_WORD,
        rng.integers(0, vocabulary, len(words)),
        rng.choice(words, len(words)),
    )
    return list(np.split(np.where(hit, other, words), np.cumsum(lengths)[:-1]))


def batches(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Deal questions of similar length into batches, in random order."""
    order = np.argsort(lengths + rng.uniform(0, _LENGTH_NOISE, len(lengths)))
    dealt = [order[i : i + size] for i in range(0, len(order), size)]
    for i in rng.permutation(len(dealt)):
        yield dealt[i]


def pack(
    questions: Sequence[NDArray[np.int64]], direction: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay questions out in the direction of reading, all ending in the last step.

    Returns
    -------
    ids, alive
        int64 and bool [steps, questions]: the words, zeros before them; and where there is a word.

    """
    longest = max(len(ids) for ids in questions)
    words = np.zeros((longest, len(questions)), dtype=np.int64)
    alive = np.zeros((longest, len(questions)), dtype=bool)
    for i, ids in enumerate(questions):
        words[longest - len(ids) :, i] = ids if direction == "forward" else ids[::-1]
        alive[longest - len(ids) :, i] = True
    return torch.from_numpy(words), torch.from_numpy(alive)
