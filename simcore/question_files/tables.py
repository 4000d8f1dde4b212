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

_BLOCK_CHARACTERS: Final = 1 << 20
_BLOCK_LINES: Final = 1 << 14
"""Characters and lines of a table after which its records so far are yielded, even none."""

_UNQUOTED_ROWS: Final = 1 << 14
"""Most lines of a row with open quotes that are yielded together, once they are read again without quotes."""

ROW_LINES: Final = 2
"""How many of the longest lines make the longest row."""

_ROW_LIMIT: Final = "row limit"


def table_blocks(reader: LineReader, layout: Layout) -> Iterator[list[InputRecord]]:
    """Yield the records of a table, or of a part of one, in blocks.

    Raises
    ------
    QuestionFileError
        `line_too_long`: a field is longer than a line may be, or a row over many lines longer than two lines may be;
        and the errors of `LineReader.blocks`.

    """
    # The limit is global to the module `csv`, which has no narrower one.
    csv.field_size_limit(reader.max_line_bytes)
    lines = _RowLines(reader, layout)
    rows = csv.reader(lines.fed(), delimiter=layout.separator, strict=True)
    records = _Rows(layout)
    block: list[InputRecord] = []
    yielded = last = 0
    while True:
        lines.mark()
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as e:
            if str(e) == _ROW_LIMIT:  # the generator has ended with it
                rows = csv.reader(lines.fed(), delimiter=layout.separator, strict=True)
            for record in _damaged(e, lines, records, layout.separator, reader.max_line_bytes):
                block.append(record)
                if len(block) >= _UNQUOTED_ROWS:
                    yield block
                    block = []
        else:
            if any(row):  # others are skipped, as an empty line of text is
                block.append(records.record(lines.first, row))
        many = lines.taken - yielded >= _BLOCK_CHARACTERS or lines.first - last >= _BLOCK_LINES
        if many or len(block) >= TABLE_ROWS:
            yield block
            block, yielded, last = [], lines.taken, lines.first
            csv.field_size_limit(reader.max_line_bytes)  # another file may have been read meanwhile
    yield block


def _damaged(
    error: csv.Error, lines: _RowLines, records: _Rows, separator: str, limit: int
) -> Iterator[InputRecord]:
    """Yield the records of a row that `csv` has refused; raise `line_too_long` if it is too long."""
    if separator == "\t":
        # Many programs write TABs between fields and no quotes around them.
        yield from records.unquoted(lines.first, lines.held)
    elif "limit" in str(error):  # csv has one exception class for everything
        what = "row" if str(error) == _ROW_LIMIT else "field"
        raise _too_long(what, lines.first, limit) from None
    else:
        yield faulty(lines.first, "bad_record", _why(error))


def _why(error: csv.Error) -> str:
    if "new-line" in str(error):  # its advice is for those who open files in Python
        return "a CR within the row: end every line in the same way"
    return f"{error}: a field with quotes needs quotes around it, and its own written twice"


def _too_long(what: str, line: int, limit: int) -> QuestionFileError:
    most = limit * (ROW_LINES if what == "row" else 1)
    return QuestionFileError(
        "line_too_long",
        f"line {line}: a {what} of more than {most} bytes: a quote may be open there",
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
    """Feeds lines to `csv`, and keeps those of the row that is read: a quoted field may span lines.

    Attributes
    ----------
    first
        Number of the first line of the row.
    held
        The row's lines so far; only if the table is separated by TABs, where they may be read again.
    taken
        Characters of all lines so far.

    """

    def __init__(self, reader: LineReader, layout: Layout) -> None:
        self._lines = reader.lines()
        self._limit = reader.max_line_bytes * ROW_LINES
        self._header_lines = layout.header_lines
        self._keeps = layout.separator == "\t"
        self._last = max(layout.header_lines, reader.first_line - 1)
        self._ends = self._limit
        self._begins = True
        self.first = 1
        self.held: list[str] = []
        self.taken = 0

    def fed(self) -> Iterator[str]:
        """Yield the lines with their LF; raise `csv.Error` where a row becomes too long.

        A second call goes on behind that line.
        """
        for number, line in self._lines:
            if number <= self._header_lines:
                continue
            if self._begins:
                # Blank lines between rows; some reach `csv` nevertheless, which returns empty rows, so that the caller
                # of `table_blocks` gets a turn.
                if (not line or line == "\r") and number - self._last < _BLOCK_LINES:
                    continue
                self.first, self._begins = number, False
            self._last = number
            line += "\n"  # noqa: PLW2901 - a name of its own takes longer
            self.taken += len(line)
            if self._keeps:
                self.held.append(line)
            if self.taken > self._ends:
                raise csv.Error(_ROW_LIMIT)
            yield line

    def mark(self) -> None:
        """Note that the next line begins a row."""
        self.first = self._last + 1
        self._begins = True
        self._ends = self.taken + self._limit
        if self._keeps:
            self.held.clear()
