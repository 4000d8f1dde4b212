"""Cut an input into parts that can be read separately; the daemon's own reader finds where a question ends.

Line numbers, quoted line ends and the errors of a whole input are therefore the same as in the daemon.  Only a digest
and two positions are kept of each part, so memory does not grow with the input.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from ...simcore.question_files import ReadOptions
from ...simcore.question_files.content import opened
from ...simcore.question_files.lines import READ_BYTES, LineReader
from ...simcore.question_files.reading import (
    answerable,
    line_reader,
    prepared,
    records,
)
from ..answering.hashed import HashedBytes
from ..errors import RejectedInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...simcore.question_files import InputRecord
    from ...simcore.question_files.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class InputPart:
    """A piece of an input that one task answers.

    Attributes
    ----------
    number
        Its number, from 0.
    first, last
        Its bytes are first..last-1 of the input; in Parquet, these are row groups.  `last` is None for an input that
        cannot be cut (compressed, a JSON array, or not UTF-8 with LF), which is a single part.
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
    """What must be known of an input to read any of its parts.

    Attributes
    ----------
    options
        How the input is read.
    layout
        How its records are written; None for an input that cannot be cut, and for Parquet.
    mark_bytes
        Size of its byte order mark.
    packing
        Suffix of its compression; None if its name has none.
    sha256
        Digest of a whole Parquet file; empty for other kinds.

    """

    options: ReadOptions = field(default_factory=ReadOptions)
    layout: Layout | None = None
    mark_bytes: int = 0
    packing: str | None = None
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

    def __init__(
        self, file: BinaryIO, options: ReadOptions, *, mark_bytes: int, chunk_bytes: int
    ) -> None:
        super().__init__(self._take, max_line_bytes=options.max_line_bytes, chunk_bytes=chunk_bytes)
        self._whole = HashedBytes(file.read)
        # The byte order mark is in no line.
        self._part = hashlib.sha256(self._whole.read(mark_bytes))
        self._ahead = b""  # read, but not yet hashed
        self._mark_bytes = self.at = self._digested = mark_bytes
        self.line = 0

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        for block in super().blocks():
            self.line = self._line - 1
            self.at = self._mark_bytes + self.returned
            yield block

    def lines(self) -> Iterator[tuple[int, str]]:
        for number, line in super().lines():
            self.line = number
            # Lines come without their LF but with their CR, if any: + 1 gives the bytes.
            self.at += 1 + len(line if line.isascii() else line.encode())
            yield number, line

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes read so far."""
        return self._whole.sha256

    @property
    def size(self) -> int:
        """Bytes read so far."""
        return self._whole.size

    def cut(self) -> str:
        """End a part after the last returned line, and return its digest."""
        self._digest()
        found = self._part.hexdigest()
        self._part = hashlib.sha256()
        return found

    def _take(self, size: int) -> bytes:
        data = self._whole.read(size)
        self._digest()
        self._ahead += data
        return data

    def _digest(self) -> None:
        taken = self.at - self._digested
        self._part.update(self._ahead[:taken])
        self._ahead = self._ahead[taken:]
        self._digested = self.at


def scan(
    file: BinaryIO,
    kind: str,
    *,
    part_bytes: int | None,
    options: ReadOptions,
    packing: str | None = None,
) -> Scan:
    """Read an input to its end, and cut it into parts; each ends after the question that brings it to its least size.

    Parameters
    ----------
    file
        The input, before decompression; it must be seekable.
    kind, packing
        See `question_files.names`; not Parquet.
    part_bytes
        Least size of a part; None for a single part.
    options
        See `ReadOptions`.

    Raises
    ------
    QuestionFileError
        The whole input fails (see `question_files.questions`).

    """
    content = opened(file.read, kind, packing)
    hashed = HashedBytes(content.read)
    found = prepared(hashed.read, content.kind, options)
    if part_bytes is not None and found.can_be_cut and not content.packed:
        file.seek(0)
        head = Preamble(layout=found.layout, options=options, mark_bytes=found.text.mark_bytes)
        return _scan_parts(file, head, found.layout, part_bytes)
    for _ in answerable(records(line_reader(found, options), found.layout, options)):
        pass
    sha256 = hashed.sha256
    part = InputPart(number=0, first=0, last=None, record=1, sha256=sha256)
    return Scan(
        sha256=sha256,
        size=hashed.size,
        head=Preamble(options=options, packing=packing),
        parts=(part,),
    )


def _scan_parts(file: BinaryIO, head: Preamble, layout: Layout, part_bytes: int) -> Scan:
    source = _PositionedReader(
        file,
        head.options,
        mark_bytes=head.mark_bytes,
        chunk_bytes=min(READ_BYTES, part_bytes),
    )
    parts: list[InputPart] = []
    first, record = 0, 1

    def cut(last: int) -> None:
        parts.append(
            InputPart(number=len(parts), first=first, last=last, record=record, sha256=source.cut())
        )

    for _ in answerable(records(source, layout, head.options)):
        if source.at - first >= part_bytes:
            at = min(source.at, source.size)  # the last line may lack its line end
            cut(at)
            first, record = at, source.line + 1
    if first < source.size:
        cut(source.size)
    return Scan(sha256=source.sha256, size=source.size, head=head, parts=tuple(parts))


@contextmanager
def part_questions(
    file: BinaryIO, kind: str, head: Preamble, part: InputPart
) -> Iterator[Iterator[list[InputRecord]]]:
    """Yield an iterator over the questions of a part, in blocks; at its end, check that its bytes are those scanned.

    Parameters
    ----------
    file
        The input, before decompression.
    kind
        See `question_files.names`.
    head, part
        The preamble and the part, as the scan returned them.

    Raises
    ------
    RejectedInputError
        `changed`: the bytes differ.
    QuestionFileError
        See `question_files.reading.records`.

    """
    options = head.options
    if head.layout is None or part.last is None:
        content = opened(file.read, kind, head.packing)
        whole = HashedBytes(content.read)
        found = prepared(whole.read, content.kind, options)
        source, layout = line_reader(found, options), found.layout
    else:
        file.seek(part.first)
        whole = HashedBytes(_Span(file, part.last - part.first).read)
        if part.first == 0:
            whole.read(head.mark_bytes)
        layout = head.layout
        source = LineReader(
            whole.read, max_line_bytes=options.max_line_bytes, first_line=part.record
        )
    yield records(source, layout, options)
    # Only here have all bytes been read: a caller must discard its answers if this raises.
    if whole.sha256 != part.sha256:
        raise changed()


class _Span:
    """The next bytes of a file, up to a number."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def changed() -> RejectedInputError:
    """Return the error for an input whose bytes changed after the scan."""
    return RejectedInputError("changed", "its bytes changed while it was read")
