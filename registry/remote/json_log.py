"""Log events of the long-running commands: one JSON line per event on standard output."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, cast

import structlog

from ...command_line import OutputError

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

__all__ = ["logger"]


class _StandardOutput:
    """Writes whole lines to standard output; safe to use from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        # A reader that closed the pipe must not stop the command: its lines are lost.
        with self._lock, contextlib.suppress(OSError, OutputError):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    info = warning = error = msg


def logger() -> FilteringBoundLogger:
    """Return a logger that writes JSON lines with the fields of docs/logs.md to standard output."""
    bound = structlog.wrap_logger(
        cast("WrappedLogger", _StandardOutput()),
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
    """Return the event with the time, level and name first, where a reader looks for them."""
    head = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return {**head, **event}
