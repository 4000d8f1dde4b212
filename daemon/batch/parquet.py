"""Read questions from Parquet files; a part consists of row groups."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from ...simcore.question_files import Fault, InputRecord
from ...simcore.question_files.fields import find, missing_text, plain
from ...simcore.question_files.portions import PORTION_CHARACTERS
from ..errors import RejectedInputError
from .pages import chunk, pages
from .parts import InputPart, Preamble, Scan, changed
from .stores import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ...simcore.question_files import ReadOptions

BATCH_BYTES: Final = 1 << 23
"""Bytes of texts and ids that are unpacked together, apart from those of a page of each column."""

BUFFER_BYTES: Final = 1 << 20
"""Bytes of a column that are read ahead."""


@contextmanager
def _damage_rejected() -> Iterator[None]:
    """Convert pyarrow's errors about a damaged file."""
    try:
        yield
    except (pa.ArrowException, OverflowError) as e:
        raise RejectedInputError("bad_parquet", " ".join(str(e).split())[:200]) from e


def scan(file: BinaryIO, *, part_bytes: int | None, options: ReadOptions) -> Scan:
    """Read a Parquet file to its end, and cut it into parts between row groups.

    Parameters
    ----------
    file
        The file; it must be seekable.
    part_bytes
        Least size of a part's texts after decompression; None for a single part.
    options
        `text_field` and `id_field`.

    Raises
    ------
    RejectedInputError
        `bad_parquet`; `no_text_column`: it is missing or not of strings; `bad_id`: the column is neither of strings nor
        of integers; `empty`.

    """
    sha256, size = digest(file)
    file.seek(0)
    with _damage_rejected():
        opened = parquet.ParquetFile(file)
        text, name = _columns(opened.schema_arrow, options)
        facts = opened.metadata
    if facts.num_rows == 0:
        raise RejectedInputError("empty", f"no row in {size} bytes")
    with _damage_rejected():
        _rows_together(file, facts, range(facts.num_row_groups), [text, name or text])
    parts: list[InputPart] = []
    first, record, filled, rows = 0, 1, 0, 0
    for i in range(facts.num_row_groups):
        filled += _text_bytes(facts.row_group(i), text)
        rows += facts.row_group(i).num_rows
        whole = part_bytes is not None and filled >= part_bytes
        if rows and (whole or i == facts.num_row_groups - 1):
            # Empty row groups join the next part, so that every part has rows.
            span = _span(facts, first, i + 1)
            part = InputPart(
                number=len(parts),
                first=first,
                last=i + 1,
                record=record,
                sha256=digest(file, *span)[0],
            )
            parts.append(part)
            first, record, filled, rows = i + 1, record + rows, 0, 0
    return Scan(
        sha256=sha256, size=size, head=Preamble(options=options, sha256=sha256), parts=tuple(parts)
    )


def _columns(schema: Any, options: ReadOptions) -> tuple[str, str | None]:
    """Return the names of the columns of text and id, after checking their types."""
    places = find(schema.names, options)
    text, name = _column(schema, places.text), _column(schema, places.id)
    if text is None:
        raise RejectedInputError("no_text_column", missing_text(schema.names, options))
    kind = schema.field(text).type
    if not _is_text(kind):
        raise RejectedInputError("no_text_column", f"column {text!r} is {kind}, expected string")
    kind = None if name is None else schema.field(name).type
    if kind is not None and not _is_text(kind) and not pa.types.is_integer(kind):
        raise RejectedInputError("bad_id", f"column {name!r} is {kind}, expected string or integer")
    return text, name


def _column(schema: Any, place: int | None) -> str | None:
    if place is None:
        return None
    wanted: str = schema.names[place]
    count = sum(plain(name) == plain(wanted) for name in schema.names)
    if count > 1:
        raise RejectedInputError("bad_parquet", f"{count} columns are named {plain(wanted)!r}")
    return wanted


def _is_text(kind: Any) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(value)
        or pa.types.is_large_string(value)
        or pa.types.is_string_view(value)
    )


def _text_bytes(group: Any, name: str) -> int:
    """Return the size in bytes of a row group's texts after decompression."""
    columns = map(group.column, range(group.num_columns))
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema == name)


def _span(facts: Any, first: int, last: int) -> tuple[int, int]:
    """Return the byte range of row groups first..last-1: all pages of their columns."""
    spans = [
        chunk(group.column(k))
        for group in map(facts.row_group, range(first, last))
        for k in range(group.num_columns)
    ]
    return min(begin for begin, _ in spans), max(end for _, end in spans)


def _rows_together(file: BinaryIO, facts: Any, groups: Iterable[int], names: Sequence[str]) -> int:
    """Return how many rows of any pages of columns have about BATCH_BYTES at most, after checking all pages."""
    widest = 1.0
    for group in map(facts.row_group, groups):
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in names:
                for page in pages(file, column):
                    # Values of a dictionary are counted when they are used (`PartQuestions.batches`).
                    if page.values is not None:
                        widest = max(widest, page.size / max(page.values, 1))
    return max(1, int(BATCH_BYTES / widest))


