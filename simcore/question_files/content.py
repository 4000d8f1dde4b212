"""Decompress a file as it is read; what it begins with decides, not only its name."""

from __future__ import annotations

import bz2
import lzma
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import foreign, names
from .errors import QuestionFileError
from .gunzip import Gunzip
from .peek import Peek
from .unzip import Unzip

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int], bytes]
    """Returns at most the given number of next bytes, none at the end."""

MEMORY: Final = 1 << 27
"""Most bytes that xz or zstd may allocate: `xz -9` needs half of it, a hostile file asks for 4 GiB."""

_MAGIC: Final = (
    (b"\x1f\x8b", ".gz"),
    (b"BZh", ".bz2"),
    (b"\xfd7zXZ\0", ".xz"),
    (b"\x28\xb5\x2f\xfd", ".zst"),
    (b"PK\x03\x04", names.ZIP),
    (b"PK\x05\x06", names.ZIP),
)
_BZIP2: Final = (b"1AY&SY", b"\x17rE8P\x90")
"""What follows `BZh1` to `BZh9`: a block, or the end of an empty file.  `BZh` alone could be text."""

_NEEDS_MAGIC: Final = (".bz2", ".xz", names.ZIP)
"""Compressions whose files begin in no other way: zstd may begin with a frame to skip, and gzip has its own message."""

FRUITLESS_BYTES: Final = 1 << 24
"""Packed bytes that a file may have besides what its content needs: padding, headers, empty streams."""

MOST_PACKED: Final = 16
"""Packed bytes for each byte of content: a stream of one short line has as many."""

_TURN_BYTES: Final = 1 << 20
"""Packed bytes after which a read returns what it has found."""

_PACKED_BYTES: Final = 1 << 14
_STEP_BYTES: Final = 64
"""A block of zstd takes at least 4 bytes and holds at most 128 KiB."""


class Content(NamedTuple):
    """The content of a file after decompression, the suffix that decides how it is read, and whether it was packed."""

    read: Read
    kind: str
    packed: bool


def looks_packed(head: bytes) -> str | None:
    """Return the suffix of the compression that a file's first bytes show, or None."""
    for magic, packing in _MAGIC:
        if head.startswith(magic):
            if packing == ".bz2" and head[4:10] not in _BZIP2:
                return None
            return packing
    return None


def opened(read: Read, kind: str | None, packing: str | None, name: str = "") -> Content:
    """Begin to read a file.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes of the file, none at the end.
    kind, packing
        Of its name (see `names`).
    name
        Its name, for the message.

    Raises
    ------
    QuestionFileError
        `unknown_suffix`; `other_format`; `bad_gzip` or `bad_compression`, also from reading the content;
        `no_library` for zstd.

    """
    if kind is None:
        raise QuestionFileError("unknown_suffix", names.unknown(name))
    raw = Peek(read)
    head = raw.peek(foreign.HEAD_BYTES)
    foreign.refuse_foreign(head)
    found_packing = looks_packed(head)
    if found_packing is None and packing in _NEEDS_MAGIC and head:
        raise QuestionFileError(
            "bad_compression",
            f"it does not begin as a {packing} file: pack it again, or put it here unpacked, without {packing} in its"
            " name",
        )
    packing = found_packing or packing
    if packing is None:
        return Content(raw.read, kind, packed=False)
    unpacking = _Unpacking(raw.read, packing)
    if packing == names.ZIP:
        archive = Unzip(unpacking.packed)
        member = archive.open()
        foreign.refuse_document(member)
        found = names.kind(member) or (kind if kind != names.ZIP else None)
        if found is None or found == names.ZIP or names.packing(member) is not None:
            raise QuestionFileError("unknown_suffix", names.unknown_inside(member))
        content: Read = archive.read
        kind = found
    else:
        content = _STREAMS[packing](unpacking.packed)
    inner = Peek(unpacking.reading(content))
    head = inner.peek(foreign.HEAD_BYTES)
    foreign.refuse_foreign(head)
    if twice := looks_packed(head):
        raise QuestionFileError("bad_compression", f"compressed twice ({twice}): unpack it once")
    return Content(inner.read, kind, packed=True)


