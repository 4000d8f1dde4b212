"""The file format of lookups: constants, tensors and limits, shared by `Lookup`, its checks and the compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..encoder import MAX_WORDS_IN_TABLE
from ..limits import MAX_WORDS
from ..tensors import Field

FORMAT: Final = "lookup"
VERSIONS: Final = (1, 2)
"""Version 1 has the model "word-level", an unknown word, and no optional tensor; its files answer as before."""

WORD_LEVEL: Final = "word-level"
WORDPIECE: Final = "wordpiece"
UNIGRAM: Final = "unigram"
BPE: Final = "bpe"
MODELS: Final = {WORD_LEVEL: 0, WORDPIECE: 1, UNIGRAM: 2, BPE: 3}
"""The models, and their numbers in `_lookup_tables.h`."""

NO_UNKNOWN: Final = -1
"""The id of the unknown word in a lookup without one, and the only id of a text that has a word it cannot encode."""

BYTE_LEVEL, FUSE_UNKNOWN, DROP_UNKNOWN, BYTE_FALLBACK = 1, 2, 4, 8
"""Flags of a model, as in `_lookup_tables.h`."""

MAX_TRIE_BYTES: Final = 2**23
"""Most bytes of all words of WordPiece and Unigram: our own bound, on a trie's memory; large vocabularies have 3 MB."""

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

CLASSES, MARKS, KINDS, SCRIPT = range(4)
"""Rows of `byte_index`; a lookup may lack the last one or the last two."""

IN_WORD, IS_SPACE = 1, 2
"""Bits of KINDS."""

MAP, FORM, REPLACE, SPLIT, PREFIX, BYTES, CUT, STRIP, CHUNK, SCRIPTS = range(10)
"""Kinds of steps, as in `_lookup_tables.h`; those after SPLIT need version 2."""

AT_START: Final = 1 << 22
"""Bit of the first operand of a PREFIX: only at the start of the text."""

BEHAVIORS: Final = ("MergedWithPrevious", "MergedWithNext", "Contiguous")
"""What CUT does with matches: the index in this tuple, as in `_lookup_tables.h`."""

SINGLE_WORD, LSTRIP, RSTRIP, NORMALIZED = 1, 2, 4, 8
"""Flags of added tokens, as in `_lookup_tables.h`; those with NORMALIZED come last."""

THE_WORDS: Final = -1
"""The entry of a frame that is the words of the text."""

START, SET, RUN, FORK, JUMP, BEHIND, AHEAD, DONE = range(8)
"""Instructions of patterns, as in `_lookup_tables.h`."""

MAX_REPEAT: Final = 2**31 - 1

PAGES: Final = CODE_POINTS // PAGE
TENSORS: Final = {
    "byte_index": Field(dtype="int32", shape=("rows of bytes", PAGES)),
    "byte_cells": Field(dtype="uint8", shape=("pages of bytes", PAGE)),
    "map_index": Field(dtype="int32", shape=("maps", PAGES)),
    "map_cells": Field(dtype="int32", shape=("pages of maps", PAGE)),
    "pool": Field(dtype="int32", shape=("characters",)),
    "merges": Field(dtype="int64", shape=("merges",)),
    "merged": Field(dtype="int32", shape=("merges",)),
    "code": Field(dtype="int64", shape=("instructions", 5)),
    "steps": Field(dtype="int32", shape=("steps", 4)),
    "word_bytes": Field(dtype="uint8", shape=("bytes of words",)),
    "word_ends": Field(dtype="int32", shape=("words",)),
    "word_ids": Field(dtype="int32", shape=("words",)),
    "settings": Field(dtype="int32", shape=(3,), optional=True),
    "affix": Field(dtype="uint8", shape=("bytes of the affix",), optional=True),
    "scores": Field(dtype="float64", shape=("scores",), optional=True),
    "byte_ids": Field(dtype="int32", shape=(256,), optional=True),
    "letters": Field(dtype="int32", shape=("letters", 5), optional=True),
    "pairs": Field(dtype="int32", shape=("pairs", 3), optional=True),
    "added_text": Field(dtype="int32", shape=("added characters",), optional=True),
    "added_ends": Field(dtype="int32", shape=("added tokens",), optional=True),
    "added_ids": Field(dtype="int32", shape=("added tokens",), optional=True),
    "added_flags": Field(dtype="uint8", shape=("added tokens",), optional=True),
    "frame": Field(dtype="int32", shape=("ids of the frame",), optional=True),
}
LENGTHS: Final = {
    "rows of bytes": 4,
    "pages of bytes": 4 * PAGES,
    "maps": 16,
    "pages of maps": 4 * PAGES,
    "characters": 2**20,
    "merges": 2**16,
    "instructions": 2**16,
    "steps": 64,
    "bytes of words": 2**28,
    "words": MAX_WORDS_IN_TABLE,
    "bytes of the affix": 2**16,
    "scores": MAX_WORDS_IN_TABLE + 1,
    "letters": 2**20,
    "pairs": MAX_WORDS_IN_TABLE,
    "added characters": 2**20,
    "added tokens": 2**16,
    "ids of the frame": 2**10,
}
LONGEST_WORD: Final = 2**16
"""Longest word in bytes: our own bound."""

LONGEST_ADDED: Final = 2**10
"""Longest added token in characters: our own bound."""

LONGEST_PADDED: Final = MAX_WORDS + 1
"""Longest text in words after padding, as in `_lookup_tables.h`: padded to more, it would be too long as well."""

NO_LIMIT: Final = 2**40
"""More words than any text has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncation:
    """How a text with too many ids is cut, before the frame is put around them.

    Attributes
    ----------
    kept : int
        Ids that are kept, 0..2^31 - 1.
    left : bool
        Whether the first ids are removed, not the last ones.

    """

    kept: int
    left: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Padding:
    """How a text with too few ids is padded, after the frame has been put around them.

    Attributes
    ----------
    length : int
        The text is padded to this length, 0..LONGEST_PADDED,
    multiple : int
        and to a multiple of this, 1..LONGEST_PADDED; to the longer of both, but not beyond LONGEST_PADDED.
    id : int
        The id that it is padded with.
    left : bool
        Whether it is padded in front.

    """

    length: int
    multiple: int
    id: int
    left: bool
