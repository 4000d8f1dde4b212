"""Check that every index of a lookup is inside the table it points into; the C code then checks none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoder import MAX_WORDS_IN_TABLE
from ..errors import ModelError
from .lookup_format import (
    AHEAD,
    AT_START,
    BEHIND,
    BYTES,
    CODE_POINTS,
    DONE,
    END,
    FORK,
    FORM,
    JUMP,
    LONGEST_SPELLED,
    LONGEST_WORD,
    MAP,
    MAX_REPEAT,
    PAGE,
    PAGES,
    PREFIX,
    REPLACE,
    RUN,
    SET,
    SPELLED,
    SPLIT,
    START,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check(good: bool, what: str) -> None:  # noqa: FBT001 - a condition
    """Raise ModelError unless a condition is met."""
    if not good:
        raise ModelError(f"lookup: {what}")


def within(values: NDArray[Any], end: int, what: str) -> None:
    """Raise ModelError if a value is outside 0..end - 1."""
    if values.size and (int(values.min()) < 0 or int(values.max()) >= end):
        raise ModelError(f"lookup: {what}: {values.min()}..{values.max()}, limits 0..{end - 1}")


def check_bytes(index: NDArray[np.int32], cells: NDArray[np.uint8]) -> None:
    """Check the tables of symbols and marks."""
    within(index, len(cells), "byte_index")
    within(cells[np.unique(index[0])], END, "byte_cells: symbols")


def check_maps(index: NDArray[np.int32], cells: NDArray[np.int32], pool: NDArray[np.int32]) -> None:
    """Check the maps, and the texts in the pool that they point to."""
    within(index, len(cells), "map_index")
    within(pool, CODE_POINTS, "pool")
    # First the places in the pool, then the distances.  Several pages of Unicode may share a page of cells: its
    # lowest and highest target are checked for each of them.
    spelled = cells >= SPELLED
    places = cells[spelled] - SPELLED
    within(places, len(pool), "map_cells: places in the pool")
    counts = pool[places]
    within(counts, LONGEST_SPELLED + 1, "pool: characters that replace one")
    within(places + counts, len(pool), "map_cells: places in the pool")
    reached = np.where(spelled, 0, cells.astype(np.int64) + np.arange(PAGE))
    first = np.arange(PAGES) * PAGE
    low, high = reached.min(axis=1, initial=0), reached.max(axis=1, initial=0)
    for row in index:
        used = ~spelled[row].all(axis=1)
        within((first + low[row])[used], CODE_POINTS, "map_cells: characters")
        within((first + high[row])[used], CODE_POINTS, "map_cells: characters")


def check_merges(merges: NDArray[np.int64], merged: NDArray[np.int32]) -> None:
    """Check the pairs of characters that compose."""
    check(bool((np.diff(merges) > 0).all()), "merges: must rise")
    within(merged, CODE_POINTS, "merged")


def check_patterns(code: NDArray[np.int64]) -> None:
    """Check the instructions of the patterns: kinds, jumps, repetitions and sets of symbols."""
    kind, low, high, mask, following = code.T if len(code) else np.zeros((5, 0), int)
    within(kind, DONE + 1, "code: kinds")
    jumps = np.isin(kind, (FORK, JUMP, AHEAD))
    within(low[jumps], len(code), "code: places")
    within(low[~jumps], MAX_REPEAT + 1, "code: repetitions")
    within(high, MAX_REPEAT + 1, "code: operands")
    check(bool((mask >= 0).all() and (following >= 0).all()), "code: sets of symbols")
    # A pattern may test for the end of a piece, but must not read it: there is no character.
    read = np.isin(kind, (START, SET, RUN, BEHIND))
    check(not (mask[read] >> END).any(), "code: sets of symbols")
    if len(kind):
        check(int(kind[-1]) in {JUMP, DONE}, "code: must end with DONE")


def check_steps(
    steps: NDArray[np.int32],
    *,
    maps: NDArray[np.bool_],
    code: NDArray[np.int64],
    pool: NDArray[np.int32],
) -> None:
    """Check the steps: kinds, operands, and that none moves the ends of pieces after a split.

    Parameters
    ----------
    steps, code, pool
        Tensors of the lookup.
    maps
        Whether each map writes one character for each: such a map may follow a split.

    """
    within(steps[:, 0], BYTES + 1, "steps: kinds")
    split = False
    for kind, a, b, c in steps.tolist():
        if kind in {MAP, FORM}:
            check(0 <= a < len(maps), "steps: maps")
        kept = kind in {SPLIT, PREFIX} or (kind == MAP and bool(maps[a]))
        check(kept or not split, "steps: another kind of step after a split")
        split |= kind == SPLIT
        if kind in {REPLACE, SPLIT}:
            check(0 <= a < len(code) and int(code[a, 0]) == START, "steps: instructions")
        if kind == PREFIX:
            check(0 <= a & ~AT_START <= CODE_POINTS, "steps: characters")
        if kind in {REPLACE, PREFIX}:
            check(0 <= b <= c <= len(pool), "steps: places in the pool")


def check_words(
    word_bytes: NDArray[np.uint8], word_ends: NDArray[np.int32], word_ids: NDArray[np.int32]
) -> None:
    """Check the vocabulary."""
    lengths = np.diff(word_ends, prepend=0)
    check(bool((lengths > 0).all()), "word_ends: must rise")
    check(int(lengths.max(initial=0)) <= LONGEST_WORD, "a word is longer than 65536 bytes")
    end = int(word_ends[-1]) if len(word_ends) else 0
    check(end == len(word_bytes), "word_ends: must end with the bytes of the words")
    within(word_ids, MAX_WORDS_IN_TABLE, "word ids")
