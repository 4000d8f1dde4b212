"""Query the tokenizers library for what it does to each character of Unicode."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import Regex, normalizers, pre_tokenizers

from ...simcore.text.lookup_format import CODE_POINTS, SECOND
from .errors import CannotCompileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

_CHUNK: Final = 2**12
_SYLLABLES: Final = range(0xAC00, 0xD7A4)
_JAMO: Final = (range(0x1161, 0x1176), range(0x11A8, 0x11C3))
"""Hangul's vowels and final consonants, which merge with the preceding character by arithmetic."""

_LOWEST, _HIGHEST = "\u0334", "\u0345"
"""Combining marks of the lowest and of the highest class."""


def characters() -> NDArray[np.int32]:
    """Return all code points that a text may contain, int32: all but the surrogates."""
    c = np.arange(CODE_POINTS, dtype=np.int32)
    return c[(c < 0xD800) | (c > 0xDFFF)]


def _chunks() -> Iterator[NDArray[np.int32]]:
    whole = characters()
    return (whole[i : i + _CHUNK] for i in range(0, len(whole), _CHUNK))


def as_text(points: NDArray[np.int32]) -> str:
    """Return the text of an array of code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le")


def as_points(text: str) -> NDArray[np.int32]:
    """Return the code points of a text, int32."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<i4").astype(np.int32)


def normalized(normalizer: Any, texts: Iterable[str], separator: str = "\n") -> list[str]:
    """Normalise many texts in one call; none may contain the separator."""
    whole = list(texts)
    found: list[str] = normalizer.normalize_str(separator.join(whole)).split(separator)
    if len(found) != len(whole):
        raise CannotCompileError(f"its normalizer adds or changes {separator!r}")
    return found


@cache
def mapped(name: str, *, separator: str = "\n", **options: bool) -> dict[int, str]:
    """Return each character that a normalizer changes, and the text that it becomes.

    Parameters
    ----------
    name
        The library's.
    separator
        A character that the normalizer leaves alone.
    options
        Of the normalizer.

    """
    normalizer = getattr(normalizers, name)(**options)
    result = {}
    for chunk in _chunks():
        points = chunk[chunk != ord(separator)]
        text = as_text(points)
        if normalizer.normalize_str(text) == text:
            # Shortcut: if the whole chunk is unchanged, so is each of its characters.
            continue
        for c, to in zip(text, normalized(normalizer, text, separator), strict=True):
            if c != to:
                result[ord(c)] = to
    if normalizer.normalize_str(separator) != separator:
        raise CannotCompileError(f"normalizer {name}: changes {separator!r}")
    return result


def bert_map(*, clean_text: bool, handle_chinese_chars: bool) -> dict[int, str]:
    """Return what BertNormalizer makes of characters before it strips accents."""
    options = {"clean_text": clean_text, "handle_chinese_chars": handle_chinese_chars}
    return mapped("BertNormalizer", separator="x", strip_accents=False, lowercase=False, **options)


def bert_accents() -> dict[int, str]:
    """Return what BertNormalizer makes of characters of a text in NFD when it strips accents."""
    options = dict.fromkeys(("clean_text", "handle_chinese_chars", "lowercase"), False)
    found = mapped("BertNormalizer", strip_accents=True, **options)
    decomposed = mapped("NFD")
    return {c: to for c, to in found.items() if c not in decomposed}


@cache
def members(source: str) -> NDArray[np.bool_]:
    """Return which characters a character class (a regular expression) matches: bool (1114112,)."""
    if source in NAMED:
        return NAMED[source]()
    result = np.zeros(CODE_POINTS, dtype=np.bool_)
    try:
        replace = normalizers.Replace(Regex(source), "\0")
        # Matches are replaced by NUL, so NUL itself needs another replacement.
        result[0] = normalizers.Replace(Regex(source), "x").normalize_str("\0") == "x"
    except Exception as e:  # noqa: BLE001 - the library raises bare Exception
        raise CannotCompileError(f"pattern {source!r}: {e}") from None
    for chunk in _chunks():
        points = chunk[chunk != 0]
        found = as_points(replace.normalize_str(as_text(points)))
        if len(found) != len(points):
            raise CannotCompileError(f"pattern {source!r}: does not match single characters")
        result[points] = found == 0
    return result


