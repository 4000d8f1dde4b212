"""Read the lines of a UTF-8 text once and in order, holding one chunk of it in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import QuestionFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ_BYTES: Final = 1 << 16
"""Bytes read at a time: if every line has one character, they hold 32,768 questions, about 5 MiB of objects."""


class LineReader:
    """Splits the bytes of one text into lines and decodes these as they are read.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes, none at the end.
    max_line_bytes
        Longest line; a longer one is never held in memory.
    chunk_bytes
        Bytes read at a time.
    first_line
        Number of the first line.
    max_bytes
        Most bytes of the text; 0: no limit.

    Attributes
    ----------
    read, max_line_bytes, first_line
        As given.
    has_nul
        Whether a NUL byte has been read.
    returned
        Bytes up to the end of the last block.

    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        max_line_bytes: int,
        chunk_bytes: int = READ_BYTES,
        first_line: int = 1,
        max_bytes: int = 0,
    ) -> None:
        self.read = read
        self._max_bytes = max_bytes
        self.max_line_bytes = max_line_bytes
        self._chunk = min(chunk_bytes, max_line_bytes)  # see the check in `_whole_lines`
        self.first_line = self._line = first_line
        self.has_nul = False
        self.returned = 0

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the lines in blocks: the number of the first line (from 1), and the lines without their LF.

        A block comes after every read, so that the caller gets a turn.  It is empty where a line goes on, and where all
        lines are blank.

        Raises
        ------
        QuestionFileError
            `line_too_long`, `bad_utf8` or `too_large`, with the line number.

        """
        for block in self._whole_lines():
            first = self._line
            lines: list[str] = []
            if block is None:
                pass
            elif block.isspace():  # a file may have gigabytes of it
                self._line += 1 + block.count(b"\n")
            else:
                lines = self._decode(block).split("\n")
                self._line += len(lines)
            yield first, lines

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (line number, line) one by one, blank ones too (see `blocks`)."""
        for block in self._whole_lines():
            if block is not None:
                first = self._line
                lines = self._decode(block).split("\n")
                self._line += len(lines)
                yield from enumerate(lines, first)

    def _whole_lines(self) -> Iterator[bytes | None]:
        """Yield whole lines, many at a time, without the last LF; None after a read in which no line ends."""
        rest: list[bytes] = []
        held = taken = 0
        while chunk := self.read(self._chunk):
            taken += len(chunk)
            if 0 < self._max_bytes < taken:
                raise QuestionFileError(
                    "too_large", f"line {self._line}: more than {self._max_bytes} bytes of content"
                )
            # Checked before `rest` grows.  A chunk is no longer than a line may be, so only its first line, which
            # continues `rest`, can exceed the limit.
            first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
            if held + (len(chunk) if first < 0 else first) > self.max_line_bytes:
                raise QuestionFileError(
                    "line_too_long", f"line {self._line}: more than {self.max_line_bytes} bytes"
                )
            if last < 0:
                rest.append(chunk)
                held += len(chunk)
                yield None
                continue
            self.returned = taken - len(chunk) + last + 1
            yield b"".join((*rest, chunk[:last]))
            rest = [chunk[last + 1 :]]
            held = len(rest[0])
        if held:
            self.returned = taken
            yield b"".join(rest)

    def _decode(self, block: bytes) -> str:
        self.has_nul = self.has_nul or b"\0" in block
        try:
            return block.decode()
        except UnicodeDecodeError as e:
            line = self._line + block.count(b"\n", 0, e.start)
            column = e.start - (block.rfind(b"\n", 0, e.start) + 1)
            raise not_utf8(line, column, block[e.start]) from None


def not_utf8(line: int, column: int, byte: int) -> QuestionFileError:
    """Return the error for a byte that is not UTF-8; line from 1, column from 0."""
    return QuestionFileError(
        "bad_utf8",
        f"line {line}: byte 0x{byte:02x} at {column} is not UTF-8: save the file as UTF-8, or set encoding to what"
        " it was saved in (--encoding cp1252 for most files of Windows)",
    )
