"""Parse the records of an input: text, JSON lines or a table with a header.

A record that cannot be parsed becomes a record with a fault, and the records around it are answered.  A whole input is
rejected (`RejectedInputError`) only for the reasons that `questions` lists.
"""

from __future__ import annotations

import codecs
import csv
import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import RejectedInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .line_reader import LineReader

TEXT_COLUMN: Final = "text"
ID_COLUMN: Final = "id"

TABLE_ROWS: Final = 512
"""Rows of a table that are yielded together."""

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
"""Delimiter of a table's fields, by suffix."""

MOST_IDS: Final = 100_000
"""Ids of one input that are remembered to find duplicates."""

MOST_CHARACTERS: Final = 2 << 20
"""Total characters of the remembered ids (at most 8 MiB of memory); an integer counts its digits."""


class Fault(NamedTuple):
    """Why one record has no answer."""

    code: str
    message: str


class InputRecord(NamedTuple):
    """One record of an input: its id, and its question's text or the fault that leaves it unanswered.

    The id is the record's own, or else its line number.  This is a tuple because there are millions of them: a frozen
    dataclass takes three times as long to make.
    """

    id: int | str
    text: str | None
    fault: Fault | None = None


def questions(reader: LineReader, kind: str | None) -> Iterator[list[InputRecord]]:
    """Yield the records of a whole input in blocks; reject an input that has no record to answer.

    Parameters
    ----------
    reader
        Its lines.
    kind
        `.txt`, `.jsonl`, `.csv` or `.tsv` (see `names.kind`); None if the name ends in none of these.

    Raises
    ------
    RejectedInputError
        `unknown_suffix`; `empty`; `no_record`, if there are lines, but all their records have faults;
        `no_text_column`; and the errors of `LineReader.blocks`.

    """
    readable, first_fault = False, None
    count = 0
    for block in records(reader, kind):
        # Only until the first record without a fault: millions may follow.
        if block and not readable:
            readable = any(record.fault is None for record in block)
            first_fault = first_fault or block[0]
        count += len(block)
        yield block
    if count == 0:
        raise RejectedInputError("empty", f"no question in {reader.size} bytes")
    if not readable and first_fault is not None and first_fault.fault is not None:
        raise RejectedInputError(
            "no_record",
            f"none of {count} records can be read; {first_fault.id}: {first_fault.fault.message}",
        )


def records(reader: LineReader, kind: str | None) -> Iterator[list[InputRecord]]:
    """Yield the records of an input, or of a part of one, in blocks; there may be none (see `questions`)."""
    parse = _PARSERS.get(kind or "")
    if parse is None:
        raise RejectedInputError(
            "unknown_suffix",
            f"its name must end in {', '.join(_PARSERS)}: rename it and try again "
            "(temporary names begin with a dot or end in .part)",
        )
    return parse(reader)


def plain_questions(content: bytes) -> list[InputRecord]:
    """Return the records of a whole text that is within all limits; an empty list if it is not UTF-8."""
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        return []
    return _text_records(1, text.split("\n"))


def without_duplicates(blocks: Iterable[list[InputRecord]]) -> Iterator[list[InputRecord]]:
    """Yield the blocks with a fault `duplicate_id` in place of each record whose id an earlier valid record has.

    By its id alone, a reader could not distinguish the two answers.  Memory is bounded: ids beyond `MOST_IDS` or
    `MOST_CHARACTERS` are not remembered, so later duplicates of those are not found.
    """
    seen: set[int | str] = set()
    characters = MOST_CHARACTERS
    for block in blocks:
        checked = []
        for record in block:
            name = record.id
            if record.fault is not None:
                checked.append(record)
            elif name in seen:
                checked.append(InputRecord(name, None, _DUPLICATE))
            else:
                checked.append(record)
                if len(seen) < MOST_IDS and (length := len(str(name))) <= characters:
                    seen.add(name)
                    characters -= length
        yield checked


_DUPLICATE: Final = Fault("duplicate_id", "an earlier record of this input has this id")


def _parse_text(reader: LineReader) -> Iterator[list[InputRecord]]:
    for first, lines in reader.blocks():
        yield _text_records(first, lines)


def _text_records(first: int, lines: Sequence[str]) -> list[InputRecord]:
    return [
        InputRecord(number, line.removesuffix("\r"))
        for number, line in enumerate(lines, first)
        if line and not line.isspace()
    ]


def _parse_json(reader: LineReader) -> Iterator[list[InputRecord]]:
    for first, lines in reader.blocks():
        yield [
            _json_record(number, line)
            for number, line in enumerate(lines, first)
            if line and not line.isspace()
        ]


