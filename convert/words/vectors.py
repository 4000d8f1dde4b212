"""Read word vectors: text with or without a header, or word2vec's binary form, plain or compressed.

Words with equal vectors (pruned tables such as spaCy's hold many) share one row of the matrix.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore.question_files import QuestionFileError
from ...simcore.question_files.content import looks_packed, opened
from ..errors import DataError
from ..files import read_file
from .vector_binary import is_binary, read_binary
from .vector_forms import foreign
from .vector_text import EXPECTED, header, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MAX_BYTES: Final = 1 << 33
"""Most bytes of a file of vectors, unpacked: GloVe's largest has 5.7 GB."""

_PIECE: Final = 1 << 20
"""Bytes that are decompressed at a time."""

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
    """Read word vectors as word2vec, fastText (`.vec`) and GloVe write them.

    The file may be compressed (gzip, bzip2, xz, zstd) or the only one of a zip archive.

    Raises
    ------
    DataError
        If the file cannot be read, is truncated or of another form, or if a line does not match the others.
    """
    content = _read(path)
    words, matrix = (read_binary if is_binary(content) else read_text)(path, content)
    return Vectors(
        words=tuple(words),
        rows=np.fromiter(words.values(), dtype=np.int32, count=len(words)),
        matrix=matrix,
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
    """Return the content of a file, decompressed, if it may hold word vectors in a form that is read."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(_PIECE)
            # a file of holes, or of another format, is not read to its end
            if foreign(head) is None and looks_packed(head) is None:
                _refuse_binary(path, head)
        content = read_file(path, MAX_BYTES)
    except OSError as e:
        raise DataError(f"{path}: {e.strerror or e}") from None
    _refuse_foreign(path, content)
    # An archive of one file may hold it under any name.
    packing = ".gz" if path.suffix.lower() == ".gz" else None
    try:
        unpacked = opened(BytesIO(content).read, ".txt", packing, path.name)
        if unpacked.packed:
            content = _unpacked(path, unpacked.read)
    except QuestionFileError as e:
        raise DataError(f"{path}: {e}") from None
    if unpacked.packed:
        _refuse_foreign(path, content)
    content = content.removeprefix(codecs.BOM_UTF8)
    _refuse_binary(path, content[:_PIECE])
    return content


def _unpacked(path: Path, read: Callable[[int], bytes]) -> bytes:
    content = BytesIO()
    for piece in iter(partial(read, _PIECE), b""):
        content.write(piece)
        if content.tell() > MAX_BYTES:
            raise DataError(f"{path}: more than {MAX_BYTES} bytes unpacked")
    return content.getvalue()


def _refuse_binary(path: Path, head: bytes) -> None:
    if b"\0" in head and header(head.removeprefix(codecs.BOM_UTF8).partition(b"\n")[0]) is None:
        raise DataError(f"{path}: binary data of another form; {EXPECTED}")


def _refuse_foreign(path: Path, content: bytes) -> None:
    if (what := foreign(content)) is not None:
        raise DataError(f"{path}: {what}")
