"""Compile a tokenizer.json into a lookup."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore.text.lookup import Lookup
from ...simcore.text.lookup_format import (
    AT_START,
    BYTES,
    CODE_POINTS,
    FORM,
    LONGEST_SPELLED,
    MAP,
    NO_UNKNOWN,
    PAGE,
    PREFIX,
    REPLACE,
    SECOND,
    SPELLED,
    SPLIT,
)
from ...simcore.text.splitting import read_tokenizer
from .codegen import Symbols, generate
from .errors import CannotCompileError
from .patterns import (
    Alternation,
    CharacterClass,
    Concatenation,
    Repeat,
    literal,
    may_be_empty,
    parse,
)
from .probing import OTHER, SPACE, WORD, mapped, marks, members, merges, seconds, spelled_out
from .subwords import as_bytes, subword_tables, word_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from .patterns import Node

_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_MAPS = ("Lowercase", "StripAccents")
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The pattern of the pre-tokenizer ByteLevel (tokenizers 0.23)."""


def compile_tokenizer(data: bytes, *, model_words_only: bool = False) -> Lookup:
    """Compile the bytes of a tokenizer.json (see `read_tokenizer`).

    Raises
    ------
    CannotCompileError
        If a lookup cannot do what the tokenizer does; the message names the feature.
    ModelError
        If the bytes are not a tokenizer.json.

    """
    # The library writes every setting out, including those that the file leaves at their defaults.
    tokenizer = read_tokenizer(data, model_words_only=model_words_only)
    described = json.loads(tokenizer.to_str())
    for feature in ("added_tokens", "post_processor", "truncation", "padding"):
        if described[feature]:
            raise CannotCompileError(f"it has {feature.replace('_', ' ')}")
    compiler = _Compiler()
    for each in _parts(described["normalizer"], "normalizers"):
        compiler.normalize(each)
    for each in _parts(described["pre_tokenizer"], "pretokenizers"):
        compiler.split(each)
    return Lookup(
        **compiler.tables(),
        **_model(described["model"], tokenizer, byte_level=compiler.byte_level),
        tokenizer=hashlib.sha256(data).hexdigest(),
    ).validate()


