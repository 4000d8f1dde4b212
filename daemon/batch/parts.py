"""Cut an input into parts that are read apart: the daemon's own reader finds where one question ends.

Line numbers, quoted line ends and what fails a whole input are therefore the daemon's.  Nothing but a digest and two
positions is kept of a part; memory does not grow with the input.
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
"""Longest line, as for the daemon."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputPart:
    """A piece of an input that one task answers.

    Attributes
    ----------
    number
        From 0.
    first, last
        Its bytes are first..last-1 of the input, or in Parquet its row groups; `last` None: to the end, where a
        compressed input is read from end to end.
    record
        Number of its first line, or in Parquet of its first row, from 1.
    sha256
        Of its bytes.

    """

    number: int
    first: int
    last: int | None
    record: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preamble:
    """What every part of an input is read with.

    Attributes
    ----------
    size, lines
        Of a table's header in bytes and lines; 0 elsewhere.
    sha256
        Of what else decides how a part is read: the header of a table, all of a Parquet file; empty elsewhere.

    """

    size: int = 0
    lines: int = 0
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What one look at all of an input has found.

    Attributes
    ----------
    sha256, size
        Of its bytes, decompressed.
    head
        What every part is read with.
    parts
        In order; at least one.

    """

    sha256: str
    size: int
    head: Preamble
    parts: tuple[InputPart, ...]


class _Followed(LineReader):
    """A source that knows how far its lines were taken, and digests what lies behind.

    Attributes
    ----------
    at
        Bytes behind the lines that were taken.
    line
        Number of the last of them.

    """

    def __init__(self, file: BinaryIO, *, chunk_bytes: int = READ_BYTES) -> None:
        super().__init__(self._take, max_line_bytes=MAX_LINE_BYTES, chunk_bytes=chunk_bytes)
        self._file = file
        self._ahead = b""  # read, but not yet digested
        self._digested = 0
        self._part = hashlib.sha256()
        self.at = 0
        self.line = 0

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        for first, lines in super().blocks():
            self._pass(first + len(lines) - 1, lines)
            yield first, lines

    def lines(self) -> Iterator[tuple[int, str]]:
        for first, lines in super().blocks():
            for number, line in enumerate(lines, first):
                self._pass(number, [line])
                yield number, line

    def _pass(self, last: int, lines: list[str]) -> None:
        self.line = last
        self.at += sum(1 + len(line if line.isascii() else line.encode()) for line in lines)

    def cut(self) -> str:
        """End a part behind the last line that was taken; give its digest."""
        self._digest()
        found = self._part.hexdigest()
        self._part = hashlib.sha256()
        return found

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        self._digest()
        self._ahead += data
        if not self.size and data.startswith(codecs.BOM_UTF8):
            self.at = len(codecs.BOM_UTF8)
        return data

    def _digest(self) -> None:
        taken = self.at - self._digested
        self._part.update(self._ahead[:taken])
        self._ahead = self._ahead[taken:]
        self._digested = self.at


def scan(file: BinaryIO, kind: str, *, part_bytes: int | None) -> Scan:
    """Read an input to its end, and cut it behind the first questions that fill a part, as its reader hands them on.

    Parameters
    ----------
    file
        Its bytes.
    kind
        See `names.kind`; not Parquet.
    part_bytes
        Least size of a part; None leaves the input whole.

    Raises
    ------
    RejectedInputError
        What fails the whole input (see `reading.questions`).

    """
    head = Preamble()
    if kind in DELIMITERS and part_bytes is not None:
        head = _head(file, kind)
    least = len(codecs.BOM_UTF8)  # a source must see it at once
    chunk_bytes = min(READ_BYTES, max(least, part_bytes or READ_BYTES))
    source = _Followed(file, chunk_bytes=chunk_bytes)
    parts: list[InputPart] = []
    first, record = 0, 1

    def cut(last: int | None) -> None:
        parts.append(
            InputPart(number=len(parts), first=first, last=last, record=record, sha256=source.cut())
        )

    for _ in questions(source, kind):
        if part_bytes is not None and source.at - first >= part_bytes:
            at = min(source.at, source.size)  # the last line may have no end
            cut(at)
            first, record = at, source.line + 1
    if first < source.size:
        cut(None if part_bytes is None else source.size)
    return Scan(sha256=source.sha256, size=source.size, head=head, parts=tuple(parts))


def _head(file: BinaryIO, kind: str) -> Preamble:
    """Find the end of a table's header; a bad one is left to the reader."""
    source = _Followed(file)
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = (line + "\n" for _, line in source.lines())
    with suppress(csv.Error):
        next(csv.reader(lines, delimiter=DELIMITERS[kind], strict=True), None)
    file.seek(0)
    return Preamble(size=source.at, lines=source.line, sha256=source.cut())


@contextmanager
def asked(
    file: BinaryIO, kind: str, head: Preamble, part: InputPart
) -> Iterator[Iterator[InputRecord]]:
    """Give the questions of a part; at the end, all of its bytes must have been those that were scanned.

    Parameters
    ----------
    file
        The input's bytes.
    kind
        Its suffix.
    head, part
        What the scan says.

    Raises
    ------
    RejectedInputError
        `changed`: they were not; or what `reading.records` raises.

    """
    total = hashlib.sha256()
    header = b""
    if (
        part.first
    ):  # the lines before are no text of this part, but a table's reader needs the first
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
    if total.hexdigest() != part.sha256:
        raise changed()


def changed() -> RejectedInputError:
    """Say that an input is not what it was."""
    return RejectedInputError("changed", "its bytes changed while it was read")
