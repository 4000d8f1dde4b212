"""Parse the regular expressions of tokenizers: the part of Oniguruma's syntax that a lookup can match.

Sets of characters are not interpreted here: their source is kept, and the library is asked what is in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .errors import CannotCompileError

MAX_COPIES: Final = 64
"""Most times that a group may be written out."""

_QUANTIFIER: Final = re.compile(r"[*+?]|\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")
_ESCAPED_SET: Final = re.compile(r"\\(?:[sSdDwWh]|[pP]\{\^?[A-Za-z_ ]+\})")
_ESCAPED: Final = re.compile(r"\\([^A-Za-z0-9])")
_CONTROLS: Final = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\f": "\f", r"\v": "\v"}
# A set with nothing that a plain reading could get wrong: no set in it, no intersection, no POSIX name.
_BRACKETS: Final = re.compile(
    r"\[\^?(?:[^\[\]\\&]|\\[^A-Za-z0-9]|\\[sSdDwWhntrfv]|\\[pP]\{\^?[A-Za-z_ ]+\})+\]"
)
_SPECIAL: Final = frozenset("\\[]{}()*+?|^$.")
_LOOKS: Final = {
    "(?=": (False, False),
    "(?!": (False, True),
    "(?<=": (True, False),
    "(?<!": (True, True),
}


@dataclass(frozen=True, slots=True)
class CharacterClass:
    """One character of a set: `source` is its expression, or the character itself."""

    source: str
    literal: bool


@dataclass(frozen=True, slots=True)
class Concatenation:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternation:
    """The first of the options that lets the whole match."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """As often as possible, `low` to `high` times (None: no limit)."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class LookAround:
    """A condition on what stands ahead or behind."""

    part: Node
    behind: bool
    negated: bool


Node = CharacterClass | Concatenation | Alternation | Repeat | LookAround


def literal(text: str) -> Node:
    """Make the pattern that matches a text itself."""
    return Concatenation(tuple(CharacterClass(c, literal=True) for c in text))


def parse(source: str) -> Node:
    """Parse a regular expression.

    Raises
    ------
    CannotCompileError
        It needs what a lookup cannot match.

    """
    parser = _Parser(source)
    node = parser.choice()
    if parser.at < len(source):
        raise parser.refused()
    return node


def sets(node: Node) -> list[CharacterClass]:
    """List the sets of a pattern."""
    match node:
        case CharacterClass():
            return [node]
        case Concatenation(parts) | Alternation(parts):
            return [s for part in parts for s in sets(part)]
        case Repeat(part) | LookAround(part):
            return sets(part)


def may_be_empty(node: Node) -> bool:
    """Tell whether a pattern can match no character."""
    match node:
        case CharacterClass():
            return False
        case Concatenation(parts):
            return all(map(may_be_empty, parts))
        case Alternation(options):
            return any(map(may_be_empty, options))
        case Repeat(part, low):
            return low == 0 or may_be_empty(part)
        case LookAround():
            return True


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def refused(self) -> CannotCompileError:
        return CannotCompileError(
            f"pattern {self.source!r}: {self.source[self.at : self.at + 12]!r} is not supported"
        )

    def take(self, text: str) -> bool:
        found = self.source.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def choice(self) -> Node:
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Alternation(tuple(options))

    def sequence(self) -> Node:
        parts = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            parts.append(self.repeated())
        return parts[0] if len(parts) == 1 else Concatenation(tuple(parts))

    def repeated(self) -> Node:
        node = self.one()
        found = _QUANTIFIER.match(self.source, self.at)
        if not found:
            return node
        low, high = _times(found)
        # lazy and possessive ones, and a quantifier of a quantifier
        follows = self.source[found.end() : found.end() + 1]
        whole = isinstance(node, CharacterClass) or ((high or low) <= MAX_COPIES)
        reversed_range = high is not None and high < max(low, 1)
        if (
            follows in {"?", "+", "*", "{"}
            or not whole
            or reversed_range
            or isinstance(node, LookAround)
        ):
            raise self.refused()
        if not isinstance(node, CharacterClass) and may_be_empty(node):
            raise self.refused()
        self.at = found.end()
        return Repeat(node, low, high)

    def one(self) -> Node:
        for opening, (behind, negated) in _LOOKS.items():
            if self.take(opening):
                part = self.closed()
                if behind and not isinstance(part, CharacterClass):
                    raise self.refused()
                return LookAround(part, behind, negated)
        if self.take("(?:"):
            return self.closed()
        if self.source.startswith("(?", self.at):
            raise self.refused()
        if self.take("("):
            return self.closed()
        return self.character()

    def closed(self) -> Node:
        node = self.choice()
        if not self.take(")"):
            raise self.refused()
        return node

    def character(self) -> CharacterClass:
        for pattern in (_BRACKETS, _ESCAPED_SET):
            if found := pattern.match(self.source, self.at):
                # a range may not begin or end with a set, and then means something else
                self.at = found.end()
                return CharacterClass(found[0], literal=False)
        if found := _ESCAPED.match(self.source, self.at):
            self.at = found.end()
            return CharacterClass(found[1], literal=True)
        for written, c in _CONTROLS.items():
            if self.take(written):
                return CharacterClass(c, literal=True)
        c = self.source[self.at]
        if self.take("."):
            return CharacterClass(".", literal=False)
        if c in _SPECIAL:
            raise self.refused()
        self.at += 1
        return CharacterClass(c, literal=True)


def _times(found: re.Match[str]) -> tuple[int, int | None]:
    """Read a quantifier."""
    plain = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if found[0] in plain:
        return plain[found[0]]
    low = int(found[1])
    if not found[2]:
        return low, low
    return low, None if found[3] is None else int(found[3])