def _parts(described: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """Return the normalizers or pre-tokenizers of a possibly nested sequence, in order."""
    if described is None:
        return []
    if described["type"] != "Sequence":
        return [described]
    return [part for each in described[name] for part in _parts(each, name)]


class _Compiler:
    """Collect the steps of a lookup; patterns become programs at the end, when the symbols of all are known."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, Any, int, int]] = []
        self.pool: list[int] = []
        self.maps: list[NDArray[np.int32]] = []
        self.forms = False
        self.byte_level = False

    def normalize(self, described: dict[str, Any]) -> None:
        """Add the steps of a normalizer."""
        kind = described["type"]
        if kind in _MAPS:
            self._map(MAP, mapped(kind))
        elif kind in _FORMS:
            self.forms = True
            self._map(FORM, spelled_out(kind), merging=kind.endswith("C"))
        elif kind == "Prepend":
            self._prefix(described["prepend"])
        elif kind == "ByteLevel":
            self.steps.append((BYTES, 0, 0, 0))
        elif kind == "Replace":
            self._replace(_pattern(described["pattern"]), described["content"])
        else:
            raise CannotCompileError(f"normalizer {kind} is not supported")

    def _prefix(self, text: str, *, unless: str = "", at_start: bool = False) -> None:
        first = len(self.pool)
        self.pool += map(ord, text)
        character = ord(unless) + 1 if unless else 0
        self.steps.append((PREFIX, character + AT_START * at_start, first, len(self.pool)))

    def split(self, described: dict[str, Any]) -> None:
        """Add the step of a pre-tokenizer."""
        kind = described["type"]
        if self.byte_level:
            raise CannotCompileError(f"pre-tokenizer {kind} after ByteLevel is not supported")
        if kind == "ByteLevel":
            self._byte_level(described)
        elif kind == "Metaspace":
            self._metaspace(described)
        elif kind == "Split":
            behavior, inverted = described["behavior"], described["invert"]
            if behavior not in {"Removed", "Isolated"}:
                raise CannotCompileError(
                    f"pre-tokenizer Split: behavior {behavior} is not supported"
                )
            kept = behavior == "Isolated"
            pattern = _pattern(described["pattern"])
            self._split(pattern, gaps=kept or not inverted, matches=kept or inverted)
        elif kind == "CharDelimiterSplit":
            self._split(literal(described["delimiter"]), gaps=True)
        elif kind == "WhitespaceSplit":
            self._split(CharacterClass(SPACE, literal=False), gaps=True)
        elif kind == "Whitespace":
            runs = (Repeat(CharacterClass(name, literal=False), 1, None) for name in (WORD, OTHER))
            self._split(Alternation(tuple(runs)), matches=True)
        else:
            raise CannotCompileError(f"pre-tokenizer {kind} is not supported")

    def _byte_level(self, described: dict[str, Any]) -> None:
        # That the model sees a character for each byte is left to the tables of the model.
        self.byte_level = True
        if described["add_prefix_space"]:
            self._prefix(" ", unless=" ")
        if described["use_regex"]:
            self._split(parse(_GPT2), gaps=True, matches=True)

    def _metaspace(self, described: dict[str, Any]) -> None:
        mark, scheme = described["replacement"], described["prepend_scheme"]
        if scheme == "first" and any(kind == SPLIT for kind, *_ in self.steps):
            raise CannotCompileError(
                "pre-tokenizer Metaspace: prepend_scheme first is not supported after a split"
            )
        self._map(MAP, {ord(" "): mark})
        if scheme != "never":
            self._prefix(mark, unless=mark, at_start=scheme == "first")
        if described["split"]:
            begin = CharacterClass(mark, literal=True)
            rest = Repeat(CharacterClass(f"[^{_escaped(mark)}]", literal=False), 0, None)
            self._split(Concatenation((begin, rest)), gaps=True, matches=True)

    def _split(self, pattern: Node, *, gaps: bool = False, matches: bool = False) -> None:
        self.steps.append((SPLIT, pattern, int(gaps), int(matches)))

    def _replace(self, pattern: Node, content: str) -> None:
        if isinstance(pattern, CharacterClass):
            held = (
                [ord(pattern.source)]
                if pattern.literal
                else np.flatnonzero(members(pattern.source))
            )
            self._map(MAP, dict.fromkeys(map(int, held), content))
            return
        first = len(self.pool)
        self.pool += map(ord, content)
        self.steps.append((REPLACE, pattern, first, len(self.pool)))

    def _map(self, kind: int, spelled: Mapping[int, str], *, merging: bool = False) -> None:
        cells = np.zeros(CODE_POINTS, dtype=np.int32)
        places: dict[str, int] = {}
        for c, to in spelled.items():
            if len(to) == 1:
                cells[c] = ord(to) - c  # differences, not code points: many pages of them are equal
                continue
            if len(to) > LONGEST_SPELLED:
                raise CannotCompileError(
                    f"U+{c:04X} becomes {len(to)} characters, limit {LONGEST_SPELLED}"
                )
            if to not in places:
                places[to] = len(self.pool)
                self.pool += [len(to), *map(ord, to)]
            cells[c] = SPELLED + places[to]
        self.steps.append((kind, len(self.maps), int(merging), 0))
        self.maps.append(cells)

    def tables(self) -> dict[str, Any]:
        """Return all tables except those of the vocabulary, as attributes of a `Lookup`."""
        symbols = Symbols(pattern for kind, pattern, *_ in self.steps if kind in {REPLACE, SPLIT})
        code: list[tuple[int, int, int, int, int]] = []
        steps = []
        for kind, operand, a, b in self.steps:
            at = generate(operand, symbols, code) if kind in {REPLACE, SPLIT} else operand
            steps.append((kind, at, a, b))
        mark = np.zeros(CODE_POINTS, dtype=np.uint8)
        pairs: dict[tuple[int, int], int] = {}
        if self.forms:
            pairs = merges()
            mark = marks() | np.where(seconds(), np.uint8(SECOND), np.uint8(0))
        # A code point has 21 bits, so a pair fits one int64 key; the kernel searches the sorted keys.
        keys = {(first << 21) + second: c for (first, second), c in sorted(pairs.items())}
        byte_index, byte_cells = _paged([symbols.of, mark])
        map_index, map_cells = _paged(self.maps)
        return {
            "byte_index": byte_index,
            "byte_cells": byte_cells,
            "map_index": map_index,
            "map_cells": map_cells,
            "pool": np.array(self.pool, dtype=np.int32),
            "merges": np.array(list(keys), dtype=np.int64),
            "merged": np.array(list(keys.values()), dtype=np.int32),
            "code": np.array(code, dtype=np.int64).reshape(-1, 5),
            "steps": np.array(steps, dtype=np.int32).reshape(-1, 4),
        }


def _escaped(c: str) -> str:
    """Return a character as it is written in a character class."""
    return "\\" + c if c in "\\[]^-&" else c


def _pattern(described: dict[str, str]) -> Node:
    """Parse the pattern of a Replace or Split."""
    pattern = literal(described["String"]) if "String" in described else parse(described["Regex"])
    if may_be_empty(pattern):
        raise CannotCompileError(
            f"pattern {next(iter(described.values()))!r}: may match the empty text"
        )
    return pattern


def _paged(tables: list[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Cut tables of all code points into pages, and store each distinct page once."""
    if not tables:
        return np.zeros((0, CODE_POINTS // PAGE), np.int32), np.zeros((0, PAGE), np.int32)
    kept: dict[bytes, int] = {}
    index = [
        kept.setdefault(page.tobytes(), len(kept))
        for table in tables
        for page in table.reshape(-1, PAGE)
    ]
    # `kept` is in the order in which pages were numbered
    cells = np.frombuffer(b"".join(kept), dtype=tables[0].dtype).reshape(-1, PAGE)
    return np.array(index, dtype=np.int32).reshape(len(tables), -1), cells


def _model(described: dict[str, Any], tokenizer: Tokenizer, *, byte_level: bool) -> dict[str, Any]:
    listed = described["vocab"]
    if isinstance(listed, dict) and len(listed) < tokenizer.get_vocab_size(with_added_tokens=False):
        # The library writes only one of them into the file.
        raise CannotCompileError("two words of its vocabulary have the same id")
    if described["type"] == "WordLevel":
        return word_tables(described["vocab"], described["unk_token"], byte_level=byte_level)
    return subword_tables(described, tokenizer.model, byte_level=byte_level)


def ends_in_bytes(tokenizer: Tokenizer) -> bool:
    """Return whether the pieces of a tokenizer are characters that stand for bytes (ByteLevel)."""
    parts = _parts(json.loads(tokenizer.to_str())["pre_tokenizer"], "pretokenizers")
    return bool(parts) and parts[-1]["type"] == "ByteLevel"


def word_tables(
    vocabulary: Mapping[str, int], unknown: str, *, byte_level: bool = False
) -> dict[str, Any]:
    """Return a vocabulary as attributes of a `Lookup`, sorted by word id.

    With `byte_level`, its words are characters that stand for bytes, and those that are not are never looked up.
    """
    # No piece is empty, so nothing ever looks up the empty word.
    words = sorted((word for word in vocabulary if word), key=lambda word: (vocabulary[word], word))
    spelled = ((as_bytes(word) if byte_level else word.encode(), word) for word in words)
    return {
        **word_arrays((data, vocabulary[word]) for data, word in spelled if data is not None),
        "unknown": vocabulary.get(unknown, NO_UNKNOWN),
    }
