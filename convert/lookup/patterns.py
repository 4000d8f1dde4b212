"""Parse the regular expressions of tokenizers: the subset of Oniguruma's syntax that a lookup can match.

Character classes are not interpreted here: the parser keeps their source, and `probing` queries the library for
their members.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from .errors import CannotCompileError

MAX_COPIES: Final = 64
"""Largest repeat count of a group: the compiler writes the group out that many times."""

_QUANTIFIER: Final = re.compile(r"[*+?]|\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")
_ESCAPED_SET: Final = re.compile(r"\\(?:[sSdDwWh]|[pP]\{\^?[A-Za-z_ ]+\})")
_ESCAPED: Final = re.compile(r"\\([^A-Za-z0-9])")
_CONTROLS: Final = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\f": "\f", r"\v": "\v"}
# Only unambiguous bracket expressions: no nested class, no intersection, no POSIX name.
_BRACKETS: Final = re.compile(
    r"\[\^?(?:[^\[\]\\&]|&(?!&)|\\[^A-Za-z0-9]|\\[sSdDwWhntrfv]|\\[pP]\{\^?[A-Za-z_ ]+\})+\]"
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
    """Matches one character: `source` is that character (`literal`), or the expression of a class."""

    source: str
    literal: bool


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Matches its parts one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternation:
    """Matches the first option with which the whole pattern matches."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Matches a part `low` to `high` times (None: no limit), as often as possible."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class LookAround:
    """Matches the empty text where a part matches ahead or behind, or where it does not (`negated`)."""

    part: Node
    behind: bool
    negated: bool


Node = CharacterClass | Concatenation | Alternation | Repeat | LookAround


def literal(text: str) -> Node:
    """Return the pattern that matches exactly one text."""
    return Concatenation(tuple(CharacterClass(c, literal=True) for c in text))


def parse(source: str) -> Node:
    """Parse a regular expression.

    Raises
    ------
    CannotCompileError
        If it uses syntax that a lookup cannot match.

    """
    parser = _Parser(source)
    node = parser.choice()
    if parser.at < len(source):
        raise parser.refused()
    return node


def sets(node: Node) -> list[CharacterClass]:
    """Return the character classes of a pattern, in order."""
    match node:
        case CharacterClass():
            return [node]
        case Concatenation(parts) | Alternation(parts):
            return [s for part in parts for s in sets(part)]
        case Repeat(part) | LookAround(part):
            return sets(part)


def may_be_empty(node: Node) -> bool:
    """Return whether a pattern can match the empty text."""
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
        self.any_case = False

    def refused(self) -> CannotCompileError:
        return CannotCompileError(
            f"pattern {self.source!r}: {self.source[self.at : self.at + 12]!r} is not supported"
        )

    def take(self, text: str) -> bool:
        found = self.source.startswith(text, self.at)
        self.at += len(text) * found  # only if the text was found
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
        # Refuse lazy and possessive quantifiers, and a quantifier of a quantifier.
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
        if self.take("(?i:"):
            return self.closed_any_case()
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

    def closed_any_case(self) -> Node:
        begin, before = self.at, self.any_case
        self.any_case = True
        node = self.closed()
        self.any_case = before
        folded = self.source[begin : self.at].casefold()
        if any(several in folded for several in _folds()):
            # "ss" would match one character, "\u00df".
            self.at = begin
            raise self.refused()
        return node

    def character(self) -> CharacterClass:
        begin = self.at
        found = self.cased()
        if not self.any_case:
            return found
        return CharacterClass(f"(?i:{self.source[begin : self.at]})", literal=False)

    def cased(self) -> CharacterClass:
        for pattern in (_BRACKETS, _ESCAPED_SET):
            if found := pattern.match(self.source, self.at):
                # The source is kept, so what a range with a class at its end means is left to the library.
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


@cache
def _folds() -> frozenset[str]:
    """Return the texts of several characters that equal one character if case is ignored."""
    folded = (chr(c).casefold() for c in range(0x110000))
    return frozenset(text for text in folded if len(text) > 1)


def _times(found: re.Match[str]) -> tuple[int, int | None]:
    """Return the smallest and the largest count of a quantifier (None: no limit)."""
    plain = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if found[0] in plain:
        return plain[found[0]]
    low = int(found[1])
    if not found[2]:
        return low, low
    return low, None if found[3] is None else int(found[3])