def spelled_out(form: str) -> dict[int, str]:
    """Return how a normal form ("NFC", ...) decomposes each character, except Hangul, which needs no table."""
    # a composing form decomposes first, as NFD or NFKD does
    found = mapped(form.replace("C", "D"))
    return {c: to for c, to in found.items() if c not in _SYLLABLES}


@cache
def merges() -> dict[tuple[int, int], int]:
    """Return the composition of every pair of characters that compose, except Hangul."""
    spelled = spelled_out("NFD")
    nfc = normalizers.NFC()
    back = normalized(nfc, spelled.values())
    # Only characters that NFC composes again are compositions (Unicode excludes some); the pair is everything but the
    # last character, composed, and the last character.
    kept = {c: to for (c, to), b in zip(spelled.items(), back, strict=True) if b == chr(c)}
    heads = normalized(nfc, (to[:-1] for to in kept.values()))
    return {
        (ord(head), ord(to[-1])): c
        for (c, to), head in zip(kept.items(), heads, strict=True)
        if len(head) == 1
    }


@cache
def marks() -> NDArray[np.uint8]:
    """Rank combining marks by the order that NFD sorts them in: uint8 (1114112,); 0 is not a mark."""
    spelled = mapped("NFD")
    plain = characters()
    plain = plain[~np.isin(plain, [*spelled, ord("\n")])]
    # NFD changes the text of a chunk only if a mark is in it, which spares most of Unicode the test one by one.
    normalizer = normalizers.NFD()
    chunks = (plain[i : i + _CHUNK] for i in range(0, len(plain), _CHUNK))
    some = [c for c in chunks if normalizer.normalize_str(text := _among_marks(c)) != text]
    plain = np.concatenate(some)
    found = plain[_moved(plain, ord(_LOWEST)) | _moved(ord(_HIGHEST), plain)]
    # NFD sorts marks after a letter by class and keeps the order within a class: so adjacent marks of the
    # sorted text that swap belong to different classes.
    ranked = as_points(normalizers.NFD().normalize_str("a" + as_text(found)))[1:]
    rank = 1 + np.cumsum(np.concatenate([[0], _moved(ranked[1:], ranked[:-1])]))
    if len(ranked) != len(found) or rank[-1] >= SECOND:
        raise CannotCompileError("its normalizer sorts combining marks in an unknown way")
    result = np.zeros(CODE_POINTS, dtype=np.uint8)
    result[ranked] = rank
    return result


def _among_marks(points: NDArray[np.int32]) -> str:
    """Put every character between the highest and the lowest mark: NFD reorders the three if it is a mark itself."""
    between = np.stack(
        np.broadcast_arrays(np.int32(ord(_HIGHEST)), points, np.int32(ord(_LOWEST))), axis=-1
    )
    return as_text(between.ravel())


def _moved(first: NDArray[np.int32] | int, second: NDArray[np.int32] | int) -> NDArray[np.bool_]:
    """Return which pairs of marks swap after a letter, because the class of the first is higher: bool array."""
    a, end = np.int32(ord("a")), np.int32(ord("\n"))
    pairs = np.stack(np.broadcast_arrays(a, first, second, end), axis=-1).astype(np.int32)
    found = as_points(normalizers.NFD().normalize_str(as_text(pairs.ravel())))
    moved: NDArray[np.bool_] = (found.reshape(pairs.shape) != pairs).any(axis=-1)
    return moved


@cache
def seconds() -> NDArray[np.bool_]:
    """Return which characters may compose with the preceding one: bool (1114112,)."""
    result = np.zeros(CODE_POINTS, dtype=np.bool_)
    result[[second for _, second in merges()]] = True
    for jamo in _JAMO:
        result[list(jamo)] = True
    return result


def spaces() -> NDArray[np.bool_]:
    """Return which characters WhitespaceSplit splits at: bool (1114112,)."""
    return ~_covered(pre_tokenizers.WhitespaceSplit())[0]


