"""Hash the bytes of an input as they are read."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

from ...simcore.question_files import QuestionFileError
from ..files import durable

if TYPE_CHECKING:
    from collections.abc import Callable


class HashedBytes:
    """The bytes of one input, whose digest is known at its end.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes, none at the end.
    most
        Most bytes to return.

    Attributes
    ----------
    size
        Bytes read so far.

    """

    def __init__(self, read: Callable[[int], bytes], *, most: int = sys.maxsize) -> None:
        self._read = read
        self._most = most
        self._hash = hashlib.sha256()
        self._ended = False
        self.size = 0

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes read so far."""
        return self._hash.hexdigest()

    def read(self, size: int) -> bytes:
        """Return at most `size` next bytes, none at the end.

        Raises
        ------
        QuestionFileError
            `too_large`: there are more than `most` bytes.

        """
        data = self._next(size)
        if self.size > self._most:
            raise QuestionFileError(
                "too_large", f"more than {self._most} bytes before decompression"
            )
        return data

    def _next(self, size: int) -> bytes:
        data = self._read(size)
        self._hash.update(data)
        self.size += len(data)
        self._ended = not data
        return data

    def digest_rest(self, limit: int) -> str | None:
        """Read on to the end and return the whole input's digest; None if more than `limit` bytes were left."""
        left = limit
        while not self._ended and (chunk := self._next(durable.CHUNK_BYTES)):
            left -= len(chunk)
            if left < 0:
                return None
        return self.sha256
