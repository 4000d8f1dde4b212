"""Read the lines of an input once and in order, holding one chunk of it in memory."""

from __future__ import annotations

import codecs
import hashlib
from typing import TYPE_CHECKING, Final

from ..errors import RejectedInputError
from ..files import durable
from .gunzip import Gunzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ_BYTES: Final = 1 << 16
"""Bytes read at a time: if every line has one character, they hold 32,768 questions, about 5 MiB of objects."""


class LineReader:
    """Hashes the bytes of one input, splits them into lines and decodes these as they are read.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes, none at the end.
    max_line_bytes
        Longest line; a longer one is never held in memory.
    chunk_bytes
        Bytes read at a time.
    first_line
        Number of the first line.  Only with 1, the start of a whole input, is a byte order mark skipped.
    gzipped
        Whether the bytes are gzip.  Lines are then those of the decompressed content; digest and size remain those of
        the compressed bytes.
    max_bytes
        Most bytes of (decompressed) content; 0: no limit.

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
        self._chunk = min(chunk_bytes, max_line_bytes)  # see the check in `_whole_lines`
        self._hash = hashlib.sha256()
        self._line = first_line
        self._mark = codecs.BOM_UTF8 if first_line == 1 else b""
        self._ended = False
        self.size = 0

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes read so far; of the whole input once its lines are exhausted."""
        return self._hash.hexdigest()

    def digest_rest(self, limit: int) -> str | None:
        """Read on to the end and return the whole input's digest; None if more than `limit` bytes were left."""
        left = limit
        # Raw bytes: the digest is that of the file, and damaged gzip could not be decompressed any further.
        while not self._ended and (chunk := self._raw(durable.CHUNK_BYTES)):
            left -= len(chunk)
            if left < 0:
                return None
        return self.sha256

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the lines in blocks: the number of the first line (from 1), and the lines without their LF.

        Raises
        ------
        RejectedInputError
            `line_too_long` or `bad_utf8`, with the line number; `bad_gzip` (see `Gunzip.read`); `too_large`.

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
            # Checked before `rest` grows.  A chunk is no longer than a line may be, so only its first line, which
            # continues `rest`, can exceed the limit.
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
