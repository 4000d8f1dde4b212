"""The lookup: a tokenizer compiled to tables, which splits texts into words without the tokenizers library or the GIL.

The tokenizers library applies a list of steps to a text.  The lookup has the same steps:

- a map replaces each character by others, independently of its neighbours (lower case, for example);
- a form is a Unicode normal form: characters are decomposed, marks sorted, and composed where that is possible;
- a replacement writes other characters where a pattern matches;
- a split cuts the text where a pattern matches, and keeps the matches, the gaps or both.

The model turns each remaining piece into word ids; the model "word-level" looks it up in the vocabulary.  Patterns do
not see characters but symbols: at most 62 classes of characters that no pattern distinguishes.  They are programs of a
small backtracking machine (`_lookup_patterns.h`).  `convert/lookup/` made the maps and symbols by running the library
on every code point of Unicode, so results are those of the library and do not depend on Python's version of Unicode.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ..encoder import MAX_WORDS_IN_TABLE
from ..errors import InputError, ModelError
from ..records import counted
from ..tensors import Field, pack, unpack
from ._lookup import LookupTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FORMAT: Final = "lookup"
VERSIONS: Final = (1, 2)
"""Version 1 has the model "word-level", an unknown word, and no optional tensor; its files answer as before."""

WORD_LEVEL: Final = "word-level"
MODELS: Final = {WORD_LEVEL: 0}
"""The models, and their numbers in `_lookup_tables.h`."""

NO_UNKNOWN: Final = -1
"""The id of the unknown word in a lookup without one, and the only id of a text that has a word it cannot encode."""

CODE_POINTS: Final = 0x110000
PAGE: Final = 256
"""Code points of a page: a table over all of Unicode is an index of pages, and the cells of the distinct ones."""

SPELLED: Final = 0x200000
"""Cells of a map below it are distances to the replacing character; others are SPELLED + a place in the pool."""

LONGEST_SPELLED: Final = 64
"""Most characters that replace one: our own bound; the longest decomposition of Unicode has 18."""

SECOND: Final = 0x80
"""Bit of a mark: the character may compose with the one before it."""

END: Final = 62
"""Symbol of the end of a piece; symbols of characters are smaller."""

MAP, FORM, REPLACE, SPLIT = range(4)
"""Kinds of steps, as in `_lookup_tables.h`."""

START, SET, RUN, FORK, JUMP, BEHIND, AHEAD, DONE = range(8)
"""Instructions of patterns, as in `_lookup_tables.h`."""

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
    -2: "out of memory while splitting it into words",
    -3: "splitting it into words takes more steps than the limit",
    -4: "holds a lone surrogate, not valid Unicode",
}
"""Messages for the errors of `_lookup_tables.h`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lookup:
    """A compiled tokenizer.

    Attributes
    ----------
    byte_index : int32 (2, 4352)
        The row of `byte_cells` of each page of 256 code points, for symbols and for marks.
    byte_cells : uint8 (n, 256)
        Symbols 0..61; or marks: rank of the combining class (0: not a combining mark), plus SECOND.
    map_index : int32 (maps, 4352)
        The row of `map_cells` of each page, for each map.
    map_cells : int32 (n, 256)
        Distance to the replacing character, or SPELLED + place in `pool`.
    pool : int32 (n,)
        Characters.  A map's cell points to a number of characters, followed by the characters; replacements write a
        range of the pool.
    merges : int64 (n,)
        Pairs of characters that compose, first * 2**21 + second, ascending; without Hangul, which is composed by
        arithmetic.
    merged : int32 (n,)
        The composition of each pair.
    code : int64 (n, 5)
        Instructions: kind, two operands, and two sets of symbols as bits.
    steps : int32 (n, 4)
        Kind and operands: MAP, map; FORM, map, whether to compose; REPLACE, instruction, begin and end in the pool;
        SPLIT, instruction, whether to keep gaps, whether to keep matches.
    word_bytes : uint8 (n,)
        All words in UTF-8.
    word_ends : int32 (words,)
        Where each word ends in `word_bytes`.
    word_ids : int32 (words,)
        The id of each word.
    unknown : int
        The id of every other word; NO_UNKNOWN: there is none, and a text with such a word cannot be encoded.
    tokenizer : str
        SHA-256 of the tokenizer.json that the lookup was compiled from, in hexadecimal.
    model : str
        What turns a piece into word ids, one of MODELS.

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
    model: str = WORD_LEVEL

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors by name; without the optional ones that it lacks."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name in _TENSORS}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @property
    def version(self) -> int:
        """The lowest version of the file format that can hold it."""
        optional = any(_TENSORS[name].optional for name in self.arrays)
        return 2 if optional or self.model != WORD_LEVEL or self.unknown == NO_UNKNOWN else 1

    def validate(self) -> Self:
        """Check that every index is inside the table it points into; the C code then checks none.

        Raises
        ------
        ModelError
            A tensor has a value outside its range; the text names the tensor.

        """
        self._check_tables()
        self._check_patterns()
        self._check_steps()
        lengths = np.diff(self.word_ends, prepend=0)
        _check(bool((lengths > 0).all()), "word_ends: must rise")
        _check(int(lengths.max(initial=0)) <= _LONGEST_WORD, "a word is longer than 65536 bytes")
        end = int(self.word_ends[-1]) if len(self.word_ends) else 0
        _check(end == len(self.word_bytes), "word_ends: must end with the bytes of the words")
        _within(self.word_ids, MAX_WORDS_IN_TABLE, "word ids")
        _check(NO_UNKNOWN <= self.unknown < MAX_WORDS_IN_TABLE, "unknown: not a word id")
        _check(
            self.model in MODELS,
            f"model {self.model!r:.40} is not known; a newer version may read it",
        )
        return self

    def _check_tables(self) -> None:
        """Check the tables over Unicode, the pool and the compositions."""
        _within(self.byte_index, len(self.byte_cells), "byte_index")
        _within(self.map_index, len(self.map_cells), "map_index")
        symbols = self.byte_cells[np.unique(self.byte_index[0])]
        _within(symbols, END, "byte_cells: symbols")
        _within(self.pool, CODE_POINTS, "pool")
        # First the places in the pool, then the distances.  Several pages of Unicode may share a page of cells: its
        # lowest and highest target are checked for each of them.
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
        """Check the instructions of the patterns: kinds, jumps, repetitions and sets of symbols."""
        kind, low, high, mask, following = self.code.T if len(self.code) else np.zeros((5, 0), int)
        _within(kind, DONE + 1, "code: kinds")
        jumps = np.isin(kind, (FORK, JUMP, AHEAD))
        _within(low[jumps], len(self.code), "code: places")
        _within(low[~jumps], MAX_REPEAT + 1, "code: repetitions")
        _within(high, MAX_REPEAT + 1, "code: operands")
        _check(bool((mask >= 0).all() and (following >= 0).all()), "code: sets of symbols")
        # A pattern may test for the end of a piece, but must not read it: there is no character.
        read = np.isin(kind, (START, SET, RUN, BEHIND))
        _check(not (mask[read] >> END).any(), "code: sets of symbols")
        if len(kind):
            _check(int(kind[-1]) in {JUMP, DONE}, "code: must end with DONE")

    def _check_steps(self) -> None:
        """Check the steps: kinds, operands, and that splits come last."""
        kinds = self.steps[:, 0]
        _within(kinds, SPLIT + 1, "steps: kinds")
        split = False
        for kind, a, b, c in self.steps.tolist():
            _check(not split or kind == SPLIT, "steps: another kind of step after a split")
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
            "version": self.version,
            "unknown": self.unknown,
            "tokenizer": self.tokenizer,
        }
        if self.version > 1:
            metadata["model"] = self.model
        return pack(self.arrays, metadata)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse and check the bytes of a lookup file.

        Raises
        ------
        ModelError
            The bytes are not a valid lookup.

        """
        tensors, metadata = unpack(
            data,
            what="lookup",
            format_name=FORMAT,
            version=VERSIONS,
            fields=_TENSORS,
            limits=_LENGTHS,
            error=ModelError,
        )
        unknown, tokenizer = metadata.get("unknown"), metadata.get("tokenizer")
        model = metadata.get("model", WORD_LEVEL)
        if type(unknown) is not int or type(tokenizer) is not str or type(model) is not str:
            raise ModelError(
                "lookup: metadata lack the id of the unknown word, the tokenizer's digest or the model"
            )
        read = cls(**tensors, unknown=unknown, tokenizer=tokenizer, model=model)
        _check(read.version <= metadata["version"], "not of version 1, as its metadata state")
        return read.validate()