class _Unpacking:
    """Bounds what a packed file costs: the packed bytes that are read, by those of its content.

    Parameters
    ----------
    read
        Returns at most the given number of next packed bytes.
    packing
        Suffix of the compression, for the message.

    """

    def __init__(self, read: Read, packing: str) -> None:
        self._read = read
        self._packing = packing
        self._packed = 0
        self._found = 0

    def packed(self, size: int) -> bytes:
        """Return at most `size` next packed bytes; raise `bad_gzip` or `bad_compression` if they hold too little."""
        data = self._read(size)
        self._packed += len(data)
        if self._packed > FRUITLESS_BYTES + MOST_PACKED * self._found:
            raise QuestionFileError(
                "bad_gzip" if self._packing == ".gz" else "bad_compression",
                f"{self._packed} bytes of {self._packing} hold only {self._found}: unpack it, or pack it again",
            )
        return data

    def reading(self, content: Read) -> Read:
        """Return a function that reads the content, as much as is asked for unless that takes many packed bytes."""

        def read(size: int) -> bytes:
            most = self._packed + _TURN_BYTES
            data = content(size)
            self._found += len(data)
            if len(data) == size or not data:
                return data
            found, left = [data], size - len(data)
            while left and data and self._packed < most:
                data = content(left)
                found.append(data)
                left -= len(data)
                self._found += len(data)
            return b"".join(found)

        return read


class Streams:
    """The content of a bzip2 or xz file of one or more streams; zeros behind a stream are padding.

    Parameters
    ----------
    read
        Returns the next compressed bytes.
    begin
        Makes the decompressor of one stream.
    what
        Name of the compression.
    damage
        The exception that it raises for damaged bytes.

    """

    def __init__(
        self, read: Read, begin: Callable[[], Any], what: str, damage: type[Exception]
    ) -> None:
        self._read = read
        self._begin = begin
        self._what = what
        self._damage = damage
        self._stream: Any = None
        self._packed = b""
        self._streams = 0
        self._size = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` next bytes of the content, none only at its end; raise `bad_compression` on damage."""
        while True:
            if self._stream is None and not self._next_stream():
                return b""
            if not self._packed and self._stream.needs_input:
                self._packed = self._read(_PACKED_BYTES)
                if not self._packed:
                    raise self._refused("the file ends inside it: copy it again")
            try:
                data: bytes = self._stream.decompress(self._packed, size)
            except self._damage as e:
                raise self._refused(
                    f"{str(e)[:80]}: pack it again, or put it here unpacked"
                ) from None
            self._packed = b""
            if self._stream.eof:
                self._packed, self._stream = self._stream.unused_data, None
            if data:
                self._size += len(data)
                return data

    def _next_stream(self) -> bool:
        if self._streams:
            self._packed = self._packed.lstrip(b"\0")
        while not self._packed:
            self._packed = self._read(_PACKED_BYTES)
            if not self._packed:
                return False
            if self._streams:
                self._packed = self._packed.lstrip(b"\0")
        self._stream = self._begin()
        self._streams += 1
        return True

    def _refused(self, why: str) -> QuestionFileError:
        return QuestionFileError(
            "bad_compression",
            f"{self._what} stream {self._streams}, after {self._size} decompressed bytes: {why}",
        )


def _bunzip2(read: Read) -> Read:
    return Streams(read, bz2.BZ2Decompressor, "bzip2", OSError).read


def _unxz(read: Read) -> Read:
    def begin() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)

    return Streams(read, begin, "xz", lzma.LZMAError).read


def _unzstd(read: Read) -> Read:
    try:
        import zstandard  # noqa: PLC0415 - not in Python 3.11, and not among our dependencies
    except ModuleNotFoundError:
        raise QuestionFileError(
            "no_library", "it is zstd: pip install zstandard, or unpack it (zstd -d)"
        ) from None

    def begin() -> _ZstdStream:
        packer = zstandard.ZstdDecompressor(max_window_size=MEMORY)
        return _ZstdStream(packer.decompressobj())

    return Streams(read, begin, "zstd", zstandard.ZstdError).read


class _ZstdStream:
    """A zstd frame behind the interface of `bz2.BZ2Decompressor`.

    zstandard's reader, which bounds its output, takes a truncated file for a complete one.  Its decompressor does not,
    but returns everything that its input holds: at most 2 MiB, because it gets `_STEP_BYTES` at a time.
    """

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self._packed = b""
        self._found = b""

    @property
    def needs_input(self) -> bool:
        return not self._found and not self._packed

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof) and not self._found

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data) + self._packed

    def decompress(self, data: bytes, size: int) -> bytes:
        self._packed += data
        while not self._found and self._packed and not self._frame.eof:
            step, self._packed = self._packed[:_STEP_BYTES], self._packed[_STEP_BYTES:]
            self._found = self._frame.decompress(step)
        found, self._found = self._found[:size], self._found[size:]
        return found


def _gunzip(read: Read) -> Read:
    return Gunzip(read).read


_STREAMS: Final[dict[str, Callable[[Read], Read]]] = {
    ".gz": _gunzip,
    ".bz2": _bunzip2,
    ".xz": _unxz,
    ".zst": _unzstd,
}
