"""Word vectors in word2vec's binary form: `words dimensions`, then each word, a space and its float32 numbers."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import DataError
from .vector_text import header

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FLOAT: Final = np.dtype("<f4")

_CONTROL: Final = frozenset(range(32)) - set(b"\t\r\n")
"""Bytes that neither a text nor a word has."""


def is_binary(content: bytes) -> bool:
    """Return whether a file with a header continues with float32 numbers rather than digits."""
    first, _, rest = content[: 1 << 16].partition(b"\n")
    stated = header(first)
    if stated is None or stated[1] == 0:
        return False
    # A word of text may be in a broken encoding, so the line is text if its last fields are numbers.
    line = rest.partition(b"\n")[0]
    if all(_is_number(field) for field in line.split()[-stated[1] :]):
        return False
    numbers = rest.partition(b" ")[2][: stated[1] * _FLOAT.itemsize]
    return not _CONTROL.isdisjoint(numbers) or not _is_utf8(numbers)


def read_binary(path: Path, content: bytes) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Return the words with their rows, and the distinct rows (float32, finite).

    Raises
    ------
    DataError
        If the file is truncated, longer than its header states, or has a number that is not finite or a word that is
        empty or was cut at a space.
    """
    first, _, _ = content.partition(b"\n")
    stated = header(first)
    if stated is None:
        raise DataError(f"{path}:1: not the header of word2vec's binary form")
    count, dimensions = stated
    at, size = len(first) + 1, dimensions * _FLOAT.itemsize
    words: dict[str, int] = {}
    distinct: dict[bytes, int] = {}
    for i in range(count):
        space = content.find(b" ", at)
        end = space + 1 + size
        if space < 0 or end > len(content):
            raise DataError(f"{path}: ends in vector {i + 1}, but the header says {count}")
        # word2vec ends each vector with a line feed, gensim does not.
        word = content[at:space].lstrip(b"\n")
        if not word or not _CONTROL.isdisjoint(word):
            raise DataError(
                f"{path}: vector {i + 1} has no word, or one with a space, which word2vec's binary form cannot hold:"
                " write the file as text"
            )
        words.setdefault(
            word.decode("utf-8", errors="replace"),
            distinct.setdefault(content[space + 1 : end], len(distinct)),
        )
        at = end
    if content[at:].strip(b"\n"):
        raise DataError(
            f"{path}: {len(content) - at} bytes after the {count} vectors of its header"
        )
    matrix = np.frombuffer(b"".join(distinct), dtype=_FLOAT).reshape(len(distinct), dimensions)
    if not np.isfinite(matrix).all():
        bad = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        named = next((repr(word) for word, row in words.items() if row == bad), "a repeated word")
        raise DataError(f"{path}: the vector of {named} has a number that is not finite")
    return words, matrix.astype(np.float32)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_utf8(content: bytes) -> bool:
    """Return whether the bytes are UTF-8, the last character perhaps cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False
    return True
