"""What the long-running commands share: one JSON line for each event, and a clean end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

__all__ = ["logger", "stopping"]

_STOP: Final = (signal.SIGTERM, signal.SIGINT)


class _Lines:
    """Writes lines to standard output; a reader that went away is no reason to stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    info = warning = error = msg


def logger() -> FilteringBoundLogger:
    """Make a logger: JSON lines on standard output, with the fields of docs/logs.md."""
    bound = structlog.wrap_logger(
        cast("WrappedLogger", _Lines()),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _ordered,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        context_class=dict,
    )
    return cast("FilteringBoundLogger", bound.bind())


def _ordered(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put what people look for first at the head of the line."""
    head = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return {**head, **event}


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    stop = threading.Event()

    def handle(_: int, __: FrameType | None) -> None:
        for number in _STOP:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    before = {number: signal.signal(number, handle) for number in _STOP}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
