"""The lookup: a tokenizer compiled to tables, which splits texts into words without the tokenizers library or the GIL.

The tokenizers library applies a list of steps to a text.  The lookup has the same steps:

- a map replaces each character by others, independently of its neighbours (lower case, for example);
- a form is a Unicode normal form: characters are decomposed, marks sorted, and composed where that is possible;
- a replacement writes other characters where a pattern matches;
- a split cuts the text where a pattern matches, and keeps the matches, the gaps or both, or joins some of them;
- a prefix writes a text before each piece that does not begin with a certain character;
- bytes are written as the characters that stand for them (ByteLevel);
- white space at the ends is removed;
- added tokens are found before all other steps, or after the normalizers; what is between them goes on on its own;
- the ids are truncated, framed by special tokens, and padded.

The model turns each remaining piece into word ids; the model "word-level" looks it up in the vocabulary.  Patterns do
not see characters but symbols: at most 62 classes of characters that no pattern distinguishes.  They are programs of a
small backtracking machine (`_lookup_patterns.h`).  `convert/lookup/` made the maps and symbols by running the library
on every code point of Unicode, so results are those of the library and do not depend on Python's version of Unicode.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ..encoder import MAX_WORDS_IN_TABLE
from ..errors import InputError, ModelError
from ..records import counted
from ..tensors import pack, unpack
from ._lookup import LookupTables
from .lookup_checks import (
    check,
    check_added,
    check_bytes,
    check_frame,
    check_maps,
    check_merges,
    check_patterns,
    check_steps,
    check_words,
)
from .lookup_format import (
    CHUNK,
    CUT,
    FORMAT,
    LENGTHS,
    MARKS,
    MODELS,
    NO_LIMIT,
    NO_UNKNOWN,
    NORMALIZED,
    SCRIPTS,
    SPELLED,
    SPLIT,
    TENSORS,
    VERSIONS,
    WORD_LEVEL,
    Padding,
    Truncation,
)
from .subwords import Subwords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_REASONS: Final = {
    -2: "out of memory while splitting it into words",
    -3: "splitting it into words takes more steps than the limit",
    -4: "holds a lone surrogate, not valid Unicode",
}
"""Messages for the errors of `_lookup_tables.h`."""


_RECORDS: Final[dict[str, type[Truncation | Padding]]] = {
    "truncation": Truncation,
    "padding": Padding,
}
"""Attributes that are objects in the metadata."""


_LEFT_OUT: Final = {"added_text", "added_ends", "added_ids", "added_flags", "frame"}
"""Tensors that a file lacks if they are empty."""


def _none() -> NDArray[np.int32]:
    """Return an optional tensor that is missing."""
    return np.zeros(0, np.int32)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lookup:
    """A compiled tokenizer.

    Attributes
    ----------
    byte_index : int32 (2..4, 4352)
        The row of `byte_cells` of each page of 256 code points, for symbols, marks, kinds and scripts.
    byte_cells : uint8 (n, 256)
        Symbols 0..61; or marks: rank of the combining class (0: not a combining mark), plus SECOND; or kinds: bits
        IN_WORD and IS_SPACE; or numbers of scripts (0: goes with any).
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
        SPLIT, instruction, whether to keep gaps, whether to keep matches; PREFIX, the character + 1 that a piece must
        not begin with (0: any) and AT_START, begin and end in the pool; BYTES; CUT, instruction, index in BEHAVIORS,
        whether gaps are matches; STRIP, whether at the begin, whether at the end; CHUNK, length; SCRIPTS.
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
    subwords : Subwords, optional
        The tables of a model other than "word-level".
    normalizers : int
        Number of steps before the pre-tokenizer's; -1: all before the first that cuts pieces.
    added_text : int32 (n,)
        The characters of all added tokens: first those found in the text as it is, then those found after the
        normalizers; each kind sorted.
    added_ends : int32 (added tokens,)
        Where each added token ends in `added_text`.
    added_ids : int32 (added tokens,)
        The id of each.
    added_flags : uint8 (added tokens,)
        SINGLE_WORD (found only where no word character is next to it), LSTRIP and RSTRIP (takes the white space before
        or after it along), NORMALIZED (found after the normalizers).
    frame : int32 (n,)
        Ids of a text in order, with THE_WORDS where its words are; empty: its words only.
    truncation : Truncation or None
        How many ids are kept.
    padding : Padding or None
        How a text with too few ids is padded.

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
    subwords: Subwords | None = None
    normalizers: int = -1
    added_text: NDArray[np.int32] = field(default_factory=_none)
    added_ends: NDArray[np.int32] = field(default_factory=_none)
    added_ids: NDArray[np.int32] = field(default_factory=_none)
    added_flags: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    frame: NDArray[np.int32] = field(default_factory=_none)
    truncation: Truncation | None = None
    padding: Padding | None = None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors by name; without the optional ones that it lacks."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name in TENSORS}
        found |= self.subwords.arrays if self.subwords else {}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @property
    def version(self) -> int:
        """The lowest version of the file format that can hold it."""
        plain = (
            self.model == WORD_LEVEL
            and self.unknown != NO_UNKNOWN
            and self.normalizers < 0
            and self.truncation is None
            and self.padding is None
            and len(self.byte_index) == MARKS + 1
            and not (self.steps[:, 0] > SPLIT).any()
            and not any(t.size for name, t in self.arrays.items() if TENSORS[name].optional)
        )
        return 1 if plain else 2

    @property
    def first_of_pre_tokenizer(self) -> int:
        """The index of the first step after the normalizers."""
        if self.normalizers >= 0:
            return self.normalizers
        cuts = np.flatnonzero(np.isin(self.steps[:, 0], (SPLIT, CUT, CHUNK, SCRIPTS)))
        return int(cuts[0]) if len(cuts) else len(self.steps)

    def validate(self) -> Self:
        """Check that every index is inside the table it points into; the C code then checks none.

        Raises
        ------
        ModelError
            A tensor has a value outside its range; the text names the tensor.

        """
        check_bytes(self.byte_index, self.byte_cells)
        check_maps(self.map_index, self.map_cells, self.pool)
        check_merges(self.merges, self.merged)
        check_patterns(self.code)
        check_steps(
            self.steps,
            maps=(self.map_cells.max(axis=1) < SPELLED)[self.map_index].all(axis=1),
            rows=len(self.byte_index),
            code=self.code,
            pool=self.pool,
            normalizers=self.first_of_pre_tokenizer,
        )
        check_words(self.word_bytes, self.word_ends, self.word_ids)
        check_added(
            self.added_text,
            self.added_ends,
            self.added_ids,
            self.added_flags,
            rows=len(self.byte_index),
        )
        check_frame(self.frame, self.truncation, self.padding)
        check(NO_UNKNOWN <= self.unknown < MAX_WORDS_IN_TABLE, "unknown: not a word id")
        known = self.model in MODELS
        check(known, f"model {self.model!r:.40} is not known; a newer version may read it")
        check((self.subwords is None) == (self.model == WORD_LEVEL), "settings: model")
        if self.subwords:
            self.subwords.check(self.model, len(self.word_ids), len(self.word_bytes))
        return self

    def to_bytes(self) -> bytes:
        """Serialise as one safetensors file; equal lookups give equal bytes."""
        metadata: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "unknown": self.unknown,
            "tokenizer": self.tokenizer,
        }
        if self.version > 1:
            metadata |= {"model": self.model, "normalizers": self.normalizers}
            for name in _RECORDS:
                found = getattr(self, name)
                metadata[name] = None if found is None else asdict(found)
        kept = {n: t for n, t in self.arrays.items() if t.size or n not in _LEFT_OUT}
        return pack(kept, metadata)

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
            fields=TENSORS,
            limits=LENGTHS,
            error=ModelError,
        )
        subwords = Subwords.take(tensors)
        attributes: dict[str, Any] = {**tensors, **_read_metadata(metadata)}
        read = cls(**attributes, subwords=subwords)
        check(read.version <= metadata["version"], "not of version 1, as its metadata state")
        return read.validate()


