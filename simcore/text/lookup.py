"""The lookup: a tokenizer compiled to tables, which splits texts into words without the tokenizers library or the GIL.

The tokenizers library applies a list of steps to a text.  The lookup has the same steps:

- a map replaces each character by others, independently of its neighbours (lower case, for example);
- a form is a Unicode normal form: characters are decomposed, marks sorted, and composed where that is possible;
- a replacement writes other characters where a pattern matches;
- a split cuts the text where a pattern matches, and keeps the matches, the gaps or both;
- a prefix writes a text before each piece that does not begin with a certain character;
- bytes are written as the characters that stand for them (ByteLevel).

The model turns each remaining piece into word ids; the model "word-level" looks it up in the vocabulary.  Patterns do
not see characters but symbols: at most 62 classes of characters that no pattern distinguishes.  They are programs of a
small backtracking machine (`_lookup_patterns.h`).  `convert/lookup/` made the maps and symbols by running the library
on every code point of Unicode, so results are those of the library and do not depend on Python's version of Unicode.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from ..encoder import MAX_WORDS_IN_TABLE
from ..errors import InputError, ModelError
from ..records import counted
from ..tensors import pack, unpack
from ._lookup import LookupTables
from .lookup_checks import (
    check,
    check_bytes,
    check_maps,
    check_merges,
    check_patterns,
    check_steps,
    check_words,
)
from .lookup_format import (
    FORMAT,
    LENGTHS,
    MODELS,
    NO_UNKNOWN,
    SPELLED,
    TENSORS,
    VERSIONS,
    WORD_LEVEL,
)
from .subwords import Subwords

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

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
        SPLIT, instruction, whether to keep gaps, whether to keep matches; PREFIX, the character + 1 that a piece must
        not begin with (0: any) and AT_START, begin and end in the pool; BYTES.
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

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors by name; without the optional ones that it lacks."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name in TENSORS}
        found |= self.subwords.arrays if self.subwords else {}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @property
    def version(self) -> int:
        """The lowest version of the file format that can hold it."""
        optional = any(TENSORS[name].optional for name in self.arrays)
        return 2 if optional or self.model != WORD_LEVEL or self.unknown == NO_UNKNOWN else 1

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
        one_to_one = (self.map_cells.max(axis=1) < SPELLED)[self.map_index].all(axis=1)
        check_steps(self.steps, maps=one_to_one, code=self.code, pool=self.pool)
        check_words(self.word_bytes, self.word_ends, self.word_ids)
        check(NO_UNKNOWN <= self.unknown < MAX_WORDS_IN_TABLE, "unknown: not a word id")
        known = self.model in MODELS
        check(known, f"model {self.model!r:.40} is not known; a newer version may read it")
        check((self.subwords is None) == (self.model == WORD_LEVEL), "settings: model")
        if self.subwords:
            self.subwords.check(self.model, len(self.word_ids), len(self.word_bytes))
        return self

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
            fields=TENSORS,
            limits=LENGTHS,
            error=ModelError,
        )
        unknown, tokenizer = metadata.get("unknown"), metadata.get("tokenizer")
        model = metadata.get("model", WORD_LEVEL)
        if type(unknown) is not int or type(tokenizer) is not str or type(model) is not str:
            raise ModelError(
                "lookup: metadata lack the id of the unknown word, the tokenizer's digest or the model"
            )
        subwords = Subwords.take(tensors)
        read = cls(**tensors, unknown=unknown, tokenizer=tokenizer, model=model, subwords=subwords)
        check(read.version <= metadata["version"], "not of version 1, as its metadata state")
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
        parts = lookup.subwords.highest if lookup.subwords else -1
        self.highest = int(max(lookup.word_ids.max(initial=0), lookup.unknown, parts))
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
