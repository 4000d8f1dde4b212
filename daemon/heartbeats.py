"""Heartbeats of the daemon's threads: a busy thread must send another heartbeat, or `rest`, within a time limit."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOP: Final = "loop"
"""The thread that claims, reads and writes; it sends a heartbeat at least once a second."""
CLAIMING: Final = "claiming"
"""The thread that claims ahead, while it compares an input with one that was answered before."""
SIMULATOR: Final = "simulator"
SETTLING: Final = "settling"
# The watcher has no heartbeat: the loop restarts one that is dead or misses events (see `watch_guard`), and if that
# does not help, the daemon works by scanning.  A restart of the daemon would not help either.


class Heartbeats:
    """The last heartbeat of each thread; any thread may send and read them.

    Parameters
    ----------
    monotonic
        Clock in seconds.
    limit_s
        Age in seconds of a heartbeat from which its thread counts as hanging.

    """

    def __init__(self, monotonic: Callable[[], float], *, limit_s: float) -> None:
        self._monotonic = monotonic
        self._limit_s = limit_s
        self._beats: dict[tuple[str, int], float] = {}

    def beat(self, part: str) -> None:
        """Send a heartbeat; the next one, or `rest`, must follow within the limit."""
        self._beats[part, threading.get_ident()] = self._monotonic()

    def rest(self, part: str) -> None:
        """Report that this thread has nothing to do for a part; no heartbeat is then expected."""
        self._beats.pop((part, threading.get_ident()), None)

    @contextmanager
    def busy(self, part: str) -> Iterator[None]:
        """Send a heartbeat before a block that must not take longer than the limit, and `rest` after it."""
        self.beat(part)
        try:
            yield
        finally:
            self.rest(part)

    def hanging(self) -> list[str]:
        """Return one line for each part whose heartbeat is overdue."""
        now = self._monotonic()
        # Copying a dict is atomic under the GIL, so no lock is needed.
        late = {
            part: now - at
            for (part, _), at in self._beats.copy().items()
            if now - at > self._limit_s
        }
        return [f"{part}: no heartbeat for {age:.0f} s" for part, age in sorted(late.items())]
