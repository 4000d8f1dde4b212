"""Signals of a daemon: stop when the work in hand is finished, reload; restored on the way out."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

STOP: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled(*, stop: Callable[[str], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` on SIGHUP, and `stop` with the signal's name on the first SIGTERM or SIGINT.

    A second one of those ends the process at once.  Nothing is lost by that: what was in hand is found by the next
    start.  SIGIO is ignored meanwhile: the kernel sends it to who asks for leases, and it kills by default.
    """

    def handle(number: int, _: FrameType | None) -> None:
        for each in STOP:
            signal.signal(each, signal.SIG_DFL)
        stop(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in STOP}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: reload())
    before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
