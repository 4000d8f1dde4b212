"""Cut an input into parts that can be read separately; the daemon's own reader finds where a question ends.

Line numbers, quoted line ends and the errors of a whole input are therefore the same as in the daemon.  Only a digest
and two positions are kept of each part, so memory does not grow with the input.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final

from ..answering.line_reader import READ_BYTES, LineReader
from ..answering.questions import DELIMITERS, questions, records
from ..errors import RejectedInputError
from ..settings import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..answering.questions import InputRecord

MAX_LINE_BYTES: Final[int] = DEFAULTS["max_line_bytes"]
"""Longest line in bytes; the daemon's default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputPart:
    """A piece of an input that one task answers.

    Attributes
    ----------
    number
        Its number, from 0.
    first, last
        Its bytes are first..last-1 of the input; in Parquet, these are row groups.  `last` is None for a compressed
        input, which is a single part.
    record
        Number of its first line, or in Parquet of its first row, from 1.
    sha256
        Digest of its bytes.

    """

    number: int
    first: int
    last: int | None
    record: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preamble:
    """The beginning of an input, without which none of its parts can be read.

    Attributes
    ----------
    size, lines
        Size of a table's header in bytes and lines; 0 for other kinds.
    sha256
        Digest of what decides how a part is read: a table's header, or a whole Parquet file; empty for other kinds.

    """

    size: int = 0
    lines: int = 0
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """The result of reading an input once.

    Attributes
    ----------
    sha256, size
        Digest and number of its bytes after decompression.
    head
        The preamble of every part.
    parts
        The parts in order; at least one.

    """

    sha256: str
    size: int
    head: Preamble
    parts: tuple[InputPart, ...]


class _PositionedReader(LineReader):
    """A line reader that knows the position of the last line it returned, and hashes the bytes up to there.

    Attributes
    ----------
    at
        Position in bytes after the last returned line.
    line
        Number of that line.

    """

    def __init__(self, file: BinaryIO, *, chunk_bytes: int = READ_BYTES) -> None:
        super().__init__(self._take, max_line_bytes=MAX_LINE_BYTES, chunk_bytes=chunk_bytes)
        self._file = file
        self._ahead = b""  # read, but not yet hashed
        self._digested = 0
        self._part = hashlib.sha256()
        self.at = 0
        self.line = 0

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        for first, lines in super().blocks():
            self._advance(first + len(lines) - 1, lines)
            yield first, lines

    def lines(self) -> Iterator[tuple[int, str]]:
        for first, lines in super().blocks():
            for number, line in enumerate(lines, first):
                self._advance(number, [line])
                yield number, line

    def _advance(self, last: int, lines: list[str]) -> None:
        self.line = last
        # Lines come without their LF but with their CR, if any: + 1 gives the bytes.
        self.at += sum(1 + len(line if line.isascii() else line.encode()) for line in lines)

    def cut(self) -> str:
        """End a part after the last returned line, and return its digest."""
        self._digest()
        found = self._part.hexdigest()
        self._part = hashlib.sha256()
        return found

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        self._digest()
        self._ahead += data
        # The reader removes a byte order mark, which is therefore in no line.
        if not self.size and data.startswith(codecs.BOM_UTF8):
            self.at = len(codecs.BOM_UTF8)
        return data

    def _digest(self) -> None:
        taken = self.at - self._digested
        self._part.update(self._ahead[:taken])
        self._ahead = self._ahead[taken:]
        self._digested = self.at


def scan(file: BinaryIO, kind: str, *, part_bytes: int | None) -> Scan:
    """Read an input to its end, and cut it into parts; each ends after the question that brings it to its least size.

    Parameters
    ----------
    file
        The input.
    kind
        See `names.kind`; not Parquet.
    part_bytes
        Least size of a part; None for a single part.

    Raises
    ------
    RejectedInputError
        The whole input fails (see `questions.questions`).

    """
    head = Preamble()
    if kind in DELIMITERS and part_bytes is not None:
        head = _head(file, kind)
    least = len(codecs.BOM_UTF8)  # the reader must see a whole byte order mark at once
    chunk_bytes = min(READ_BYTES, max(least, part_bytes or READ_BYTES))
    source = _PositionedReader(file, chunk_bytes=chunk_bytes)
    parts: list[InputPart] = []
    first, record = 0, 1

    def cut(last: int | None) -> None:
        parts.append(
            InputPart(number=len(parts), first=first, last=last, record=record, sha256=source.cut())
        )

    for _ in questions(source, kind):
        if part_bytes is not None and source.at - first >= part_bytes:
            at = min(source.at, source.size)  # the last line may lack its line end
            cut(at)
            first, record = at, source.line + 1
    if first < source.size:
        cut(None if part_bytes is None else source.size)
    return Scan(sha256=source.sha256, size=source.size, head=head, parts=tuple(parts))


def _head(file: BinaryIO, kind: str) -> Preamble:
    """Find the end of a table's header; the reader reports a bad one later."""
    source = _PositionedReader(file)
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = (line + "\n" for _, line in source.lines())
    with suppress(csv.Error):
        next(csv.reader(lines, delimiter=DELIMITERS[kind], strict=True), None)
    file.seek(0)
    return Preamble(size=source.at, lines=source.line, sha256=source.cut())


@contextmanager
def part_questions(
    file: BinaryIO, kind: str, head: Preamble, part: InputPart
) -> Iterator[Iterator[InputRecord]]:
    """Yield an iterator over the questions of a part; at its end, check that the bytes are those that were scanned.

    Parameters
    ----------
    file
        The input.
    kind
        Its suffix.
    head, part
        The preamble and the part, as the scan returned them.

    Raises
    ------
    RejectedInputError
        `changed`: the bytes differ; and the errors of `questions.records`.

    """
    total = hashlib.sha256()
    header = b""
    if part.first:  # the header is not part of these bytes, but a table's reader needs it
        header = file.read(head.size).removeprefix(codecs.BOM_UTF8)
    left = None if part.last is None else part.last - part.first
    file.seek(part.first)

    def take(size: int) -> bytes:
        nonlocal header, left
        if header:
            data, header = header[:size], header[size:]
            return data
        data = file.read(size if left is None else min(size, left))
        total.update(data)
        left = None if left is None else left - len(data)
        return data

    first_line = part.record - (head.lines if part.first else 0)
    source = LineReader(take, max_line_bytes=MAX_LINE_BYTES, first_line=first_line)
    yield chain.from_iterable(records(source, kind))
    # Only here have all bytes been read: a caller must discard its answers if this raises.
    if total.hexdigest() != part.sha256:
        raise changed()


def changed() -> RejectedInputError:
    """Return the error for an input whose bytes changed after the scan."""
    return RejectedInputError("changed", "its bytes changed while it was read")
