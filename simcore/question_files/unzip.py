"""Read the only file of a zip archive as a stream (APPNOTE 6.3.10, section 4.3).

`zipfile` is not used: it needs a file that can seek, and reads the whole directory of an archive into memory.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .errors import QuestionFileError
from .peek import Peek

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
_LOCAL: Final = b"PK\x03\x04"
_DIRECTORY: Final = (b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x08")
"""What may follow the last member: the archive's directory, the end of an empty one, or a block of extra data."""
_DESCRIPTOR: Final = b"PK\x07\x08"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_LATER, _UTF8_NAME = 1, 8, 0x800
_ZIP64: Final = 0xFFFFFFFF
_PIECE: Final = 1 << 14

_OF_DESKTOPS: Final = ("thumbs.db", "desktop.ini")

_SKIPPED_BYTES: Final = 1 << 20
"""Largest member to skip: what a Mac adds to an archive takes a few hundred bytes."""


class _Member(NamedTuple):
    """One member's header; `size` in bytes after decompression, None if it follows the content."""

    name: str
    flags: int
    method: int
    crc: int
    size: int | None


class Unzip:
    """The content of a zip archive of one file.

    Folders and what systems add (`__MACOSX/`, names with a leading dot, `Thumbs.db`) are skipped.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes of the archive, none at the end.

    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._raw = Peek(read)
        self._member: _Member | None = None
        self._inflate: Any = None
        self._packed = b""
        self._left = 0
        self._crc = 0
        self._size = 0

    def open(self) -> str:
        """Find the file, and return its name.

        Raises
        ------
        QuestionFileError
            `bad_compression`: the archive is empty, damaged, or packed in a way that cannot be read.

        """
        found = self._next_file()
        if found is None:
            raise _refused("the archive holds no file: put one into it")
        self._begin(found)
        return found.name

    def read(self, size: int) -> bytes:
        """Return up to `size` next bytes of the file, none only at its end; then check that no other file follows.

        Raises
        ------
        QuestionFileError
            `bad_compression`: it is damaged; `many_files`: it holds a second file.

        """
        data = self._content(size)
        member = self._member
        if data or member is None:
            return data
        self._member = None
        other = self._next_file()
        if other is not None:
            raise QuestionFileError(
                "many_files", f"it holds {member.name} and {other.name}: unpack it"
            )
        return b""

    def _next_file(self) -> _Member | None:
        while (member := self._header()) is not None:
            last = member.name.rpartition("/")[2]
            added = not last or last.startswith(".") or last.lower() in _OF_DESKTOPS
            if not added and not member.name.startswith("__MACOSX/"):
                return member
            self._begin(member)
            while self._content(_PIECE):
                if self._size > _SKIPPED_BYTES:
                    raise _refused(f"{member.name} has more than {_SKIPPED_BYTES} bytes: unpack it")
            self._member = None
        return None

    def _header(self) -> _Member | None:
        begin = self._raw.peek(4)
        if begin != _LOCAL:
            if begin not in _DIRECTORY:
                raise _refused("the file ends inside it: copy it again")
            return None
        fields = _HEADER.unpack(self._exactly(_HEADER.size))
        _, _, flags, method, _, _, crc, _, size, name_bytes, extra_bytes = fields
        raw = self._exactly(name_bytes)
        extra = self._exactly(extra_bytes)
        if size == _ZIP64:
            size = _size_in(extra)
        name = raw.decode("utf-8" if flags & _UTF8_NAME else "cp437", errors="replace")
        if flags & _ENCRYPTED:
            raise _refused(f"{name} is encrypted: unpack it")
        later = bool(flags & _SIZES_LATER)
        if method not in {_STORED, _DEFLATED} or (method == _STORED and later and not size):
            raise _refused(f"{name} is packed by method {method}: use deflate, as zip does")
        return _Member(name, flags, method, crc, None if later and method == _DEFLATED else size)

    def _begin(self, member: _Member) -> None:
        self._member = member
        self._inflate = zlib.decompressobj(-15) if member.method == _DEFLATED else None
        self._left = member.size or 0
        self._crc = self._size = 0

    def _content(self, size: int) -> bytes:
        """Return the next bytes of the member; at its end, check them and return none."""
        member = self._member
        if member is None:
            return b""
        data = self._stored(size) if self._inflate is None else self._inflated(member, size)
        if data:
            self._crc = zlib.crc32(data, self._crc)
            self._size += len(data)
            return data
        crc = self._descriptor() if member.flags & _SIZES_LATER else member.crc
        if crc != self._crc or member.size not in {None, self._size}:
            raise _refused(f"{member.name} is damaged: copy it again")
        return b""

    def _stored(self, size: int) -> bytes:
        data = self._raw.read(min(size, self._left)) if self._left else b""
        if self._left and not data:
            raise _refused("the file ends inside it: copy it again")
        self._left -= len(data)
        return data

    def _inflated(self, member: _Member, size: int) -> bytes:
        while not self._inflate.eof:
            held = self._inflate.unconsumed_tail or self._raw.peek(_PIECE)
            took_tail = bool(self._inflate.unconsumed_tail)
            try:
                data: bytes = self._inflate.decompress(held, size)
            except zlib.error as e:
                raise _refused(f"{member.name}: {e}: copy it again") from None
            if not took_tail:
                self._raw.read(len(held))
            if self._inflate.eof:
                self._raw.push_back(self._inflate.unused_data)
            if data:
                return data
            if not held:
                raise _refused("the file ends inside it: copy it again")
        return b""

    def _descriptor(self) -> int:
        """Read the sums that follow a member, with or without a signature, and with sizes of 4 or 8 bytes each."""
        head = self._raw.peek(28)
        skip = 4 if head.startswith(_DESCRIPTOR) else 0
        for sizes in (8, 16):
            end = skip + 4 + sizes
            if head[end : end + 2] == b"PK":
                self._exactly(end)
                return int.from_bytes(head[skip : skip + 4], "little")
        raise _refused("the archive is damaged: copy it again")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._raw.read(size - len(data))
            if not piece:
                raise _refused("the file ends inside it: copy it again")
            data += piece
        return data


def _size_in(extra: bytes) -> int:
    """Return the size from a header's zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 8:
            return int.from_bytes(extra[at + 4 : at + 12], "little")
        at += 4 + length
    return _ZIP64


def _refused(why: str) -> QuestionFileError:
    return QuestionFileError("bad_compression", f"zip: {why}")
