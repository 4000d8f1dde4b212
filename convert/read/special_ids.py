"""Find out what a model does to the word ids that its graph compares the words with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .inputs import InputLayout

    I64 = NDArray[np.int64]

SEQUENCES: Final = 16
"""Sequences that each of these ids is put into."""

LONGEST: Final = 9
"""Words of the longest of them, if the model takes questions of any length."""

AT_THE_END: Final = "which the model takes for padding at the end of a question only"
"""What a model that counts the words before padding does to the padding's id."""

IN_ITS_OWN_WAY: Final = "which the model treats in a way of its own"
"""What a model does to an id that is neither a word to it nor padding."""


def find_special_ids(
    layout: InputLayout,
    compared: Sequence[int],
    words: I64,
    agrees: Callable[[list[I64], list[I64]], bool],
    rng: np.random.Generator,
) -> tuple[frozenset[int], dict[int, str]]:
    """Put each id at the start, in the middle and at the end of sequences, and ask whether the model skips it.

    Parameters
    ----------
    layout
        How the model takes its questions.
    compared
        The ids that the graph compares its words with.
    words
        int64 (words,): all other ids.
    agrees
        Whether onnxruntime answers its first argument as the network as read answers the second.
    rng
        Draws the sequences.

    Returns
    -------
    skipped : frozenset of int
        The ids that the model skips wherever they are.
    unusable : dict
        The ids that it neither skips everywhere nor takes for words, each with what it does to them.

    """
    skipped: set[int] = set()
    unusable: dict[int, str] = {}
    longest = LONGEST if layout.length is None else layout.length
    if layout.cut is not None:  # beyond it, padding would push words out
        longest = min(longest, layout.cut.words)
    if longest == 1:  # no place for a word and padding beside each other
        return frozenset(), dict.fromkeys(compared, IN_ITS_OWN_WAY)
    any_length = layout.length is None or layout.padding is not None
    for i in compared:
        lengths = np.full(SEQUENCES, longest)
        if any_length:
            lengths = rng.integers(min(3, longest), longest + 1, SEQUENCES)
        inside, behind, plain = _placements(lengths, i, words, rng)
        if agrees(inside, plain):
            skipped.add(i)
        elif not agrees(inside, inside):  # else it is a word like others
            unusable[i] = AT_THE_END if agrees(behind, plain) else IN_ITS_OWN_WAY
    return frozenset(skipped), unusable


def _placements(
    lengths: I64, i: int, words: I64, rng: np.random.Generator
) -> tuple[list[I64], list[I64], list[I64]]:
    """Return sequences with the id `i` anywhere in them, with as many of it at the end, and without it."""
    inside, behind, plain = [], [], []
    for at, n in enumerate(lengths.tolist()):
        k = min(1 + at % 2, n - 1)
        question = rng.choice(words, n - k)
        # first at the start, then at the end, then anywhere
        place = [0, n - k][at] if at < 2 else int(rng.integers(0, n - k + 1))
        inside.append(np.insert(question, place, [i] * k))
        behind.append(np.append(question, [i] * k))
        plain.append(question)
    return inside, behind, plain
