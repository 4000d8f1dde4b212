"""Stopping and reloading by signals; the former handlers are restored at the end."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from ..bell import Bell

STOP: Final = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A request to stop the daemon: its reason, and when the time to finish open work is over.

    Parameters
    ----------
    bell
        Rung when a stop is requested.
    monotonic
        Time in seconds.

    Attributes
    ----------
    reason
        Why it is to stop; None while it is not.

    """

    def __init__(self, bell: Bell, monotonic: Callable[[], float]) -> None:
        self._bell = bell
        self._monotonic = monotonic
        self._requested_s = 0.0
        self.reason: str | None = None

    def request(self, reason: str) -> None:
        """Request the stop; safe in a signal handler."""
        self._requested_s = self._monotonic()
        self.reason = reason
        self._bell.ring()

    def is_overdue(self, grace_s: float) -> bool:
        """Return whether a stop was requested at least `grace_s` seconds ago."""
        return self.reason is not None and self._monotonic() - self._requested_s >= grace_s


@contextmanager
def handled(*, stop: Callable[[str], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` on SIGHUP, and `stop` with the signal's name on the first SIGTERM or SIGINT.

    A second SIGTERM or SIGINT ends the process at once.  Nothing is lost by that: the next start finds unfinished
    inputs in work/.  SIGIO is ignored: the kernel sends it to the holder of a lease when another process opens the
    file, and its default action ends the process.
    """

    def handle(number: int, _: FrameType | None) -> None:
        for each in STOP:  # the next one ends the process
            signal.signal(each, signal.SIG_DFL)
        stop(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in STOP}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: reload())
    before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
    # The program blocks SIGHUP while it starts; one that came since then is handled here.
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
