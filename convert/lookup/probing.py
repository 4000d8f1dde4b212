"""Ask the tokenizers library what it does to each character of Unicode."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import Regex, normalizers, pre_tokenizers

from ...simcore.text.lookup import CODE_POINTS, SECOND
from .errors import CannotCompileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

_CHUNK: Final = 2**12
_SYLLABLES: Final = range(0xAC00, 0xD7A4)
_JAMO: Final = (range(0x1161, 0x1176), range(0x11A8, 0x11C3))
"""Hangul's vowels and final consonants: they merge with what stands before, by arithmetic."""

_LOWEST, _HIGHEST = "\u0334", "\u0345"
"""Marks of the lowest and of the highest class."""


def characters() -> NDArray[np.int32]:
    """List all code points that may stand in a text: no surrogates."""
    c = np.arange(CODE_POINTS, dtype=np.int32)
    return c[(c < 0xD800) | (c > 0xDFFF)]


def _chunks() -> Iterator[NDArray[np.int32]]:
    whole = characters()
    return (whole[i : i + _CHUNK] for i in range(0, len(whole), _CHUNK))


def as_text(points: NDArray[np.int32]) -> str:
    """Make a text of code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le")


def as_points(text: str) -> NDArray[np.int32]:
    """List the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<i4").astype(np.int32)


def normalized(normalizer: Any, texts: Iterable[str]) -> list[str]:
    """Normalise many texts, which hold no line feed, at once."""
    whole = list(texts)
    found: list[str] = normalizer.normalize_str("\n".join(whole)).split("\n")
    if len(found) != len(whole):
        raise CannotCompileError("its normalizer makes line feeds, or changes them")
    return found


@cache
def mapped(name: str) -> dict[int, str]:
    """Ask what a normalizer, by its name in the library, makes of each character alone, where it changes it."""
    normalizer = getattr(normalizers, name)()
    result = {}
    for chunk in _chunks():
        points = chunk[chunk != ord("\n")]
        text = as_text(points)
        if normalizer.normalize_str(text) == text:
            # nothing in here changes alone, as nothing changes in company
            continue
        for c, to in zip(text, normalized(normalizer, text), strict=True):
            if c != to:
                result[ord(c)] = to
    if normalizer.normalize_str("\n") != "\n":
        raise CannotCompileError(f"normalizer {name}: changes line feeds")
    return result


@cache
def members(source: str) -> NDArray[np.bool_]:
    """Ask which characters a set, written as a regular expression, holds: bool (1114112,)."""
    if source in NAMED:
        return NAMED[source]()
    result = np.zeros(CODE_POINTS, dtype=np.bool_)
    try:
        replace = normalizers.Replace(Regex(source), "\0")
        # NUL is what is written, so it is asked for by another letter
        result[0] = normalizers.Replace(Regex(source), "x").normalize_str("\0") == "x"
    except Exception as e:  # noqa: BLE001 - the library raises bare Exception
        raise CannotCompileError(f"pattern {source!r}: {e}") from None
    for chunk in _chunks():
        points = chunk[chunk != 0]
        found = as_points(replace.normalize_str(as_text(points)))
        if len(found) != len(points):
            raise CannotCompileError(f"pattern {source!r}: matches no single character")
        result[points] = found == 0
    return result


def spelled_out(form: str) -> dict[int, str]:
    """Ask how a form ("NFC", ...) spells each character out; Hangul syllables are left out, they are arithmetic."""
    found = mapped(form.replace("C", "D"))
    return {c: to for c, to in found.items() if c not in _SYLLABLES}


@cache
def merges() -> dict[tuple[int, int], int]:
    """Ask which pairs of characters merge into one, but for Hangul."""
    spelled = spelled_out("NFD")
    nfc = normalizers.NFC()
    back = normalized(nfc, spelled.values())
    kept = {c: to for (c, to), b in zip(spelled.items(), back, strict=True) if b == chr(c)}
    heads = normalized(nfc, (to[:-1] for to in kept.values()))
    return {
        (ord(head), ord(to[-1])): c
        for (c, to), head in zip(kept.items(), heads, strict=True)
        if len(head) == 1
    }