def _json_record(number: int, line: str) -> InputRecord:
    record = _json_object(line)
    if isinstance(record, Fault):
        return InputRecord(number, None, record)
    name = _id(record.get(ID_COLUMN, number), number)
    if isinstance(name, Fault):
        return InputRecord(number, None, name)
    text = _text(record.get(TEXT_COLUMN))
    return InputRecord(name, None, text) if isinstance(text, Fault) else InputRecord(name, text)


def _json_object(line: str) -> dict[str, Any] | Fault:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as e:
        return Fault("bad_json", f"{e.msg} at column {e.colno}")
    except (ValueError, RecursionError) as e:  # too many digits, or too deeply nested
        return Fault("bad_json", str(e).partition(";")[0])
    if not isinstance(record, dict):
        return Fault("bad_record", f"a JSON {_json_type(record)}, expected an object")
    return record


def _id(value: Any, number: int) -> int | str | Fault:
    if value is None:
        return number
    if isinstance(value, bool) or not isinstance(value, int | str):  # a bool is an int in Python
        return Fault("bad_id", f"id is a JSON {_json_type(value)}, expected string or integer")
    return value


def _text(value: Any) -> str | Fault:
    if value is None:
        return Fault("no_text", f"no field {TEXT_COLUMN!r}")
    if not isinstance(value, str):
        return Fault("bad_text", f"text is a JSON {_json_type(value)}, expected a string")
    if not value.isascii() and not _is_unicode(value):
        return Fault("bad_text", "text holds half of a surrogate pair")
    return value


def _parse_table(reader: LineReader, delimiter: str) -> Iterator[list[InputRecord]]:
    rows = _table_records(reader, delimiter)
    while block := list(islice(rows, TABLE_ROWS)):
        yield block


def _table_records(reader: LineReader, delimiter: str) -> Iterator[InputRecord]:
    # The limit is global to the module `csv`, which has no narrower one; nothing else in the daemon parses tables.
    csv.field_size_limit(reader.max_line_bytes)
    lines = _RecordLines(reader)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(rows)
    if not header:
        return
    if TEXT_COLUMN not in header:
        raise RejectedInputError(
            "no_text_column",
            f"the first line has no column {TEXT_COLUMN!r}: {', '.join(header)[:200]}",
        )
    text, name = header.index(TEXT_COLUMN), _index(header, ID_COLUMN)
    while True:
        lines.mark()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as e:
            if "field limit" in str(e):  # csv has one exception class for everything
                raise RejectedInputError(
                    "line_too_long",
                    f"line {lines.first}: a field of more than {reader.max_line_bytes} bytes",
                ) from None
            yield _faulty(lines.first, "bad_record", str(e))
            continue
        if not any(row):  # skipped, as an empty line of text is
            continue
        given = row[name] if name is not None and name < len(row) else ""
        if text < len(row):
            yield InputRecord(given or lines.first, row[text])
        else:
            yield _faulty(
                given or lines.first,
                "no_text",
                f"{len(row)} of {len(header)} fields, no {TEXT_COLUMN!r}",
            )


class _RecordLines:
    """Feeds lines to `csv` and keeps the number of the line on which a record begins: a quoted field may span lines."""

    def __init__(self, reader: LineReader) -> None:
        self._lines = reader.lines()
        self._last = 0
        self.first = 1

    def __iter__(self) -> _RecordLines:
        return self

    def __next__(self) -> str:
        self._last, line = next(self._lines)
        return line + "\n"

    def mark(self) -> None:
        """Note that the next line begins a record."""
        self.first = self._last + 1


def _header(rows: Iterator[list[str]]) -> list[str]:
    try:
        return [column.strip().lower() for column in next(rows, [])]
    except csv.Error as e:
        raise RejectedInputError("no_text_column", f"line 1: {e}") from None


def _index(header: list[str], column: str) -> int | None:
    return header.index(column) if column in header else None


def _faulty(name: int | str, code: str, message: str) -> InputRecord:
    return InputRecord(name, None, Fault(code, message))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_type(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


_PARSERS: Final[dict[str, Callable[[LineReader], Iterator[list[InputRecord]]]]] = {
    ".txt": _parse_text,
    ".jsonl": _parse_json,
    ".csv": lambda reader: _parse_table(reader, DELIMITERS[".csv"]),
    ".tsv": lambda reader: _parse_table(reader, DELIMITERS[".tsv"]),
}
