"""Read word vectors in the text format of fastText and word2vec, plain or gzipped.

The first line is `words dimensions`; every other line is a word and its numbers, separated by single
spaces. Words with equal vectors (pruned tables such as spaCy's hold many) share one row of the matrix.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Vectors", "WordTable", "read_vectors", "vocabulary_table"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """A table of word vectors in which every row is distinct.

    Attributes
    ----------
    words
        The words in file order; only the first occurrence of a repeated word counts.
    rows
        int32 [words]: for each word, the row of `matrix` that holds its vector.
    matrix
        float32 [distinct, dimensions], finite.
    """

    words: tuple[str, ...]
    rows: NDArray[np.int32]
    matrix: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class WordTable:
    """The vectors of a tokenizer's vocabulary.

    Attributes
    ----------
    rows
        int32 [vocabulary]: word id to row of `matrix`.
    matrix
        float32 [distinct, dimensions]; the first rows are those of `SPECIALS`.
    """

    rows: NDArray[np.int32]
    matrix: NDArray[np.float32]


def read_vectors(path: Path) -> Vectors:
    """Read a `.vec` or `.vec.gz` file.

    Raises
    ------
    DataError
        If the file cannot be read or is truncated, or if a line does not match the header.
    """
    lines = _read(path).split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    count, dimensions = _header(path, lines)
    if len(lines) - 1 != count:
        raise DataError(f"{path}: {len(lines) - 1} vectors, but the header says {count}")
    words: dict[str, int] = {}
    distinct: dict[bytes, int] = {}
    first_lines: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        word, _, numbers = line.rstrip().partition(b" ")
        # Equal vectors have equal digits, so comparing their text finds duplicates before parsing: of the
        # 24 million numbers in the file that the bundled model uses, 1.8 million are left to parse.
        row = distinct.setdefault(numbers, len(distinct))
        if row == len(first_lines):
            first_lines.append(number)
            if numbers.count(b" ") != dimensions - 1:
                found = len(numbers.split())
                raise DataError(f"{path}:{number}: {found} numbers, expected {dimensions}")
        # Crawled tables contain a few words with broken encoding: keep the file, with U+FFFD in those words.
        words.setdefault(word.decode("utf-8", errors="replace"), row)
    return Vectors(
        words=tuple(words),
        rows=np.fromiter(words.values(), dtype=np.int32, count=len(words)),
        matrix=_parse(path, list(distinct), first_lines, dimensions),
    )


def vocabulary_table(vocabulary: Mapping[str, int], vectors: Vectors) -> tuple[WordTable, int]:
    """Look up the vector of every word of a tokenizer, and count the words without one.

    Words without a vector, usually the unknown token among them, get the zero vector.

    Parameters
    ----------
    vocabulary
        Word to word id; at least one entry.
    vectors
        Vectors of any words.

    Returns
    -------
    table, missing : WordTable and int
        Row 0 of the table's matrix is the zero vector; unused ids map to it as well. `missing` is the number of
        words without a vector.
    """
    row_of = dict(zip(vectors.words, vectors.rows.tolist(), strict=True))
    wanted = np.full(max(vocabulary.values()) + 1, -1, dtype=np.int64)
    for word, i in vocabulary.items():
        wanted[i] = row_of.get(word, -1)
    # The appended -1 sorts first, so that row 0 is the zero vector even if every word has a vector.
    used, rows = np.unique(np.append(wanted, -1), return_inverse=True)
    zero = np.zeros((1, vectors.matrix.shape[1]), dtype=np.float32)
    table = WordTable(
        rows=rows[:-1].astype(np.int32), matrix=np.concatenate([zero, vectors.matrix[used[1:]]])
    )
    return table, sum(word not in row_of for word in vocabulary)


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise DataError(f"{path}: {e.strerror or e}") from None
    if path.suffix.lower() != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as e:
        raise DataError(f"{path}: truncated or not a gzip file ({e})") from None


def _header(path: Path, lines: list[bytes]) -> tuple[int, int]:
    fields = lines[0].split() if lines else []
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        shown = lines[0][:60].decode(errors="replace") if lines else ""
        raise DataError(f"{path}:1: header {shown!r} is not 'words dimensions'")
    count, dimensions = int(fields[0]), int(fields[1])
    if not (count and dimensions):
        raise DataError(
            f"{path}:1: the header says {count} words of {dimensions} dimensions, expected at least 1 of each"
        )
    return count, dimensions


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
    if values.size != len(rows) * dimensions or not np.isfinite(values).all():
        raise _first_bad(path, rows, first_lines)
    return values.reshape(len(rows), dimensions).astype(np.float32)


def _first_bad(path: Path, rows: list[bytes], first_lines: list[int]) -> DataError:
    """Return the error for the first malformed number, found by parsing again, number by number."""
    for number, row in zip(first_lines, rows, strict=True):
        for field in row.split(b" "):
            try:
                finite = np.isfinite(float(field))
            except ValueError:
                finite = False
            if not finite:
                shown = field[:60].decode(errors="replace")
                return DataError(f"{path}:{number}: {shown!r} is not a finite number")
    return DataError(f"{path}: the numbers cannot be parsed")
