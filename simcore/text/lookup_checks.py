"""Check that every index of a lookup is inside the table it points into; the C code then checks none."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoder import MAX_WORDS_IN_TABLE
from ..errors import ModelError
from .lookup_format import (
    AHEAD,
    AT_START,
    BEHAVIORS,
    BEHIND,
    BYTES,
    CHUNK,
    CODE_POINTS,
    CUT,
    DONE,
    END,
    FORK,
    FORM,
    JUMP,
    KINDS,
    LONGEST_ADDED,
    LONGEST_PADDED,
    LONGEST_SPELLED,
    LONGEST_WORD,
    MAP,
    MARKS,
    MAX_REPEAT,
    NORMALIZED,
    PAGE,
    PAGES,
    PREFIX,
    REPLACE,
    RUN,
    SCRIPT,
    SCRIPTS,
    SET,
    SPELLED,
    SPLIT,
    START,
    STRIP,
    THE_WORDS,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .lookup_format import Padding, Truncation


def check(good: bool, what: str) -> None:  # noqa: FBT001 - a condition
    """Raise ModelError unless a condition is met."""
    if not good:
        raise ModelError(f"lookup: {what}")


def within(values: NDArray[Any], end: int, what: str) -> None:
    """Raise ModelError if a value is outside 0..end - 1."""
    if values.size and (int(values.min()) < 0 or int(values.max()) >= end):
        raise ModelError(f"lookup: {what}: {values.min()}..{values.max()}, limits 0..{end - 1}")


def check_bytes(index: NDArray[np.int32], cells: NDArray[np.uint8]) -> None:
    """Check the tables of symbols, marks, kinds and scripts."""
    check(len(index) > MARKS, "byte_index: has no row of symbols or of marks")
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
    rows: int,
    code: NDArray[np.int64],
    pool: NDArray[np.int32],
    normalizers: int,
) -> None:
    """Check the steps: kinds, operands, and that none moves the ends of pieces after a split.

    Parameters
    ----------
    steps, code, pool
        Tensors of the lookup.
    maps
        Whether each map writes one character for each: such a map may follow a split.
    rows
        Number of rows of `byte_index`.
    normalizers
        Number of steps before the pre-tokenizer's.

    """
    within(steps[:, 0], SCRIPTS + 1, "steps: kinds")
    check(0 <= normalizers <= len(steps), "normalizers: more than there are steps")
    cut = False
    for k, (kind, a, b, c) in enumerate(steps.tolist()):
        if kind in {MAP, FORM}:
            check(0 <= a < len(maps), "steps: maps")
        cuts = kind in {SPLIT, CUT, CHUNK, SCRIPTS}
        kept = cuts or kind in {PREFIX, BYTES} or (kind == MAP and bool(maps[a]))
        check(kept or not cut, "steps: another kind of step after a split")
        check(not cuts or k >= normalizers, "steps: a normalizer cuts pieces")
        cut |= cuts
        if kind in {REPLACE, SPLIT, CUT}:
            check(0 <= a < len(code) and int(code[a, 0]) == START, "steps: instructions")
        if kind == PREFIX:
            check(0 <= a & ~AT_START <= CODE_POINTS, "steps: characters")
        if kind in {REPLACE, PREFIX}:
            check(0 <= b <= c <= len(pool), "steps: places in the pool")
        check(kind != CHUNK or a > 0, "steps: lengths of chunks")
        check(kind != CUT or 0 <= b < len(BEHAVIORS), "steps: behaviours")
        needed = {STRIP: KINDS, SCRIPTS: SCRIPT}.get(kind, MARKS)
        check(rows > needed, "byte_index: lacks a row that a step reads")


def check_added(
    text: NDArray[np.int32],
    ends: NDArray[np.int32],
    ids: NDArray[np.int32],
    flags: NDArray[np.uint8],
    *,
    rows: int,
) -> None:
    """Check the added tokens: their characters, ids and order.

    Parameters
    ----------
    text, ends, ids, flags
        The tensors of the lookup.
    rows
        Number of rows of `byte_index`.

    """
    lengths = np.diff(ends, prepend=0)
    check(len(ends) == len(ids) == len(flags), "added tokens: a tensor is missing")
    check(bool((lengths > 0).all()), "added_ends: must rise")
    check(int(lengths.max(initial=0)) <= LONGEST_ADDED, "an added token is longer than 1024")
    end = int(ends[-1]) if len(ends) else 0
    check(end == len(text), "added_ends: must end with the characters of the tokens")
    within(text, CODE_POINTS, "added_text")
    within(ids, MAX_WORDS_IN_TABLE, "added_ids")
    within(flags, 2 * NORMALIZED, "added_flags")
    check(
        not (flags % NORMALIZED).any() or rows > KINDS,
        "byte_index: lacks a row that an added token reads",
    )
    pieces = np.split(text, ends[:-1]) if len(ends) else []
    keys = [
        (int(flag) & NORMALIZED, piece.tolist()) for flag, piece in zip(flags, pieces, strict=True)
    ]
    # Searching relies on it: no two are equal, and of those that begin alike, the shortest comes first.
    check(all(a < b for a, b in pairwise(keys)), "added tokens: not in order")


def check_frame(
    frame: NDArray[np.int32], truncation: Truncation | None, padding: Padding | None
) -> None:
    """Check what is done to the ids of a text at the end."""
    check(int((frame == THE_WORDS).sum()) <= 1, "frame: has the words twice")
    within(frame[frame != THE_WORDS], MAX_WORDS_IN_TABLE, "frame")
    if truncation is not None:
        check(0 <= truncation.kept <= MAX_REPEAT, "truncation: kept")
    if padding is not None:
        check(0 <= padding.length <= LONGEST_PADDED, "padding: length")
        check(0 < padding.multiple <= LONGEST_PADDED, "padding: multiple")
        check(0 <= padding.id < MAX_WORDS_IN_TABLE, "padding: id")


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
