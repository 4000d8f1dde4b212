"""The structured log: one JSON line for each event, on standard output (see docs/logs.md)."""

from __future__ import annotations

import json
import os
import select
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

import structlog

from .errors import SettingsError

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

SCHEMA: Final = 1
"""Version of the events: raised when a field changes its meaning or goes away."""

STANDARD_OUTPUT: Final = 1

Format = Literal["json", "console", "auto"]


def style(name: str) -> Format:
    """Check the name of a log format.

    Raises
    ------
    SettingsError
        It is none.

    """
    for known in get_args(Format):
        if name == known:
            return cast("Format", known)
    raise SettingsError(f"log format {name!r}: expected one of {', '.join(get_args(Format))}")


class Sink:
    """Writes lines to a descriptor and shrugs when that fails or takes too long: the log is never worth a file.

    Parameters
    ----------
    fd
        Where to write.
    patience_s
        How long a reader may keep a line waiting; once it has, lines are dropped until it reads again.

    Attributes
    ----------
    lost
        Lines that could not be written.

    """

    def __init__(self, fd: int, *, patience_s: float = 0.1) -> None:
        self._fd = fd
        self._patience_ms = patience_s * 1e3
        self._stalled = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._alone = (
            threading.Lock()
        )  # lines come from several threads, and a poll object refuses two at once
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._alone:
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                # A pipe that polls as writable takes so many bytes without blocking.
                if not self._is_writable():
                    self.lost += 1
                    return
                data = data[os.write(self._fd, data[: select.PIPE_BUF]) :]
        except OSError:
            self.lost += 1

    def _is_writable(self) -> bool:
        self._stalled = not self._poll.poll(0 if self._stalled else self._patience_ms)
        return not self._stalled

    debug = info = warning = error = critical = msg


def logger(
    form: Format = "auto", *, fd: int = STANDARD_OUTPUT, run_id: str | None = None
) -> FilteringBoundLogger:
    """Make the daemon's logger.

    Parameters
    ----------
    form
        `json`, `console` (for eyes), or `auto`: console when the descriptor is a terminal.
    fd
        Where the lines go.
    run_id
        Stands on every event; a new random one when not given.

    """
    if form == "auto":
        form = "console" if os.isatty(fd) else "json"
    sink = Sink(fd)
    ends: list[Processor] = [
        structlog.processors.format_exc_info,
        _ordered,
        structlog.processors.JSONRenderer(serializer=_compact),
    ]
    if form == "console":
        ends = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        partial(_losses, sink),
        *ends,
    ]
    bound = structlog.wrap_logger(
        cast("WrappedLogger", sink),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        context_class=dict,
    )
    run_id = run_id or uuid.uuid4().hex[:16]
    return cast("FilteringBoundLogger", bound.bind(schema=SCHEMA, run_id=run_id))


def _losses(sink: Sink, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Own up to lines that could not be written."""
    return {**event, "log_lines_lost": sink.lost} if sink.lost else event


def _ordered(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put what people look for first at the head of the line."""
    head = ("timestamp", "level", "event")
    return {k: event[k] for k in head} | {k: v for k, v in event.items() if k not in head}


def _compact(event: dict[str, Any], **_: Any) -> str:
    return json.dumps(event, separators=(",", ":"), default=str)
