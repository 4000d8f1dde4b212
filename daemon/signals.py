"""Signals of a daemon: stop when the work in hand is finished; restored on the way out."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

STOP: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopping(ask: Callable[[str], None]) -> Iterator[None]:
    """Call `ask` with the signal's name on the first SIGTERM or SIGINT; a second one ends the process at once.

    Nothing is lost by a second one: what was in hand is found by the next start.  SIGIO is ignored meanwhile: the
    kernel sends it to who asks for leases, and it kills by default.
    """

    def handle(number: int, _: FrameType | None) -> None:
        for stop in STOP:
            signal.signal(stop, signal.SIG_DFL)
        ask(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in STOP}
    before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
