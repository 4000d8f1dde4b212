"""The bell that wakes the daemon's loop."""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Bell:
    """Wakes a sleeping loop from other threads and from signal handlers.

    It is a pipe: a `threading.Event` takes a lock, and a handler that interrupts its own thread inside that lock
    deadlocks.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring(self) -> None:
        """Wake the loop, now or when it next waits."""
        with suppress(OSError):  # a full pipe already wakes the loop; a closed one has no loop
            os.write(self._write, b"\0")

    def wait(self, seconds: float) -> bool:
        """Sleep until the bell rings, at most `seconds`; return whether it rang."""
        select.select([self._read], [], [], max(seconds, 0.0))
        try:
            # The capacity of a pipe: all rings so far are taken together.
            return bool(os.read(self._read, 1 << 16))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close both ends of the pipe."""
        os.close(self._read)
        os.close(self._write)
