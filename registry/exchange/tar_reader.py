"""Read tar archives from front to back, in time linear in their size and in little memory.

This reads what layouts are packed in: ustar and the form before it, extended headers of POSIX (pax), and GNU's long
names. `tarfile` is only used to write: as a reader it holds extended headers of any size in memory, and takes time
quadratic in some of them.

https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["MAX_EXTENDED", "Member", "TarError", "TarReader"]

MAX_EXTENDED: Final = 2**20
"""Most bytes of an extended header, checked before it is read: it holds a name, times and attributes."""
_MAX_EXTENDED_HEADERS: Final = 16
"""Most extended headers before one member."""
_BLOCK: Final = 512
_CHUNK: Final = 2**16
_POSIX: Final = b"ustar\x00"
_REGULAR: Final = {b"0", b"\0", b"7"}  # 7: contiguous files, which nothing writes any more
_PAX: Final = {b"x", b"X"}  # X: of Solaris
_GLOBAL_PAX: Final = b"g"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_SPARSE: Final = b"GNU.sparse."
"""What the keys of extended headers start with that describe a file with holes."""


class TarError(Exception):
    """The bytes are not a tar archive, or one beyond the limits of this reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member of an archive, before its content is read.

    Attributes
    ----------
    name
        As the archive has it; bytes that are not UTF-8 are surrogates.
    kind
        The type flag of the header: `0` a regular file, `5` a folder, anything else what no layout has.
    size
        Bytes of the content.

    """

    name: str
    kind: str
    size: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == "0"

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "5"


class TarReader:
    """The members of an archive, each read at most once and in their order.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes of the archive, none at its end.

    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._left = 0  # bytes of the present member's content
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """Yield the members up to the end of the archive.

        Raises
        ------
        TarError
            A header is damaged or too long, or the archive is cut short.

        """
        while (member := self._next()) is not None:
            self._left, self._padding = (0, 0) if member.is_folder else _extent(member.size)
            yield member

    def content(self) -> Iterator[bytes]:
        """Yield the present member's content in chunks.

        Raises
        ------
        TarError
            The archive ends inside it.

        """
        while self._left:
            data = self._exactly(min(_CHUNK, self._left))
            self._left -= len(data)
            yield data

    def _next(self) -> Member | None:
        """Skip what is left of the present member, and read the headers of the next; None at the end."""
        for _ in self.content():
            pass
        self._exactly(self._padding)
        self._padding = 0
        said: dict[bytes, bytes] = {}
        for _ in range(_MAX_EXTENDED_HEADERS + 1):
            header = self._header()
            if header is None:
                if said:
                    raise TarError("ends after an extended header")
                return None
            kind = header[156:157]
            if kind == _GLOBAL_PAX:
                changing = [key for key in _pax(self._extended(header)) if _changes(key)]
                if changing:
                    raise TarError(f"a header sets {shown(changing[0].decode())} of all members")
            elif kind in _PAX:
                said |= _pax(self._extended(header))
            elif kind == _LONG_NAME:
                said[b"path"] = self._extended(header).partition(b"\0")[0]
            elif kind == _LONG_LINK:
                self._extended(header)
            else:
                return _member(header, said)
        raise TarError(f"more than {_MAX_EXTENDED_HEADERS} extended headers before one member")

    def _header(self) -> bytes | None:
        """Read one header; None at the end of the archive."""
        header = self._some(_BLOCK)
        if not header.strip(b"\0"):
            return None
        if len(header) != _BLOCK:
            raise TarError("ends inside a header")
        stated = _number(header[148:156])
        blank = header[:148] + b" " * 8 + header[156:]
        if stated not in {sum(blank), sum(struct.unpack("512b", blank))}:
            raise TarError("a header has a wrong checksum")
        return header

    def _extended(self, header: bytes) -> bytes:
        """Read the content of an extended header."""
        size = _number(header[124:136])
        if size > MAX_EXTENDED:
            raise TarError(
                f"an extended header of {size} bytes, more than the limit of {MAX_EXTENDED}"
            )
        left, padding = _extent(size)
        data = self._exactly(left)
        self._exactly(padding)
        return data

    def _exactly(self, size: int) -> bytes:
        data = self._some(size)
        if len(data) != size:
            raise TarError("ends too early")
        return data

    def _some(self, size: int) -> bytes:
        """Read `size` bytes, fewer only at the end of the file."""
        data = self._read(size) if size else b""
        while 0 < len(data) < size:
            more = self._read(size - len(data))
            if not more:
                break
            data += more
        return data


def _extent(size: int) -> tuple[int, int]:
    """Return the bytes of a content and those of the padding behind it."""
    return size, -size % _BLOCK


def _changes(key: bytes) -> bool:
    """Return whether a key of an extended header changes how a member is read."""
    return key in {b"path", b"size"} or key.startswith(_SPARSE)


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header that change how the member is read.

    A record is `LENGTH KEY=VALUE` and a line feed; its length includes all of it.
    """
    found = {}
    start = 0
    while start < len(data) and data[start]:  # GNU tar pads with zeros
        space = data.find(b" ", start, start + len(str(MAX_EXTENDED)) + 1)
        length = data[start:space] if space > 0 else b""
        end = start + int(length) if length.isdigit() else 0
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise TarError("an extended header is damaged")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise TarError("an extended header is damaged")
        if _changes(key):
            found[key] = value
        start = end
    return found


def _member(header: bytes, said: Mapping[bytes, bytes]) -> Member:
    """Return what a header describes, and the extended headers before it."""
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0]
    if prefix and header[257:263] == _POSIX:
        name = prefix + b"/" + name
    name = said.get(b"path", name)
    kind = header[156:157]
    if kind in _REGULAR:
        kind = b"5" if kind == b"\0" and name.endswith(b"/") else b"0"
    if any(key.startswith(_SPARSE) for key in said):
        kind = b"S"
    size = _number(header[124:136])
    if b"size" in said:
        size = _decimal(said[b"size"])
    return Member(
        name=name.decode(errors="surrogateescape"),
        kind=kind.decode("latin-1"),
        size=size,
    )


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise TarError(f"an extended header has the size {shown(text.decode(errors='replace'))}")
    return int(text)


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or GNU's form for larger ones, in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise TarError("a header has no number where one belongs")
    return int(digits or b"0", 8)
