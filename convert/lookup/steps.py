"""Collect the steps of a lookup, and turn them into its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore.text.lookup_format import (
    AT_START,
    BEHAVIORS,
    BYTES,
    CHUNK,
    CODE_POINTS,
    CUT,
    FORM,
    IN_WORD,
    IS_SPACE,
    LONGEST_SPELLED,
    MAP,
    MAX_REPEAT,
    PAGE,
    PREFIX,
    REPLACE,
    SCRIPTS,
    SECOND,
    SPELLED,
    SPLIT,
    STRIP,
)
from .codegen import Symbols, generate
from .errors import CannotCompileError
from .patterns import CharacterClass
from .probing import SPACE, WORD, marks, members, merges, scripts, seconds, spelled_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .patterns import Node

_MATCHING: Final = frozenset({REPLACE, SPLIT, CUT})
"""Steps whose first operand is a pattern."""

_CUTTING: Final = frozenset({SPLIT, CUT, CHUNK, SCRIPTS})


class Steps:
    """The steps of a lookup; patterns become programs at the end, when the symbols of all are known.

    Attributes
    ----------
    kinds : bool
        Whether the lookup needs to know white space and characters of words; a step for white space sets it.
    byte_level : bool
        Whether characters that stand for bytes are still to be written.

    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, Any, int, int]] = []
        self._pool: list[int] = []
        self._maps: list[NDArray[np.int32]] = []
        self._forms = False
        self._scripts = False
        self.kinds = False
        self.byte_level = False

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def cuts(self) -> bool:
        """Whether a step cuts pieces."""
        return any(kind in _CUTTING for kind, *_ in self._steps)

    @property
    def at_start(self) -> bool:
        """Whether a step does something at the start of the text only."""
        return any(kind == PREFIX and operand & AT_START for kind, operand, *_ in self._steps)

    def map(self, spelled: Mapping[int, str]) -> None:
        """Replace each of some characters by a text."""
        self._map(MAP, spelled)

    def form(self, name: str) -> None:
        """Apply a Unicode normal form."""
        self._forms = True
        self._map(FORM, spelled_out(name), merging=name.endswith("C"))

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
                places[to] = len(self._pool)
                self._pool += [len(to), *map(ord, to)]
            cells[c] = SPELLED + places[to]
        self._steps.append((kind, len(self._maps), int(merging), 0))
        self._maps.append(cells)

    def replace(self, pattern: Node, content: str) -> None:
        """Replace the matches of a pattern by a text."""
        if isinstance(pattern, CharacterClass):
            held = (
                [ord(pattern.source)]
                if pattern.literal
                else np.flatnonzero(members(pattern.source))
            )
            self.map(dict.fromkeys(map(int, held), content))
            return
        first = len(self._pool)
        self._pool += map(ord, content)
        self._steps.append((REPLACE, pattern, first, len(self._pool)))

    def prefix(self, text: str, *, unless: str = "", at_start: bool = False) -> None:
        """Write a text before each piece, or only at the start, but not before pieces that begin with `unless`."""
        first = len(self._pool)
        self._pool += map(ord, text)
        character = ord(unless) + 1 if unless else 0
        self._steps.append((PREFIX, character + AT_START * at_start, first, len(self._pool)))

    def bytes(self) -> None:
        """Write a character for each byte."""
        self.byte_level = False
        self._steps.append((BYTES, 0, 0, 0))

    def strip(self, *, left: bool, right: bool) -> None:
        """Remove white space at the ends."""
        self.kinds = True
        self._steps.append((STRIP, int(left), int(right), 0))

    def split(self, pattern: Node, *, gaps: bool = False, matches: bool = False) -> None:
        """Cut pieces at the matches of a pattern, and keep the gaps between these, the matches or both."""
        self._steps.append((SPLIT, pattern, int(gaps), int(matches)))

    def cut(self, pattern: Node, behavior: str, *, inverted: bool = False) -> None:
        """Cut pieces at the matches of a pattern, or (`inverted`) at the gaps, with a behavior of the library."""
        if behavior in BEHAVIORS:
            self._steps.append((CUT, pattern, BEHAVIORS.index(behavior), int(inverted)))
            return
        kept = behavior == "Isolated"
        self.split(pattern, gaps=kept or not inverted, matches=kept or inverted)

    def chunk(self, length: int) -> None:
        """Cut pieces into pieces of so many characters."""
        self._steps.append((CHUNK, min(length, MAX_REPEAT), 0, 0))

    def cut_at_scripts(self) -> None:
        """Cut pieces where the script changes."""
        self.kinds = self._scripts = True
        self._steps.append((SCRIPTS, 0, 0, 0))

    def tables(self) -> dict[str, Any]:
        """Return all tables except those of the vocabulary, as attributes of a `Lookup`."""
        symbols = Symbols(pattern for kind, pattern, *_ in self._steps if kind in _MATCHING)
        code: list[tuple[int, int, int, int, int]] = []
        steps = []
        for kind, operand, a, b in self._steps:
            at = generate(operand, symbols, code) if kind in _MATCHING else operand
            steps.append((kind, at, a, b))
        mark = np.zeros(CODE_POINTS, dtype=np.uint8)
        pairs: dict[tuple[int, int], int] = {}
        if self._forms:
            pairs = merges()
            mark = marks() | np.where(seconds(), np.uint8(SECOND), np.uint8(0))
        # A code point has 21 bits, so a pair fits one int64 key; the kernel searches the sorted keys.
        keys = {(first << 21) + second: c for (first, second), c in sorted(pairs.items())}
        rows = [symbols.of, mark]
        if self.kinds:
            rows.append(
                np.where(members(WORD), IN_WORD, 0).astype(np.uint8)
                | np.where(members(SPACE), IS_SPACE, 0).astype(np.uint8)
            )
        if self._scripts:
            rows.append(scripts())
        byte_index, byte_cells = _paged(rows)
        map_index, map_cells = _paged(self._maps)
        return {
            "byte_index": byte_index,
            "byte_cells": byte_cells,
            "map_index": map_index,
            "map_cells": map_cells,
            "pool": np.array(self._pool, dtype=np.int32),
            "merges": np.array(list(keys), dtype=np.int64),
            "merged": np.array(list(keys.values()), dtype=np.int32),
            "code": np.array(code, dtype=np.int64).reshape(-1, 5),
            "steps": np.array(steps, dtype=np.int32).reshape(-1, 4),
        }


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