def _read_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of a `Lookup` that are not tensors."""
    found: dict[str, Any] = {"model": WORD_LEVEL, "normalizers": -1} | {
        name: metadata[name]
        for name in ("unknown", "tokenizer", "model", "normalizers")
        if name in metadata
    }
    for name, kind in (("unknown", int), ("tokenizer", str), ("model", str), ("normalizers", int)):
        check(type(found.get(name)) is kind, f"metadata: {name} is missing or malformed")
    for name, record in _RECORDS.items():
        read = metadata.get(name)
        if read is None:
            continue
        kinds = {f.name: bool if f.name == "left" else int for f in fields(record)}
        good = isinstance(read, dict) and {key: type(value) for key, value in read.items()} == kinds
        check(good, f"metadata: {name} is malformed")
        found[name] = record(**read)
    return found


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
        truncation = lookup.truncation or Truncation(kept=NO_LIMIT, left=False)
        padding = lookup.padding or Padding(length=0, multiple=0, id=0, left=False)
        self.highest = max(
            lookup.unknown,
            padding.id,
            lookup.subwords.highest if lookup.subwords else -1,
            *(int(t.max(initial=0)) for t in (lookup.word_ids, lookup.added_ids, lookup.frame)),
        )
        """The highest word id."""
        try:
            self._tables = LookupTables(
                **lookup.arrays,
                unknown=lookup.unknown,
                model=MODELS[lookup.model],
                raw=int((lookup.added_flags < NORMALIZED).sum()),
                normalizers=lookup.first_of_pre_tokenizer,
                kept=truncation.kept,
                cut_left=truncation.left,
                pad_length=padding.length,
                pad_multiple=padding.multiple,
                pad_id=padding.id,
                pad_left=padding.left,
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
