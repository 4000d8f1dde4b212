"""Signs of life of the daemon's threads: who says to be busy must say so again, or be done, within a limit."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOP: Final = "loop"
"""Claims, reads and writes; beats at least once a second for as long as the daemon runs."""
SIMULATOR: Final = "simulator"
SETTLING: Final = "settling"
# The watcher is not among them: one that is dead or deaf is started anew by the loop (see `guards`), and where that
# does not help, the daemon works by scanning, so that ending it would help nobody.


class Heartbeats:
    """The daemon's hearts; any thread may beat, and any may look.

    Parameters
    ----------
    monotonic
        Time in seconds.
    limit_s
        Age of a beat from which its thread counts as hanging.

    """

    def __init__(self, monotonic: Callable[[], float], *, limit_s: float) -> None:
        self._monotonic = monotonic
        self._limit_s = limit_s
        self._beats: dict[tuple[str, int], float] = {}

    def beat(self, part: str) -> None:
        """Give a sign of life; the next one, or `rest`, is expected within the limit."""
        self._beats[part, threading.get_ident()] = self._monotonic()

    def rest(self, part: str) -> None:
        """Say that this thread has nothing to do for that part, for as long as it likes."""
        self._beats.pop((part, threading.get_ident()), None)

    @contextmanager
    def busy(self, part: str) -> Iterator[None]:
        """Do something that must not take longer than the limit."""
        self.beat(part)
        try:
            yield
        finally:
            self.rest(part)

    def hanging(self) -> list[str]:
        """Say which parts have given no sign of life for too long, and for how long."""
        now = self._monotonic()
        # A copy is one step of the interpreter, and so needs no lock.
        late = {
            part: now - at
            for (part, _), at in self._beats.copy().items()
            if now - at > self._limit_s
        }
        return [f"{part}: no sign of life for {age:.0f} s" for part, age in sorted(late.items())]
