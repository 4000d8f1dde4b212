"""Decompress gzip as it is read, never more at a time than is asked for."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from ..errors import RejectedInputError

if TYPE_CHECKING:
    from collections.abc import Callable

PACKED_BYTES: Final = 1 << 14
"""Compressed bytes held at a time."""

_GZIP: Final = 31  # zlib's wbits: a gzip header, and the largest window


class Gunzip:
    """The content of a gzip file of one or more members (RFC 1952); zeros behind a member are padding.

    Parameters
    ----------
    read
        Gives at most so many of the next compressed bytes, none at the end.

    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._packed = b""
        self._member: Any = None  # zlib does not name the type of its decompressor
        self._members = 0
        self._size = 0

    def read(self, size: int) -> bytes:
        """Give the next `size` bytes of the content, fewer only at its end.

        Raises
        ------
        RejectedInputError
            `bad_gzip`: the file is no gzip, damaged, or cut short; with the position in its content.

        """
        found: list[bytes] = []
        left = size
        while left and self._begun():
            data = self._inflate(left)
            found.append(data)
            left -= len(data)
            self._size += len(data)
        return b"".join(found)

    def _begun(self) -> bool:
        """Be inside a member; False at the end of the file."""
        while self._member is None:
            if self._members:
                self._packed = self._packed.lstrip(b"\0")
            if self._packed:
                self._member = zlib.decompressobj(wbits=_GZIP)
                self._members += 1
            elif not self._fill():
                return False
        return True

    def _inflate(self, size: int) -> bytes:
        member = self._member
        try:
            data: bytes = member.decompress(self._packed, size)
        except zlib.error as e:
            raise self._bad(str(e)) from None
        if member.eof:
            self._packed, self._member = member.unused_data, None
            return data
        self._packed = member.unconsumed_tail
        # zlib may hold output back although it took all input: only when it gives none is there need of more.
        if not data and not self._packed and not self._fill():
            raise self._bad("the file ends inside it")
        return data

    def _fill(self) -> bool:
        self._packed = self._read(PACKED_BYTES)
        return bool(self._packed)

    def _bad(self, why: str) -> RejectedInputError:
        return RejectedInputError(
            "bad_gzip", f"member {self._members}, after {self._size} decompressed bytes: {why}"
        )
