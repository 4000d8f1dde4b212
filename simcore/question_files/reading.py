"""Read a whole question file as a stream of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .content import opened
from .errors import QuestionFileError
from .foreign import is_foreign
from .json_file import json_blocks
from .json_records import JsonRecords
from .labelled import label_blocks
from .layout import Form, find_layout, is_plain
from .lines import LineReader
from .record import faulty, made
from .tables import table_blocks
from .text import WINDOW, decoded, line_feeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .layout import Layout
    from .options import ReadOptions
    from .record import InputRecord
    from .text import Text


_NUL: Final = "text holds a NUL byte: the file is damaged, or no text: copy it again"


class Prepared(NamedTuple):
    """A file whose text can be read, and the layout of its records."""

    text: Text
    layout: Layout

    @property
    def can_be_cut(self) -> bool:
        """Whether a part of its bytes can be read without the bytes before it, given the layout."""
        return self.text.plain and self.layout.form is not Form.JSON


def questions(
    read: Callable[[int], bytes],
    kind: str | None,
    options: ReadOptions,
    *,
    packing: str | None = None,
    name: str = "",
) -> Iterator[list[InputRecord]]:
    """Yield the records of a whole file in blocks; reject a file that has no record to answer.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes of the file, none at the end.
    kind, packing
        What its name says (see `names`).
    options
        See `ReadOptions`.
    name
        Its name, for the message.

    Raises
    ------
    QuestionFileError
        The errors of `opened`, `prepared`, `records` and `answerable`.

    """
    yield from begun(read, kind, options, packing=packing, name=name)[1]


def begun(
    read: Callable[[int], bytes],
    kind: str | None,
    options: ReadOptions,
    *,
    packing: str | None,
    name: str,
) -> tuple[Layout, Iterator[list[InputRecord]]]:
    """Begin to read a file: return the layout of its records, and an iterator over them (see `questions`)."""
    content = opened(read, kind, packing, name)
    file = prepared(content.read, content.kind, options)
    return file.layout, answerable(records(line_reader(file, options), file.layout, options))


def prepared(read: Callable[[int], bytes], kind: str, options: ReadOptions) -> Prepared:
    """Decode the content of a file, and find out its layout.

    Raises
    ------
    QuestionFileError
        See `text.decoded` and `layout.find_layout`.

    """
    text = decoded(read, kind, options.encoding)
    window = text.source.peek(WINDOW)
    layout = find_layout(window, kind, options, whole=text.source.ended)
    return Prepared(text, layout)


def line_reader(file: Prepared, options: ReadOptions) -> LineReader:
    """Return a reader of the lines of a prepared file."""
    return LineReader(
        file.text.source.read, max_line_bytes=options.max_line_bytes, max_bytes=options.max_bytes
    )


def records(
    reader: LineReader, layout: Layout, options: ReadOptions
) -> Iterator[list[InputRecord]]:
    """Yield the records of a file, or of a part of one, in blocks; there may be none.

    Raises
    ------
    QuestionFileError
        See `LineReader.blocks`, `table_blocks` and `json_blocks`.

    """
    match layout.form:
        case Form.TEXT:
            return _without_nul(reader, _text_blocks(reader))
        case Form.JSON_LINES:
            return _json_line_blocks(reader, JsonRecords(options))
        case Form.JSON:
            return json_blocks(reader.read, JsonRecords(options), options)
        case Form.TABLE:
            return _without_nul(reader, table_blocks(reader, layout))
        case _:
            return _without_nul(reader, label_blocks(reader, layout, options))


def answerable(blocks: Iterator[list[InputRecord]]) -> Iterator[list[InputRecord]]:
    """Yield the blocks of a whole file; reject a file that has no record without a fault.

    Raises
    ------
    QuestionFileError
        `empty`; `no_record`, if there are records, but all of them have faults.

    """
    readable, first_fault = False, None
    count = 0
    for block in blocks:
        # Only until the first record without a fault: millions may follow.
        if block and not readable:
            readable = any(record.fault is None for record in block)
            first_fault = first_fault or block[0]
        count += len(block)
        yield block
    if count == 0:
        raise QuestionFileError("empty", "the file holds no questions: write at least one")
    if not readable and first_fault is not None and first_fault.fault is not None:
        raise QuestionFileError(
            "no_record",
            f"none of {count} records can be read; {first_fault.id}: {first_fault.fault.message}",
        )


def plain_questions(content: bytes) -> list[InputRecord]:
    """Return the records of a whole text that is within all limits; an empty list if it must be read as a stream."""
    if len(content) > WINDOW or b"\0" in content or content.startswith((b"BZh", b"PK")):
        return []  # it may be UTF-16 or compressed
    if not is_plain(content) or is_foreign(content):
        return []  # it may have labels, or be no text
    try:
        text = line_feeds(content).decode()
    except UnicodeDecodeError:
        return []
    return _text_records(1, text.removeprefix("\ufeff").split("\n"))


def _text_blocks(reader: LineReader) -> Iterator[list[InputRecord]]:
    for first, lines in reader.blocks():
        yield _text_records(first, lines)


def _without_nul(
    reader: LineReader, blocks: Iterator[list[InputRecord]]
) -> Iterator[list[InputRecord]]:
    """Yield the blocks with a fault in place of each text with a NUL, which copies and crashes leave, but no writer."""
    for block in blocks:
        if reader.has_nul:
            yield [
                faulty(record.id, "bad_text", _NUL) if "\0" in (record.text or "") else record
                for record in block
            ]
        else:
            yield block


def _text_records(first: int, lines: Sequence[str]) -> list[InputRecord]:
    return [
        made((number, line.removesuffix("\r"), None, None))
        for number, line in enumerate(lines, first)
        if line and not line.isspace()
    ]


def _json_line_blocks(reader: LineReader, records: JsonRecords) -> Iterator[list[InputRecord]]:
    for first, lines in reader.blocks():
        yield [
            records.line(number, line)
            for number, line in enumerate(lines, first)
            if line and not line.isspace()
        ]