class LookupSplitter:
    """Splits texts by a lookup; several threads may use it at the same time.

    Parameters
    ----------
    lookup
        A valid lookup.

    Raises
    ------
    ModelError
        The vocabulary has a duplicate word.

    """

    def __init__(self, lookup: Lookup) -> None:
        self.highest = int(max(lookup.word_ids.max(initial=0), lookup.unknown))
        """The highest word id."""
        try:
            self._tables = LookupTables(
                **lookup.arrays,
                unknown=lookup.unknown,
                model=MODELS[lookup.model],
                # A new seed for every splitter, so that an attacker cannot craft words whose hashes collide.
                seed=secrets.randbits(64),
            )
        except ValueError as e:
            raise ModelError(f"lookup: {e}") from None
        self._words = len(lookup.word_ids)

    def __repr__(self) -> str:
        return f"<LookupSplitter: {counted(self._words, 'word')}, word ids 0..{self.highest}>"

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
            A text is not a str, or UTF-8 cannot encode it; the position of the text is named.

        """
        try:
            ids, starts, failed, i = self._tables.split(tuple(texts))
        except TypeError as e:
            raise InputError(str(e)) from None
        if failed:
            raise InputError(f"text {i}: {_REASONS[failed]}")
        return ids, starts


def _check(good: bool, what: str) -> None:  # noqa: FBT001 - a condition
    """Raise ModelError unless a condition is met."""
    if not good:
        raise ModelError(f"lookup: {what}")


def _within(values: NDArray[Any], end: int, what: str) -> None:
    """Raise ModelError if a value is outside 0..end - 1."""
    if len(values) and values.size and (int(values.min()) < 0 or int(values.max()) >= end):
        raise ModelError(f"lookup: {what}: {values.min()}..{values.max()}, limits 0..{end - 1}")