class PartQuestions:
    """The questions of a part of a Parquet file.

    Parameters
    ----------
    file
        The file.
    part
        The part, as the scan returned it.
    options
        As for the scan.

    Attributes
    ----------
    strings
        Whether the ids are strings; otherwise they are integers, or row numbers from 1.

    Raises
    ------
    RejectedInputError
        `changed`: the bytes differ from those that were scanned; `bad_parquet`.

    """

    def __init__(self, file: BinaryIO, part: InputPart, options: ReadOptions) -> None:
        self._part = part
        self._groups = list(range(part.first, part.last or 0))
        self._limit = options.max_line_bytes
        file.seek(0)
        with _damage_rejected():
            self._opened = parquet.ParquetFile(file)
            if self._opened.metadata.num_row_groups < len(self._groups) + part.first:
                raise changed()
            span = _span(self._opened.metadata, self._groups[0], self._groups[-1] + 1)
            schema = self._opened.schema_arrow
            self._text, self._name = _columns(schema, options)
        if digest(file, *span)[0] != part.sha256:
            raise changed()
        names = [self._text] if self._name is None else [self._text, self._name]
        with _damage_rejected():
            rows = _rows_together(file, self._opened.metadata, self._groups, names)
            # A value of a dictionary stays one in memory, however many rows have it; and only the pages that are needed
            # are read, rather than a whole row group.
            self._opened = parquet.ParquetFile(
                file, read_dictionary=names, pre_buffer=False, buffer_size=BUFFER_BYTES
            )
        self._rows, self._names = rows, names
        self.strings = self._name is not None and _is_text(schema.field(self._name).type)

    def batches(self, rows: int) -> Iterator[list[InputRecord]]:
        """Yield the questions in batches of at most `rows`, and of about BATCH_BYTES.

        Raises
        ------
        RejectedInputError
            `bad_parquet`.

        """
        record = self._part.record
        batches = self._opened.iter_batches(
            min(rows, self._rows), row_groups=self._groups, columns=self._names
        )
        while (batch := self._next(batches)) is not None:
            with _damage_rejected():
                sizes = np.sum([_sizes(batch.column(name)) for name in self._names], axis=0)
            for first, last in _spans(sizes):
                some = batch.slice(first, last - first)
                yield self._questions(some, record + first, sizes[first:last])
            record += batch.num_rows

    def _questions(self, batch: Any, record: int, sizes: NDArray[np.int64]) -> list[InputRecord]:
        numbers = range(record, record + batch.num_rows)
        if sizes.max() > self._limit:  # it is alone
            fault = Fault("too_long", f"more than {self._limit} bytes")
            return [InputRecord(numbers[0], None, fault)]
        with _damage_rejected():
            names: Sequence[Any] = numbers
            if self._name is not None:
                names = _values(batch.column(self._name))
            return list(map(_question, numbers, names, _values(batch.column(self._text))))

    @staticmethod
    def _next(batches: Iterator[Any]) -> Any:
        with _damage_rejected():
            return next(batches, None)


def _sizes(column: Any) -> NDArray[np.int64]:
    """Return the bytes of each value of a column."""
    if pa.types.is_dictionary(column.type):
        if not _is_text(column.type):
            return np.zeros(len(column), dtype=np.int64)
        of_value = _sizes(column.dictionary)
        at = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return of_value[at] if len(of_value) else np.zeros(len(column), dtype=np.int64)
    if not _is_text(column.type):
        return np.zeros(len(column), dtype=np.int64)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    sizes = compute.binary_length(column).fill_null(0)
    return np.asarray(sizes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _spans(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut rows of these sizes into spans of PORTION_CHARACTERS or one row."""
    if sizes.sum() <= PORTION_CHARACTERS:
        yield 0, len(sizes)
        return
    first = size = 0
    for i, more in enumerate(sizes.tolist()):
        if i > first and size + more > PORTION_CHARACTERS:
            yield first, i
            first, size = i, 0
        size += more
    yield first, len(sizes)


def _question(number: int, name: Any, text: Any) -> InputRecord:
    if isinstance(name, Fault):
        return InputRecord(number, None, Fault("bad_id", name.message))
    name = number if name is None else name
    if text is None:
        return InputRecord(name, None, Fault("no_text", "null in the column of texts"))
    return InputRecord(name, None, text) if isinstance(text, Fault) else InputRecord(name, text)


def _values(column: Any) -> list[Any]:
    """Return the values of a column; a Fault in place of a string that is not UTF-8, which Parquet does not check."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        found: list[Any] = []
        for value in column.cast(pa.large_binary()).to_pylist():
            try:
                found.append(None if value is None else value.decode())
            except UnicodeDecodeError as e:
                found.append(
                    Fault("bad_text", f"byte 0x{value[e.start]:02x} at {e.start} is not UTF-8")
                )
        return found
