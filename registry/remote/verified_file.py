"""A file that was verified as a whole, and is sent in pieces, each of which is checked again."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING, Final

from ..errors import Corrupt
from ..layout.files import open_regular, storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..references import Digest

__all__ = ["VerifiedFile"]

_PIECE: Final = 2**17


class VerifiedFile:
    """An open file with the expected digest; close it.

    Many can be sent at the same time, however slowly: only one piece of each is in memory.

    Parameters
    ----------
    path
        The file.
    digest
        The expected digest.
    limit
        Most bytes of the file.

    Raises
    ------
    FileNotFoundError
        The path does not exist.
    Corrupt
        It is not a regular file, is too large, or has another digest.
    StorageError
        It cannot be read.

    """

    def __init__(self, path: Path, digest: Digest, *, limit: int) -> None:
        self._path = path
        self._descriptor, self._size = open_regular(path, limit=limit)
        self._sums: list[int] = []
        try:
            self._verify(digest)
        except BaseException:
            self.close()
            raise

    def _verify(self, digest: Digest) -> None:
        found = hashlib.sha256()
        for piece in self._pieces():
            found.update(piece)
            self._sums.append(zlib.crc32(piece))
        if f"sha256:{found.hexdigest()}" != digest:
            raise Corrupt(f"{self._path}: holds bytes with sha256:{found.hexdigest()}")

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in pieces.

        Raises
        ------
        Corrupt
            A piece has changed since the file was verified.

        """
        for piece, expected in zip(self._pieces(), self._sums, strict=True):
            if zlib.crc32(piece) != expected:
                raise Corrupt(f"{self._path}: changed while it was sent")
            yield piece

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, self._size, _PIECE):
            with storage(f"reading {self._path}"):
                yield os.pread(self._descriptor, min(_PIECE, self._size - start), start)
