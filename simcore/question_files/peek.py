"""Look at the next bytes of a stream without taking them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Peek:
    """A stream whose next bytes can be looked at.

    Parameters
    ----------
    read
        Returns at most the given number of next bytes, none at the end.

    Attributes
    ----------
    ended
        Whether the bytes that were looked at last are all that is left.

    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._head = b""
        self._at = 0  # the bytes of `_head` before it are taken
        self.ended = False

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end; `read` returns them again."""
        found = [self._head[self._at :]]
        held = len(found[0])
        while held < size and not self.ended:
            data = self._read(size - held)
            self.ended = not data
            found.append(data)
            held += len(data)
        self._head, self._at = b"".join(found), 0
        return self._head[:size]

    def read(self, size: int) -> bytes:
        """Return at most `size` next bytes, none at the end."""
        if self._head:
            data = self._head[self._at : self._at + size]
            self._at += len(data)
            if self._at == len(self._head):
                self._head, self._at = b"", 0
            return data
        return b"" if self.ended else self._read(size)

    def push_back(self, data: bytes) -> None:
        """Put bytes back that were read last."""
        self._head, self._at = data + self._head[self._at :], 0
