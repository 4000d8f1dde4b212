"""Read the records of tables."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from .errors import QuestionFileError
from .record import InputRecord, faulty, made

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .layout import Layout
    from .lines import LineReader

TABLE_ROWS: Final = 512
"""Rows of a table that are yielded together."""


def table_blocks(reader: LineReader, layout: Layout) -> Iterator[list[InputRecord]]:
    """Yield the records of a table, or of a part of one, in blocks.

    Raises
    ------
    QuestionFileError
        `line_too_long`: a field is longer than the limit; and the errors of `LineReader.blocks`.

    """
    # The limit is global to the module `csv`, which has no narrower one; nothing else parses tables.
    csv.field_size_limit(reader.max_line_bytes)
    lines = _RowLines(reader, layout)
    rows = csv.reader(lines.fed(), delimiter=layout.separator, strict=True)
    records = _Rows(layout)
    block: list[InputRecord] = []
    while True:
        lines.mark()
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as e:
            if layout.separator == "\t":
                # Many programs write TABs between fields and no quotes around them.
                block += records.unquoted(lines.first, lines.held)
            elif "field limit" in str(e):  # csv has one exception class for everything
                raise _too_long(lines.first, reader.max_line_bytes) from None
            else:
                block.append(faulty(lines.first, "bad_record", _why(e)))
        else:
            if any(row):  # others are skipped, as an empty line of text is
                block.append(records.record(lines.first, row))
        if len(block) >= TABLE_ROWS:
            yield block
            block = []
    if block:
        yield block


def _why(error: csv.Error) -> str:
    if "new-line" in str(error):  # its advice is for those who open files in Python
        return "a CR within the row: end every line in the same way"
    return f"{error}: a field with quotes needs quotes around it, and its own written twice"


def _too_long(line: int, limit: int) -> QuestionFileError:
    return QuestionFileError(
        "line_too_long",
        f"line {line}: a field of more than {limit} bytes: a quote may be open there",
    )


class _Rows:
    """Makes records of a table's rows."""

    def __init__(self, layout: Layout) -> None:
        self._places = layout.places
        self._text = layout.places.text or 0
        self._width = len(layout.columns) or 2
        self._separator = layout.separator

    def record(self, number: int, row: Sequence[str]) -> InputRecord:
        """Return the record of a row that begins on a line."""
        _, place, label = self._places
        if len(row) == self._width and label is None:  # as almost all are
            name = number if place is None else row[place] or number
            return made((name, row[self._text], None, None))
        given = row[place] if place is not None and place < len(row) else ""
        name = given or number
        if len(row) > self._width and any(row[self._width :]):
            return faulty(
                name,
                "bad_record",
                f"{len(row)} fields in {self._width} columns: a text that holds {self._separator!r} needs quotes",
            )
        if self._text >= len(row):
            return faulty(name, "no_text", f"{len(row)} of {self._width} fields, none for the text")
        if label is None:
            return InputRecord(name, row[self._text])
        value = " ".join(row[label].split()) if label < len(row) else ""
        return InputRecord(name, row[self._text], None, value or None)

    def unquoted(self, first: int, lines: Sequence[str]) -> Iterator[InputRecord]:
        """Yield the records of lines whose quotes are part of the fields."""
        for number, line in enumerate(lines, first):
            row = line.rstrip("\r\n").split(self._separator)
            if any(row):
                yield self.record(number, row)


class _RowLines:
    """Feeds lines to `csv`, and keeps those of the row that is read: a quoted field may span lines."""

    def __init__(self, reader: LineReader, layout: Layout) -> None:
        self._reader = reader
        self._header_lines = layout.header_lines
        self._keeps = layout.separator == "\t"  # only there are they read again
        self._last = max(layout.header_lines, reader.first_line - 1)
        self.first = 1
        self.held: list[str] = []

    def fed(self) -> Iterator[str]:
        """Yield the lines with their LF."""
        for number, line in self._reader.lines():
            if number > self._header_lines:
                self._last = number
                line += "\n"  # noqa: PLW2901 - a name of its own takes longer
                if self._keeps:
                    self.held.append(line)
                yield line

    def mark(self) -> None:
        """Note that the next line begins a row."""
        self.first = self._last + 1
        if self._keeps:
            self.held.clear()
