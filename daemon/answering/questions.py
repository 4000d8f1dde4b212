"""Read questions out of an input file, once and in order, holding one chunk of it in memory.

A record that cannot be read is a question with a fault, and the records around it are answered.  Only what leaves
nothing to answer fails the file (`RejectedInputError`).
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import RejectedInputError
from ..files import durable
from .gunzip import Gunzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TEXT_COLUMN: Final = "text"
ID_COLUMN: Final = "id"

READ_BYTES: Final = 1 << 16
"""Bytes read at a time: of lines of one character, they make 32,768 questions, some 5 MiB."""

TABLE_ROWS: Final = 512
"""Rows of a table that are handed on together."""

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
"""Suffixes of tables, and what stands between two fields."""


class Fault(NamedTuple):
    """Why one record has no answer."""

    code: str
    message: str


class Question(NamedTuple):
    """One record of an input; a tuple, because there are millions (a frozen dataclass takes three times as long)."""

    id: int | str
    text: str | None
    fault: Fault | None = None


class Source:
    """The bytes of one input: hashed, split into lines and decoded as they are read.

    Parameters
    ----------
    read
        Gives at most so many of the next bytes, none at the end.
    max_line_bytes
        Longest line; a longer one is never held in memory.
    chunk_bytes
        Bytes read at a time.
    first_line
        Number of the first line; 1 where the bytes are those of a whole input, which may have a byte order mark.
    gzipped
        Whether the bytes are gzip; lines are then those of its content, digest and size those of the bytes.
    max_bytes
        Most bytes of content; 0: any number.

    Attributes
    ----------
    max_line_bytes
        As given.
    size
        Bytes read so far.

    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        max_line_bytes: int,
        chunk_bytes: int = READ_BYTES,
        first_line: int = 1,
        gzipped: bool = False,
        max_bytes: int = 0,
    ) -> None:
        self._read = read
        self._content = Gunzip(self._raw).read if gzipped else self._raw
        self._max_bytes = max_bytes
        self.max_line_bytes = max_line_bytes
        self._chunk = min(chunk_bytes, max_line_bytes)
        self._hash = hashlib.sha256()
        self._line = first_line
        self._mark = codecs.BOM_UTF8 if first_line == 1 else b""
        self._ended = False
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest of the bytes read so far, hexadecimal: of the whole input when its lines are exhausted."""
        return self._hash.hexdigest()

    def digest_rest(self, limit: int) -> str | None:
        """Read on to the end and give the digest of the whole input; None when more than `limit` bytes are left."""
        left = limit
        while not self._ended and (chunk := self._raw(durable.CHUNK_BYTES)):
            left -= len(chunk)
            if left < 0:
                return None
        return self.sha256

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (number of the first line, from 1, and lines without LF); a byte order mark at the start is no text.

        Raises
        ------
        RejectedInputError
            `line_too_long` or `bad_utf8`, with the line; `bad_gzip` (see `Gunzip.read`); `too_large`.

        """
        for block in self._whole_lines():
            first = self._line
            lines = self._decode(block).split("\n")
            self._line += len(lines)
            yield first, lines

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (line number, line) one by one (see `blocks`)."""
        for first, lines in self.blocks():
            yield from enumerate(lines, first)

    def _whole_lines(self) -> Iterator[bytes]:
        """Yield whole lines, many at a time, without the last LF."""
        rest, taken = b"", 0
        while data := self._content(self._chunk):
            chunk = data if taken else data.removeprefix(self._mark)
            taken += len(data)
            if 0 < self._max_bytes < taken:
                raise RejectedInputError(
                    "too_large", f"line {self._line}: more than {self._max_bytes} bytes of content"
                )
            first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
            if len(rest) + (len(chunk) if first < 0 else first) > self.max_line_bytes:
                raise RejectedInputError(
                    "line_too_long", f"line {self._line}: more than {self.max_line_bytes} bytes"
                )
            if last < 0:
                rest += chunk
                continue
            yield rest + chunk[:last]
            rest = chunk[last + 1 :]
        self._ended = True
        if rest:
            yield rest

    def _raw(self, size: int) -> bytes:
        data = self._read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def _decode(self, block: bytes) -> str:
        try:
            return block.decode()
        except UnicodeDecodeError as e:
            line = self._line + block.count(b"\n", 0, e.start)
            column = e.start - (block.rfind(b"\n", 0, e.start) + 1)
            raise RejectedInputError(
                "bad_utf8", f"line {line}: byte 0x{block[e.start]:02x} at {column} is not UTF-8"
            ) from None


def questions(source: Source, kind: str | None) -> Iterator[list[Question]]:
    """Yield the questions of an input, some at a time.

    Parameters
    ----------
    source
        Its bytes.
    kind
        `.txt`, `.jsonl`, `.csv` or `.tsv` (see `names.kind`).

    Raises
    ------
    RejectedInputError
        `unknown_suffix`, `empty`, `no_record` (there are lines, but none can be read), `no_text_column`, and
        what `Source.blocks` raises.

    """
    readable, first_fault = False, None
    count = 0
    for block in records(source, kind):
        if block and not readable:
            readable = any(question.fault is None for question in block)
            first_fault = first_fault or block[0]
        count += len(block)
        yield block
    if count == 0:
        raise RejectedInputError("empty", f"no question in {source.size} bytes")
    if not readable and first_fault is not None and first_fault.fault is not None:
        raise RejectedInputError(
            "no_record",
            f"none of {count} records can be read; {first_fault.id}: {first_fault.fault.message}",
        )


def records(source: Source, kind: str | None) -> Iterator[list[Question]]:
    """Yield the questions of an input, or of a part of one, in which there may be none (see `questions`)."""
    reader = _READERS.get(kind or "")
    if reader is None:
        raise RejectedInputError("unknown_suffix", f"its name must end in {', '.join(_READERS)}")
    return reader(source)


def plain_questions(content: bytes) -> list[Question]:
    """Give the questions of a whole text that is within all limits; none where it has a fault (see `questions`)."""
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        return []
    return _asked(1, text.split("\n"))


def _text_questions(source: Source) -> Iterator[list[Question]]:
    for first, lines in source.blocks():
        yield _asked(first, lines)


def _asked(first: int, lines: Sequence[str]) -> list[Question]:
    return [
        Question(number, line.removesuffix("\r"))
        for number, line in enumerate(lines, first)
        if line and not line.isspace()
    ]


def _json_questions(source: Source) -> Iterator[list[Question]]:
    for first, lines in source.blocks():
        yield [
            _json_question(number, line)
            for number, line in enumerate(lines, first)
            if line and not line.isspace()
        ]


def _json_question(number: int, line: str) -> Question:
    record = _object(line)
    if isinstance(record, Fault):
        return Question(number, None, record)
    name = _id(record.get(ID_COLUMN, number), number)
    if isinstance(name, Fault):
        return Question(number, None, name)
    text = _text(record.get(TEXT_COLUMN))
    return Question(name, None, text) if isinstance(text, Fault) else Question(name, text)


def _object(line: str) -> dict[str, Any] | Fault:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as e:
        return Fault("bad_json", f"{e.msg} at column {e.colno}")
    except (ValueError, RecursionError) as e:  # thousands of digits, thousands of brackets
        return Fault("bad_json", str(e).partition(";")[0])
    if not isinstance(record, dict):
        return Fault("bad_record", f"a JSON {_json_type(record)}, expected an object")
    return record


def _id(value: Any, number: int) -> int | str | Fault:
    if value is None:
        return number
    if isinstance(value, bool) or not isinstance(value, int | str):
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


def _table_questions(source: Source, delimiter: str) -> Iterator[list[Question]]:
    rows = _rows(source, delimiter)
    while block := list(islice(rows, TABLE_ROWS)):
        yield block


def _rows(source: Source, delimiter: str) -> Iterator[Question]:
    # The limit is the module's, for want of a narrower one: nobody else here reads tables.
    csv.field_size_limit(source.max_line_bytes)
    lines = _Lines(source)
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
            if "field limit" in str(e):
                raise RejectedInputError(
                    "line_too_long",
                    f"line {lines.first}: a field of more than {source.max_line_bytes} bytes",
                ) from None
            yield _faulty(lines.first, "bad_record", str(e))
            continue
        if not any(row):
            continue
        given = row[name] if name is not None and name < len(row) else ""
        if text < len(row):
            yield Question(given or lines.first, row[text])
        else:
            yield _faulty(
                given or lines.first,
                "no_text",
                f"{len(row)} of {len(header)} fields, no {TEXT_COLUMN!r}",
            )


class _Lines:
    """Lines with their ends, as csv wants them, and the number of the first line of each record."""

    def __init__(self, source: Source) -> None:
        self._lines = source.lines()
        self._last = 0
        self.first = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self._last, line = next(self._lines)
        return line + "\n"

    def mark(self) -> None:
        """Begin a record with the next line."""
        self.first = self._last + 1


def _header(rows: Iterator[list[str]]) -> list[str]:
    try:
        return [column.strip().lower() for column in next(rows, [])]
    except csv.Error as e:
        raise RejectedInputError("no_text_column", f"line 1: {e}") from None


def _index(header: list[str], column: str) -> int | None:
    return header.index(column) if column in header else None


def _faulty(name: int | str, code: str, message: str) -> Question:
    return Question(name, None, Fault(code, message))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_type(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


_READERS: Final[dict[str, Callable[[Source], Iterator[list[Question]]]]] = {
    ".txt": _text_questions,
    ".jsonl": _json_questions,
    ".csv": lambda source: _table_questions(source, DELIMITERS[".csv"]),
    ".tsv": lambda source: _table_questions(source, DELIMITERS[".tsv"]),
}
