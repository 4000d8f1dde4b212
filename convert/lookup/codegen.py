"""Generate programs of the lookup's matching machine (simcore/text/_lookup_patterns.h) from patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore.text.lookup_format import (
    AHEAD,
    BEHIND,
    CODE_POINTS,
    DONE,
    END,
    FORK,
    JUMP,
    MAX_REPEAT,
    RUN,
    SET,
    START,
)
from .errors import CannotCompileError
from .patterns import Alternation, CharacterClass, Concatenation, LookAround, Repeat, sets
from .probing import members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from .patterns import Node

_ALL: Final = (1 << (END + 1)) - 1


class Symbols:
    """Group characters into symbols: two share one if no character class of the patterns distinguishes them.

    Parameters
    ----------
    patterns
        All patterns of a tokenizer.

    Raises
    ------
    CannotCompileError
        If the patterns have too many character classes, or distinguish too many symbols.

    """

    def __init__(self, patterns: Iterable[Node]) -> None:
        used = list(dict.fromkeys(s for pattern in patterns for s in sets(pattern)))
        if len(used) > 63:  # one bit each of a signed 64-bit integer
            raise CannotCompileError(f"its patterns hold {len(used)} character classes, limit 63")
        bits = np.zeros(CODE_POINTS, dtype=np.int64)
        for k, each in enumerate(used):
            if each.literal:
                bits[ord(each.source)] |= 1 << k
            else:
                bits[members(each.source)] |= 1 << k
        classes = np.unique(bits)
        if len(classes) > END:
            raise CannotCompileError(
                f"its patterns distinguish {len(classes)} symbols, limit {END}"
            )
        self.of: NDArray[np.uint8] = np.searchsorted(classes, bits).astype(np.uint8)
        """The symbol of each character, (1114112,)."""
        self._masks = {
            each: sum(1 << s for s, held in enumerate(classes.tolist()) if held >> k & 1)
            for k, each in enumerate(used)
        }

    def mask(self, each: CharacterClass) -> int:
        """Return the symbols of a character class as bits."""
        return self._masks[each]


def generate(pattern: Node, symbols: Symbols, code: list[tuple[int, int, int, int, int]]) -> int:
    """Append the program of a pattern to `code`; return the index of its first instruction."""
    begin = len(code)
    # No match begins at the end of the text, since no pattern matches the empty text.
    code.append((START, 0, 0, _first(pattern, _ALL, symbols) & ~(1 << END), 0))
    _Writer(symbols, code).write(pattern, _ALL)
    code.append((DONE, 0, 0, 0, 0))
    return begin


def _first(node: Node, following: int, symbols: Symbols) -> int:
    """Return the symbols that a match can begin with, as bits.

    Parameters
    ----------
    node
        The pattern.
    following
        Symbols that can follow the pattern, as bits: a match of the empty text begins with one of these.
    symbols
        The symbols of all patterns.

    """
    match node:
        case CharacterClass():
            return symbols.mask(node)
        case Concatenation(parts):
            for part in reversed(parts):
                following = _first(part, following, symbols)
            return following
        case Alternation(options):
            found = 0
            for option in options:
                found |= _first(option, following, symbols)
            return found
        case Repeat(part, low):
            return _first(part, _ALL, symbols) | (0 if low else following)
        case LookAround(part, behind, negated):
            return following if behind or negated else following & _first(part, _ALL, symbols)


class _Writer:
    def __init__(self, symbols: Symbols, code: list[tuple[int, int, int, int, int]]) -> None:
        self.symbols = symbols
        self.code = code

    def write(self, node: Node, following: int) -> None:
        """Append the program of a part, after which the text continues with a symbol of `following` (bits)."""
        match node:
            case CharacterClass():
                self.code.append((SET, 0, 0, self.symbols.mask(node), 0))
            case Concatenation(parts):
                for k, part in enumerate(parts):
                    rest = Concatenation(parts[k + 1 :])
                    self.write(part, _first(rest, following, self.symbols))
            case Alternation(options):
                self._choice(options, following)
            case Repeat(CharacterClass() as part, low, high):
                most = MAX_REPEAT if high is None else high
                self.code.append((RUN, low, most, self.symbols.mask(part), following))
            case Repeat(part, low, high):
                self._repeat(part, low, high, following)
            case LookAround(CharacterClass() as part, True, negated):
                self.code.append((BEHIND, 0, negated, self.symbols.mask(part), 0))
            case LookAround(part, _, negated):
                at = self._reserve()
                self.write(part, _ALL)
                self.code.append((DONE, 0, 0, 0, 0))
                self.code[at] = (AHEAD, len(self.code), negated, 0, 0)

    def _reserve(self) -> int:
        self.code.append((JUMP, 0, 0, 0, 0))
        return len(self.code) - 1

    def _choice(self, options: tuple[Node, ...], following: int) -> None:
        # Each option but the last:  FORK next; the option; JUMP end;  next: ...  The targets are known only after the
        # code between, so the instructions are reserved first and written later.
        ends = []
        for option in options[:-1]:
            fork = self._reserve()
            self.write(option, following)
            ends.append(self._reserve())
            first = _first(option, following, self.symbols)
            self.code[fork] = (FORK, len(self.code), 0, first, 0)
        self.write(options[-1], following)
        for end in ends:
            self.code[end] = (JUMP, len(self.code), 0, 0, 0)

    def _repeat(self, part: Node, low: int, high: int | None, following: int) -> None:
        # `low` copies that must match, then optional ones behind a FORK each, or one in a loop if there is no limit.
        again = _first(part, _ALL, self.symbols)
        for _ in range(low):
            self.write(part, again | following)
        forks = []
        for _ in range(1 if high is None else high - low):
            forks.append(self._reserve())
            self.write(part, again | following)
        if high is None:
            self.code.append((JUMP, forks[0], 0, 0, 0))
        for fork in forks:
            self.code[fork] = (FORK, len(self.code), 0, again, 0)