def word_characters() -> NDArray[np.bool_]:
    """Return which characters Whitespace treats as parts of words: bool (1114112,)."""
    splitter = pre_tokenizers.Whitespace()
    covered, pieces = _covered(splitter)
    word = np.zeros(CODE_POINTS, dtype=np.bool_)
    for first, last in pieces:
        # All characters of a piece are of the same kind.
        word[first : last + 1] = len(splitter.pre_tokenize_str("a" + chr(first))) == 1
    return word & covered


def other_characters() -> NDArray[np.bool_]:
    """Return which characters Whitespace treats as neither word nor space: bool (1114112,)."""
    return _covered(pre_tokenizers.Whitespace())[0] & ~members(WORD)


def numbers() -> NDArray[np.bool_]:
    """Return which characters Digits splits at: bool (1114112,)."""
    splitter = pre_tokenizers.Digits(individual_digits=False)
    result = np.zeros(CODE_POINTS, dtype=np.bool_)
    for first, last in _covered(splitter)[1]:
        # All characters of a piece are of the same kind.
        result[first : last + 1] = len(splitter.pre_tokenize_str("a" + chr(first))) > 1
    return result


def punctuation() -> NDArray[np.bool_]:
    """Return which characters Punctuation and BertPreTokenizer split at: bool (1114112,)."""
    return ~_covered(pre_tokenizers.Punctuation("removed"))[0]


@cache
def scripts() -> NDArray[np.uint8]:
    """Return the number of the script of each character, by UnicodeScripts: uint8 (1114112,); 0 goes with any."""
    splitter = pre_tokenizers.UnicodeScripts()
    result = np.zeros(CODE_POINTS, dtype=np.uint8)
    heads: list[int] = []  # a character of each script
    latin, greek = (np.array([ord(c)], np.int32) for c in "a\u03b1")
    for chunk in _chunks():
        if all(len(splitter.pre_tokenize_str(c + as_text(chunk))) == 1 for c in "a\u03b1"):
            continue  # most of Unicode is not assigned
        of_any = _joins(splitter, latin, chunk) & _joins(splitter, greek, chunk)
        for piece, _ in splitter.pre_tokenize_str(as_text(chunk[~of_any])):
            points = as_points(piece)
            joined = np.flatnonzero(_joins(splitter, np.array(heads, np.int32), points[:1]))
            if not len(joined):
                heads.append(int(points[0]))
                joined = np.array([len(heads) - 1])
            result[points] = joined[0] + 1
    return result


def _joins(splitter: Any, first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which pairs of characters a splitter keeps in one piece."""
    pairs = np.stack(np.broadcast_arrays(first, second), axis=-1).ravel()
    cut = np.zeros(len(pairs), dtype=np.bool_)
    cut[[begin for _, (begin, _) in splitter.pre_tokenize_str(as_text(pairs))]] = True
    joined: NDArray[np.bool_] = ~cut[1::2]
    return joined


WORD, OTHER, SPACE = "Whitespace, words", "Whitespace, others", "WhitespaceSplit"
NUMBER, PUNCTUATION = "Digits", "Punctuation"
NAMED: Final[dict[str, Callable[[], NDArray[np.bool_]]]] = {
    WORD: word_characters,
    OTHER: other_characters,
    SPACE: spaces,
    NUMBER: numbers,
    PUNCTUATION: punctuation,
}
"""Character classes without a regular expression: the library splits at these with another engine."""


def _covered(splitter: Any) -> tuple[NDArray[np.bool_], list[tuple[int, int]]]:
    """Split the text of all characters; return which are part of a piece, and each piece's first and last one."""
    covered = np.zeros(CODE_POINTS, dtype=np.bool_)
    pieces = []
    for chunk in _chunks():
        for piece, (first, last) in splitter.pre_tokenize_str(as_text(chunk)):
            if len(piece) != last - first:
                raise CannotCompileError("its pre-tokenizer changes characters")
            covered[chunk[first:last]] = True
            pieces.append((int(chunk[first]), int(chunk[last - 1])))
    return covered, pieces
