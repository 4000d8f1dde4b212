"""The lookup: a tokenizer compiled to tables, so that text becomes word ids without its library and without the GIL.

What the library does to a text is a list of steps, and the lookup holds the same steps:

- a map replaces each character by others, whatever stands around it (lower case, for example);
- a form is one of Unicode's normal forms: characters are spelled out, marks sorted, and what can merge merges;
- a replacement writes other characters where a pattern matches;
- a split cuts the text where a pattern matches, and keeps matches, gaps or both.

The pieces that remain are words, or unknown.  Patterns see a character only as its symbol, one of at most 62 classes of
characters that no pattern tells apart; they are programs for a small backtracking machine (`_lookup_patterns.h`).
Which character maps where, and which symbol it has, was asked of the library for all of Unicode when the lookup was
made (`convert/lookup/`), so the result is the library's, whatever version of Unicode Python knows.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ..encoder import MAX_WORDS_IN_TABLE
from ..errors import InputError, ModelError
from ..tensors import Field, pack, unpack
from ._lookup import Splitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FORMAT: Final = "lookup"
VERSION: Final = 1

CODE_POINTS: Final = 0x110000
PAGE: Final = 256
"""Code points of a page: tables of all of Unicode are a list of pages and the cells of each."""

SPELLED: Final = 0x200000
"""A cell of a map below it is the distance to the character that replaces; from it on, a place in the pool."""

LONGEST_SPELLED: Final = 64
"""Most characters that replace one: our own bound (Unicode's longest has 18)."""

SECOND: Final = 0x80
"""Bit of a mark: this character may merge into the one before it."""

END: Final = 62
"""The symbol of the end of a piece; those of characters are smaller."""

MAP, FORM, REPLACE, SPLIT = range(4)
"""Kinds of steps."""

START, SET, RUN, FORK, JUMP, BEHIND, AHEAD, DONE = range(8)
"""Instructions of patterns."""

MAX_REPEAT: Final = 2**31 - 1

_PAGES: Final = CODE_POINTS // PAGE
_TENSORS: Final = {
    "byte_index": Field(dtype="int32", shape=(2, _PAGES)),
    "byte_cells": Field(dtype="uint8", shape=("pages of bytes", PAGE)),
    "map_index": Field(dtype="int32", shape=("maps", _PAGES)),
    "map_cells": Field(dtype="int32", shape=("pages of maps", PAGE)),
    "pool": Field(dtype="int32", shape=("characters",)),
    "merges": Field(dtype="int64", shape=("merges",)),
    "merged": Field(dtype="int32", shape=("merges",)),
    "code": Field(dtype="int64", shape=("instructions", 5)),
    "steps": Field(dtype="int32", shape=("steps", 4)),
    "word_bytes": Field(dtype="uint8", shape=("bytes of words",)),
    "word_ends": Field(dtype="int32", shape=("words",)),
    "word_ids": Field(dtype="int32", shape=("words",)),
}
_LENGTHS: Final = {
    "pages of bytes": 2 * _PAGES,
    "maps": 16,
    "pages of maps": 4 * _PAGES,
    "characters": 2**20,
    "merges": 2**16,
    "instructions": 2**16,
    "steps": 64,
    "bytes of words": 2**28,
    "words": MAX_WORDS_IN_TABLE,
}
_LONGEST_WORD: Final = 2**16
"""Longest word in bytes: our own bound."""

_REASONS: Final = {
    -2: "no memory is left to split it into words",
    -3: "splitting it into words takes more steps than the limit",
    -4: "holds a lone surrogate, not valid Unicode",
}
"""Why a text could not be split (see _lookup_tables.h)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lookup:
    """A compiled tokenizer.

    Attributes
    ----------
    byte_index : int32 (2, 4352)
        For each page of 256 code points, its row of `byte_cells`: first of symbols, then of marks.
    byte_cells : uint8 (n, 256)
        Symbols 0..61; marks: rank among the classes of combining marks (0: none), and SECOND.
    map_index : int32 (maps, 4352)
        For each map and page, its row of `map_cells`.
    map_cells : int32 (n, 256)
        Distance to the replacing character, or SPELLED + place in `pool`.
    pool : int32 (n,)
        Characters: where a map points, their number and then they; what replacements write.
    merges : int64 (n,)
        Pairs of characters that merge, first * 2**21 + second, rising (Hangul syllables are left out).
    merged : int32 (n,)
        What each pair merges into.
    code : int64 (n, 5)
        Instructions: kind, two operands, and two sets of symbols, as bits.
    steps : int32 (n, 4)
        Kind and operands: MAP, map; FORM, map, whether to merge; REPLACE, instruction, first and last character in the
        pool; SPLIT, instruction, whether gaps are kept, whether matches are.
    word_bytes : uint8 (n,)
        All words in UTF-8.
    word_ends : int32 (words,)
        Where each ends.
    word_ids : int32 (words,)
        The id of each.
    unknown : int
        The id of all other words.
    tokenizer : str
        SHA-256 of the tokenizer.json that it was made of, in hexadecimal.

    """

    byte_index: NDArray[np.int32]
    byte_cells: NDArray[np.uint8]
    map_index: NDArray[np.int32]
    map_cells: NDArray[np.int32]
    pool: NDArray[np.int32]
    merges: NDArray[np.int64]
    merged: NDArray[np.int32]
    code: NDArray[np.int64]
    steps: NDArray[np.int32]
    word_bytes: NDArray[np.uint8]
    word_ends: NDArray[np.int32]
    word_ids: NDArray[np.int32]
    unknown: int
    tokenizer: str

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in _TENSORS}

    def validate(self) -> Self:
        """Check that every index stays inside what it points into.

        Raises
        ------
        ModelError
            One line naming the tensor.

        """
        self._check_tables()
        self._check_patterns()
        self._check_steps()
        lengths = np.diff(self.word_ends, prepend=0)
        _check(bool((lengths > 0).all()), "word_ends: must rise")
        _check(int(lengths.max(initial=0)) <= _LONGEST_WORD, "a word is longer than 65536 bytes")
        end = int(self.word_ends[-1]) if len(self.word_ends) else 0
        _check(end == len(self.word_bytes), "word_ends: must end with the bytes of the words")
        for ids in (self.word_ids, np.array([self.unknown])):
            _within(ids, MAX_WORDS_IN_TABLE, "word ids")
        return self

    def _check_tables(self) -> None:
        _within(self.byte_index, len(self.byte_cells), "byte_index")
        _within(self.map_index, len(self.map_cells), "map_index")
        symbols = self.byte_cells[np.unique(self.byte_index[0])]
        _within(symbols, END, "byte_cells: symbols")
        _within(self.pool, CODE_POINTS, "pool")
        # the places of the pool, then the distances, page by page
        spelled = self.map_cells >= SPELLED
        places = self.map_cells[spelled] - SPELLED
        _within(places, len(self.pool), "map_cells: places in the pool")
        counts = self.pool[places]
        _within(counts, LONGEST_SPELLED + 1, "pool: characters that replace one")
        _within(places + counts, len(self.pool), "map_cells: places in the pool")
        reached = np.where(spelled, 0, self.map_cells.astype(np.int64) + np.arange(PAGE))
        first = np.arange(_PAGES) * PAGE
        low, high = reached.min(axis=1, initial=0), reached.max(axis=1, initial=0)
        for index in self.map_index:
            used = ~spelled[index].all(axis=1)
            _within((first + low[index])[used], CODE_POINTS, "map_cells: characters")
            _within((first + high[index])[used], CODE_POINTS, "map_cells: characters")
        _check(bool((np.diff(self.merges) > 0).all()), "merges: must rise")
        _within(self.merged, CODE_POINTS, "merged")

    def _check_patterns(self) -> None:
        kind, low, high, mask, following = self.code.T if len(self.code) else np.zeros((5, 0), int)
        _within(kind, DONE + 1, "code: kinds")
        jumps = np.isin(kind, (FORK, JUMP, AHEAD))
        _within(low[jumps], len(self.code), "code: places")
        _within(low[~jumps], MAX_REPEAT + 1, "code: repetitions")
        _within(high, MAX_REPEAT + 1, "code: operands")
        _check(bool((mask >= 0).all() and (following >= 0).all()), "code: sets of symbols")
        # the end of a piece may be looked for, and is no character that could be read
        read = np.isin(kind, (START, SET, RUN, BEHIND))
        _check(not (mask[read] >> END).any(), "code: sets of symbols")
        if len(kind):
            _check(int(kind[-1]) in {JUMP, DONE}, "code: must end with DONE")

    def _check_steps(self) -> None:
        kinds = self.steps[:, 0]
        _within(kinds, SPLIT + 1, "steps: kinds")
        split = False
        for kind, a, b, c in self.steps.tolist():
            _check(not split or kind == SPLIT, "steps: a split stands before another step")
            split = kind == SPLIT
            if kind in {MAP, FORM}:
                _check(0 <= a < len(self.map_index), "steps: maps")
            else:
                good = 0 <= a < len(self.code) and self.code[a, 0] == START
                _check(bool(good), "steps: instructions")
            if kind == REPLACE:
                _check(0 <= b <= c <= len(self.pool), "steps: places in the pool")

    def to_bytes(self) -> bytes:
        """Serialise as one safetensors file; equal lookups give equal bytes."""
        metadata = {
            "format": FORMAT,
            "version": VERSION,
            "unknown": self.unknown,
            "tokenizer": self.tokenizer,
        }
        return pack(self.arrays, metadata)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse and check the bytes of a lookup file.

        Raises
        ------
        ModelError
            The bytes are no valid lookup.

        """
        tensors, metadata = unpack(
            data,
            what="lookup",
            format_name=FORMAT,
            version=VERSION,
            fields=_TENSORS,
            limits=_LENGTHS,
            error=ModelError,
        )
        unknown, tokenizer = metadata.get("unknown"), metadata.get("tokenizer")
        if type(unknown) is not int or type(tokenizer) is not str:
            raise ModelError("lookup: its metadata must state the unknown word and the tokenizer")
        # an id is checked before it takes a place in an array
        _check(0 <= unknown < MAX_WORDS_IN_TABLE, "unknown: no word id")
        return cls(**tensors, unknown=unknown, tokenizer=tokenizer).validate()


class LookupSplitter:
    """Splits texts by a lookup.  Safe from several threads.

    Parameters
    ----------
    lookup
        A valid lookup.

    Raises
    ------
    ModelError
        A word stands twice.

    """

    def __init__(self, lookup: Lookup) -> None:
        self.highest = int(max(lookup.word_ids.max(initial=0), lookup.unknown))
        """The highest word id."""
        try:
            self._tables = Splitter(
                **lookup.arrays,
                unknown=lookup.unknown,
                # of every process its own, so that no words can be made that all have one hash
                seed=secrets.randbits(64),
            )
        except ValueError as e:
            raise ModelError(f"lookup: {e}") from None
        self._words = len(lookup.word_ids)

    def __repr__(self) -> str:
        return f"<LookupSplitter: {self._words:,} words, word ids 0..{self.highest}>"

    def split(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split texts into word ids, without the GIL.

        Returns
        -------
        ids : int64 (words of all texts,)
        starts : int64 (n + 1,)
            The words of text i are ids[starts[i]:starts[i + 1]].

        Raises
        ------
        InputError
            A text that is no str, or that UTF-8 cannot express, by its position.

        """
        try:
            ids, starts, failed, i = self._tables.split(tuple(texts))
        except TypeError as e:
            raise InputError(str(e)) from None
        if failed:
            raise InputError(f"text {i}: {_REASONS[failed]}")
        return ids, starts


def _check(good: bool, what: str) -> None:  # noqa: FBT001 - a condition
    if not good:
        raise ModelError(f"lookup: {what}")


def _within(values: NDArray[Any], end: int, what: str) -> None:
    """Refuse values outside 0..end - 1."""
    if len(values) and values.size and (int(values.min()) < 0 or int(values.max()) >= end):
        raise ModelError(f"lookup: {what}: {values.min()}..{values.max()}, limits 0..{end - 1}")
