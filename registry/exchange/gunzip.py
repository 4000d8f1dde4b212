"""Decompress a gzip file up to a number of bytes: a small file could expand to any size."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["Gunzip", "GzipError"]

_PACKED: Final = 2**16
"""Compressed bytes held at a time."""
_GZIP: Final = 31  # zlib's wbits: a gzip header (16), and the largest window (15)
_MAX_MEMBERS: Final = 100_000
"""Most gzip members of a file: each may be empty, and costs time."""


class GzipError(Exception):
    """The bytes are not gzip, or damaged."""


class Gunzip:
    """The content of a gzip file of one or more members (RFC 1952); zeros behind a member are padding.

    Parameters
    ----------
    file
        The file, at its start.
    limit
        Most bytes of the file's content, and of the file itself.

    """

    def __init__(self, file: BinaryIO, *, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._packed = b""
        self._read = 0
        self._size = 0
        self._member: Any = None  # zlib does not export the type of its decompressor
        self._members = 0

    def read(self, size: int) -> bytes:
        """Return at most the next `size` bytes of the content; none at its end.

        Raises
        ------
        GzipError
            The bytes are not gzip, or damaged.
        EOFError
            The file is cut short.
        ValueError
            There is more of it than the limit, or than `_MAX_MEMBERS` members.

        """
        while self._enter_member():
            try:
                data: bytes = self._member.decompress(self._packed, size)
            except zlib.error as e:
                raise GzipError(str(e)) from None
            if self._member.eof:
                self._packed, self._member = self._member.unused_data, None
            else:
                self._packed = self._member.unconsumed_tail
                # zlib may hold output back although it took all input, so more is read only when it returned nothing.
                if not data and not self._packed and not self._fill():
                    raise EOFError("it ends too early")
            if data:
                self._size = self._within_limit(self._size + len(data))
                return data
        return b""

    def _enter_member(self) -> bool:
        """Begin the next member unless one is open; return False at the end of the file."""
        while self._member is None:
            if self._members:
                self._packed = self._packed.lstrip(b"\0")
            if self._packed:
                self._member = zlib.decompressobj(wbits=_GZIP)
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise ValueError(f"more than {_MAX_MEMBERS} members")
            elif not self._fill():
                return False
        return True

    def _fill(self) -> bool:
        self._packed = self._file.read(_PACKED)
        self._read = self._within_limit(self._read + len(self._packed))
        return bool(self._packed)

    def _within_limit(self, size: int) -> int:
        if size > self._limit:
            raise ValueError(f"more than {self._limit} bytes; unpack it first: gzip -dk FILE")
        return size
