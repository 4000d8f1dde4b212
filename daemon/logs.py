"""The structured log: one JSON line for each event, on standard output (see docs/logs.md)."""

from __future__ import annotations

import json
import os
import uuid
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
    """Writes lines to a descriptor and shrugs when that fails: the log is never worth a file.

    Attributes
    ----------
    lost
        Lines that could not be written.

    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line."""
        data = line.encode(errors="backslashreplace") + b"\n"
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self.lost += 1

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
        *ends,
    ]
    bound = structlog.wrap_logger(
        cast("WrappedLogger", Sink(fd)),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        context_class=dict,
    )
    run_id = run_id or uuid.uuid4().hex[:16]
    return cast("FilteringBoundLogger", bound.bind(schema=SCHEMA, run_id=run_id))


def _ordered(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put what people look for first at the head of the line."""
    head = ("timestamp", "level", "event")
    return {k: event[k] for k in head} | {k: v for k, v in event.items() if k not in head}


def _compact(event: dict[str, Any], **_: Any) -> str:
    return json.dumps(event, separators=(",", ":"), default=str)
