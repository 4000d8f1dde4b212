"""Decompress gzip as it is read, never more at a time than the caller requests: some files expand a thousandfold."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from .errors import QuestionFileError

if TYPE_CHECKING:
    from collections.abc import Callable

PACKED_BYTES: Final = 1 << 14
"""Compressed bytes held at a time."""

_GZIP: Final = 31  # zlib's wbits: a gzip header (16), and the largest window (15)


class Gunzip:
    """The content of a gzip file of one or more members (RFC 1952); zeros behind a member are padding.

    `gzip.GzipFile` is not used: it neither reports in which member a file is damaged nor checks a header's CRC.

    Parameters
    ----------
    read
        Returns at most the given number of next compressed bytes, none at the end.

    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._packed = b""
        self._member: Any = None  # zlib does not export the type of its decompressor
        self._members = 0
        self._size = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` next bytes of the content, none only at its end.

        Raises
        ------
        QuestionFileError
            `bad_gzip`: the file is not gzip, is damaged or cut short; the message has the position in the content.

        """
        data = b""
        while not data and self._enter_member():
            data = self._inflate(size)
            self._size += len(data)
        return data

    def _enter_member(self) -> bool:
        """Begin the next member unless one is open; return False at the end of the file."""
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
            advice = (
                "copy or pack it again"
                if self._size
                else "if it is not compressed, rename it without .gz"
            )
            raise self._rejected(f"{e}: {advice}") from None
        if member.eof:
            self._packed, self._member = member.unused_data, None
            return data
        self._packed = member.unconsumed_tail
        # zlib may still hold output back although it took all input, so more is read only when it returned nothing.
        if not data and not self._packed and not self._fill():
            raise self._rejected("the file ends inside it: copy it again")
        return data

    def _fill(self) -> bool:
        self._packed = self._read(PACKED_BYTES)
        return bool(self._packed)

    def _rejected(self, why: str) -> QuestionFileError:
        return QuestionFileError(
            "bad_gzip", f"member {self._members}, after {self._size} decompressed bytes: {why}"
        )
