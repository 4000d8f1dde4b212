"""Read the page headers of Parquet files, to know how much memory a page takes before it is unpacked.

A page is unpacked as a whole, whatever its size; pyarrow neither bounds that nor shows the headers.  These are structs
of Thrift's compact protocol (parquet.thrift: PageHeader).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from ..errors import RejectedInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PAGE_BYTES: Final = 1 << 25
"""Largest page that is read, unpacked: most writers end a page at 1 MiB."""

MOST_HEADER_BYTES: Final = 1 << 22
"""Largest header of a page: its statistics hold two values."""

_READ_BYTES: Final = 1 << 12

_DICTIONARY: Final = 2
_TYPE, _UNPACKED, _PACKED = 1, 2, 3
_DATA, _DATA_V2 = 5, 8
_DEEPEST: Final = 8

_BOOLEANS: Final = (1, 2)
_FIXED: Final = {1: 0, 2: 0, 3: 1, 7: 8}
"""Bytes of a value by its type; a boolean of a struct is in the type."""
_INTEGERS: Final = (4, 5, 6)
_BINARY: Final = 8
_LISTS: Final = (9, 10)
_STRUCT: Final = 12


class Page(NamedTuple):
    """A page: the bytes that it takes unpacked, and its values; None for a dictionary."""

    size: int
    values: int | None


def pages(file: BinaryIO, column: Any) -> Iterator[Page]:
    """Yield the pages of a column chunk.

    Parameters
    ----------
    file
        The Parquet file.
    column
        pyarrow's metadata of the chunk.

    Raises
    ------
    RejectedInputError
        `bad_parquet`: a header is damaged, or a page larger than MOST_PAGE_BYTES.

    """
    at, end = chunk(column)
    while at < end:
        header, size = _header(file, at)
        unpacked, packed = header.get(_UNPACKED, -1), header.get(_PACKED, -1)
        if unpacked < 0 or packed < 0:
            raise _damaged(at)
        if max(unpacked, packed) > MOST_PAGE_BYTES:
            raise RejectedInputError(
                "bad_parquet",
                f"a page of {max(unpacked, packed)} bytes, expected at most {MOST_PAGE_BYTES}: write it with smaller"
                " pages (pyarrow: write_batch_size, data_page_size and dictionary_pagesize_limit)",
            )
        data = header.get(_DATA) or header.get(_DATA_V2) or {}
        yield Page(unpacked, None if header.get(_TYPE) == _DICTIONARY else data.get(1, 0))
        at += size + packed


def chunk(column: Any) -> tuple[int, int]:
    """Return the first byte of a column chunk, and the one behind its last."""
    # The dictionary page, if any, comes before the data pages; some writers set its offset to 0 instead.
    at = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset:
        at = min(at, column.dictionary_page_offset)
    return at, at + column.total_compressed_size


def _header(file: BinaryIO, at: int) -> tuple[dict[int, Any], int]:
    """Return the fields of the header at a position by their numbers, and its size."""
    size = _READ_BYTES
    while True:
        file.seek(at)
        data = file.read(size)
        reader = _Struct(data)
        try:
            return reader.fields(), reader.at
        except IndexError:
            if len(data) < size or size >= MOST_HEADER_BYTES:
                raise _damaged(at) from None
            size *= 2


def _damaged(at: int) -> RejectedInputError:
    return RejectedInputError("bad_parquet", f"no page header at byte {at}: write the file again")


@dataclass(slots=True)
class _Struct:
    """A cursor in bytes of Thrift's compact protocol; reading behind their end raises IndexError."""

    data: bytes
    at: int = 0

    def fields(self, depth: int = 0) -> dict[int, Any]:
        """Return a struct's numbers and structs; other fields are skipped."""
        if depth > _DEEPEST:
            raise IndexError
        found: dict[int, Any] = {}
        number = 0
        while (begin := self._byte()) != 0:
            kind = begin & 15
            number = number + (begin >> 4) if begin >> 4 else self._integer()
            if kind in _INTEGERS:
                found[number] = self._integer()
            elif kind == _STRUCT:
                found[number] = self.fields(depth + 1)
            else:
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _FIXED:
            self.at += _FIXED[kind]
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            size = self._varint()  # moves `at`
            self.at += size
        elif kind in _LISTS:
            self._skip_list(depth)
        elif kind == _STRUCT:
            self.fields(depth + 1)
        else:  # a header of a page has no maps
            raise IndexError

    def _skip_list(self, depth: int) -> None:
        begin = self._byte()
        count = begin >> 4 if begin >> 4 < 15 else self._varint()
        for _ in range(count):
            if begin & 15 in _BOOLEANS:  # in a list, unlike in a struct, it takes a byte
                self._byte()
            else:
                self._skip(begin & 15, depth + 1)
            if self.at >= len(self.data):
                raise IndexError

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise IndexError

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
