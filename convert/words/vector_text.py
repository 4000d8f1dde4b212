"""Word vectors as text: a word and its numbers on each line, with or without the header `words dimensions`.

word2vec and fastText write the header, GloVe does not.  Spaces or tabs separate the fields.  The numbers are the last
fields of a line, because a word may contain spaces, or be one: GloVe's table of 840 billion tokens has `. . .` and
`at name@domain.com`, and tables of characters have the space itself.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MOST_SHOWN: Final = 60
"""Characters of a malformed line or number that a message shows."""

LINES_LOOKED_AT: Final = 1000
"""Lines at the start of a file without a header that decide how many numbers a line has."""

EXPECTED: Final = (
    "expected word vectors as text (word2vec, fastText .vec, GloVe) or in word2vec's binary form"
)
"""What a message says about a file of another form."""

_SEPARATOR: Final = re.compile(rb"[ \t]")

_LARGEST: Final = float(np.finfo(np.float32).max)


def header(line: bytes) -> tuple[int, int] | None:
    """Return the number of words and of dimensions that the first line of a file states; None if it is no header."""
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None
    return int(fields[0]), int(fields[1])


def read_text(path: Path, content: bytes) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Return the words with their rows, and the distinct rows (float32, finite).

    Raises
    ------
    DataError
        If the file is truncated, or a line does not match the header or, without one, most other lines.
    """
    lines = content.split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    stated = header(lines[0]) if lines else None
    if stated is None:
        dimensions, first = _usual_dimensions(path, lines), 0
    else:
        count, dimensions = stated
        first = 1
        if not (count and dimensions):
            raise DataError(
                f"{path}:1: the header says {count} words of {dimensions} dimensions, expected at least 1 of each"
            )
        if len(lines) - 1 != count:
            raise DataError(f"{path}: {len(lines) - 1} vectors, but the header says {count}")
    return _read_lines(path, lines, first, dimensions)


def _read_lines(
    path: Path, lines: list[bytes], first: int, dimensions: int
) -> tuple[dict[str, int], NDArray[np.float32]]:
    words: dict[str, int] = {}
    distinct: dict[bytes, int] = {}
    first_lines: list[int] = []
    tabs = lines[first].count(b"\t") > lines[first].count(b" ")
    separator = b"\t" if tabs else b" "
    split = False
    for number, line in enumerate(islice(lines, first, None), start=first + 1):
        word, _, numbers = line.rstrip().partition(separator)
        if tabs:
            numbers = numbers.replace(b"\t", b" ")
        # Equal vectors have equal digits, so comparing their text finds duplicates before parsing: of the
        # 24 million numbers in the file that the bundled model uses, 1.8 million are left to parse.
        row = distinct.setdefault(numbers, len(distinct))
        if row == len(first_lines):
            if numbers.count(b" ") != dimensions - 1:
                del distinct[numbers]
                word, numbers = _split(path, number, line.rstrip(), dimensions)
                split = True
                row = distinct.setdefault(numbers, len(distinct))
            if row == len(first_lines):
                first_lines.append(number)
        # Crawled tables contain a few words with broken encoding: keep the file, with U+FFFD in those words.
        words.setdefault(word.decode("utf-8", errors="replace"), row)
    return _unpadded(words) if split else words, _parse(
        path, list(distinct), first_lines, dimensions
    )


def _usual_dimensions(path: Path, lines: list[bytes]) -> int:
    """Return how many numbers most lines have; a few may have a word with spaces, or a space as their word."""
    counts = Counter(len(line.split()) - 1 for line in lines[:LINES_LOOKED_AT])
    ((dimensions, _),) = counts.most_common(1) or [(0, 0)]
    fields = lines[0].split() if lines else []
    if dimensions < 1 or not fields or _number(fields[-1]) is None:
        shown = lines[0][:MOST_SHOWN].decode(errors="replace") if lines else ""
        raise DataError(
            f"{path}:1: {shown!r} is neither the header 'words dimensions' nor a word and its numbers; {EXPECTED}"
        )
    return dimensions


def _split(path: Path, number: int, line: bytes, dimensions: int) -> tuple[bytes, bytes]:
    """Split a line in which there are more separators than numbers: some are of its word, or between its columns."""
    if not line:
        raise DataError(f"{path}:{number}: empty, expected a word and {dimensions} numbers")
    fields, columns = _SEPARATOR.split(line), line.split()
    numbers = fields[-dimensions:]
    if len(fields) > dimensions and all(numbers):
        word = line[: len(line) - sum(map(len, numbers)) - dimensions]
    elif len(columns) > dimensions:
        word, *numbers = line.rsplit(None, dimensions)
    else:
        word, numbers = (line[:1], columns) if line[:1] in b" \t" else (b"", columns[1:])
    # A number in front of the numbers is rather one too many than the end of a word.
    _, space, last = word.strip().rpartition(b" ")
    if len(numbers) != dimensions or (space and _number(last) is not None):
        raise DataError(f"{path}:{number}: {len(columns) - 1} numbers, expected {dimensions}")
    return word, b" ".join(numbers)


def _unpadded(words: dict[str, int]) -> dict[str, int]:
    """Remove the spaces around the words if they fill a column; a single one may be of the word."""
    if not any(word.strip() and (word[:2] == "  " or word[-2:] == "  ") for word in words):
        return words
    unpadded: dict[str, int] = {}
    for word, row in words.items():
        unpadded.setdefault(word.strip(" ") or word, row)
    return unpadded


def _parse(
    path: Path, rows: list[bytes], first_lines: list[int], dimensions: int
) -> NDArray[np.float32]:
    # np.fromstring stops at malformed text with a mere warning: turn it into an error.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(b" ".join(rows).decode("ascii"), dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            values = np.empty(0)
    with np.errstate(over="ignore"):
        matrix = values.astype(np.float32)
    if matrix.size != len(rows) * dimensions or not np.isfinite(matrix).all():
        raise _first_bad(path, rows, first_lines)
    return matrix.reshape(len(rows), dimensions)


def _first_bad(path: Path, rows: list[bytes], first_lines: list[int]) -> DataError:
    """Return the error for the first malformed number, found by parsing again, number by number."""
    for number, row in zip(first_lines, rows, strict=True):
        for field in row.split(b" "):
            if _number(field) is None:
                shown = field[:MOST_SHOWN].decode(errors="replace")
                return DataError(f"{path}:{number}: {shown!r} is not a finite number")
    return DataError(f"{path}: the numbers cannot be parsed")


def _number(field: bytes) -> float | None:
    """Parse a number that is finite as float32; None if it is none."""
    try:
        value = float(field)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST and b"_" not in field else None
