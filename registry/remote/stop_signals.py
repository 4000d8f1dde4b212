"""Stop the long-running commands on SIGTERM and SIGINT."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["stopping"]

_STOP: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; a second one ends the process at once.

    The previous handlers are restored on exit.
    """
    stop = threading.Event()

    def handle(_: int, __: FrameType | None) -> None:
        for number in _STOP:  # the next one ends the process
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    before = {number: signal.signal(number, handle) for number in _STOP}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