@cache
def marks() -> NDArray[np.uint8]:
    """Rank characters by their class of combining marks, by how they are sorted: uint8 (1114112,); 0 is no mark."""
    spelled = mapped("NFD")
    plain = characters()
    plain = plain[~np.isin(plain, [*spelled, ord("\n")])]
    found = plain[_moved(plain, ord(_LOWEST)) | _moved(ord(_HIGHEST), plain)]
    # all of them behind a letter come back sorted by their classes; two of one class do not change places
    ranked = as_points(normalizers.NFD().normalize_str("a" + as_text(found)))[1:]
    rank = 1 + np.cumsum(np.concatenate([[0], _moved(ranked[1:], ranked[:-1])]))
    if len(ranked) != len(found) or rank[-1] >= SECOND:
        raise CannotCompileError("its normalizer sorts marks in a way of its own")
    result = np.zeros(CODE_POINTS, dtype=np.uint8)
    result[ranked] = rank
    return result


def _moved(first: NDArray[np.int32] | int, second: NDArray[np.int32] | int) -> NDArray[np.bool_]:
    """Tell which pairs of marks change places behind a letter: the first one's class is the higher one."""
    a, end = np.int32(ord("a")), np.int32(ord("\n"))
    pairs = np.stack(np.broadcast_arrays(a, first, second, end), axis=-1).astype(np.int32)
    found = as_points(normalizers.NFD().normalize_str(as_text(pairs.ravel())))
    moved: NDArray[np.bool_] = (found.reshape(pairs.shape) != pairs).any(axis=-1)
    return moved


@cache
def seconds() -> NDArray[np.bool_]:
    """Tell which characters may merge into the one before: bool (1114112,)."""
    result = np.zeros(CODE_POINTS, dtype=np.bool_)
    result[[second for _, second in merges()]] = True
    for jamo in _JAMO:
        result[list(jamo)] = True
    return result


def spaces() -> NDArray[np.bool_]:
    """Tell which characters WhitespaceSplit cuts at: bool (1114112,)."""
    return ~_covered(pre_tokenizers.WhitespaceSplit())[0]


def word_characters() -> NDArray[np.bool_]:
    """Tell which characters Whitespace takes into words: bool (1114112,)."""
    splitter = pre_tokenizers.Whitespace()
    covered, pieces = _covered(splitter)
    word = np.zeros(CODE_POINTS, dtype=np.bool_)
    for first, last in pieces:
        # all of a piece is of one kind
        word[first : last + 1] = len(splitter.pre_tokenize_str("a" + chr(first))) == 1
    return word & covered


def other_characters() -> NDArray[np.bool_]:
    """Tell which characters Whitespace takes into runs of others than words and spaces: bool (1114112,)."""
    return _covered(pre_tokenizers.Whitespace())[0] & ~members(WORD)


WORD, OTHER, SPACE = "Whitespace, words", "Whitespace, others", "WhitespaceSplit"
NAMED: Final[dict[str, Callable[[], NDArray[np.bool_]]]] = {
    WORD: word_characters,
    OTHER: other_characters,
    SPACE: spaces,
}
"""Sets that no regular expression of the library's writes: the library splits by these with another engine."""


def _covered(splitter: Any) -> tuple[NDArray[np.bool_], list[tuple[int, int]]]:
    """Split all characters in their order; tell which stand in a piece, and the first and last of each piece."""
    covered = np.zeros(CODE_POINTS, dtype=np.bool_)
    pieces = []
    for chunk in _chunks():
        for piece, (first, last) in splitter.pre_tokenize_str(as_text(chunk)):
            if len(piece) != last - first:
                raise CannotCompileError("its pre-tokenizer changes characters")
            covered[chunk[first:last]] = True
            pieces.append((int(chunk[first]), int(chunk[last - 1])))
    return covered, pieces
