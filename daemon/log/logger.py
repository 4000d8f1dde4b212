"""The structured log: one JSON line per event, on standard output (docs/logs.md)."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

from ..errors import SettingsError
from .events import to_the_second
from .sinks import STANDARD_OUTPUT, RotatedFile, Stream, goes_to_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from structlog.typing import EventDict, Processor, WrappedLogger

    from ..settings import Settings
    from .sinks import Sink

SCHEMA: Final = 1
"""Version of the events, incremented when a field changes its meaning or is removed."""

PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Priority of each level in the journal (sd-daemon(3))."""

Format = Literal["json", "console", "auto"]


class Log(FilteringBoundLogger, Protocol):
    """The type of logger that `logger` returns: structlog's, extended by `together`."""

    def together(self) -> AbstractContextManager[None]:
        """Buffer the lines of this block, and write them at its end with few system calls."""

    def bind(self, **new_values: Any) -> Log:
        """Return a logger that adds these fields to every event."""


def configured(settings: Settings, observe: Callable[[EventDict], None]) -> Log:
    """Create a daemon's logger from its settings.

    Parameters
    ----------
    settings
        The settings whose names begin with `log_` are used.
    observe
        See `logger`.

    Raises
    ------
    SettingsError
        The log file cannot be opened.

    """
    file = None
    if settings.log_file is not None:
        file = RotatedFile(
            settings.log_file, max_bytes=settings.log_file_bytes, keep=settings.log_file_count
        )
    form = cast("Format", settings.log_format)
    return logger(form, level=settings.log_level, observe=observe, file=file)


def logger(
    form: Format = "auto",
    *,
    fd: int = STANDARD_OUTPUT,
    run_id: str | None = None,
    level: str = "info",
    observe: Callable[[EventDict], None] | None = None,
    file: Sink | None = None,
) -> Log:
    """Create a logger.

    Parameters
    ----------
    form
        `json`, `console` (for people), or `auto`: console if the descriptor is a terminal, else json.
    fd
        Descriptor to write to.
    run_id
        Field of every event; random by default.
    level
        Lowest level that is written.
    observe
        Called with every event of level `info` or above, written or not; it must not raise.  Metrics and status are
        computed from these calls alone.
    file
        A second destination, always as JSON.

    Raises
    ------
    SettingsError
        The level does not exist.

    """
    if level not in PRIORITIES:
        raise SettingsError(f"log level {level!r}: expected one of {', '.join(PRIORITIES)}")
    if form == "auto":
        form = "console" if os.isatty(fd) else "json"
    sink = Stream(fd)
    # The observer comes before `_minimum`, so that it sees every event, and after `_lost_lines`, whose count it needs.
    processors: list[Processor] = [_add_head, _lost_lines(sink, file)]
    if observe is not None:
        processors.append(_observer(observe))
    if level in {"warning", "error"}:
        processors.append(_minimum(level))
    journal = goes_to_journal(fd, os.environ.get("JOURNAL_STREAM"))
    processors.append(_renderer(form, file, journal=journal))
    bound = structlog.wrap_logger(
        cast("WrappedLogger", sink),
        processors=processors,
        # Never above info, because the observer counts events of that level; `_minimum` drops their lines later.
        wrapper_class=_wrapper("debug" if level == "debug" else "info", sink, file),
        context_class=dict,
    )
    run_id = run_id or uuid.uuid4().hex[:16]
    return cast("Log", bound.bind(schema=SCHEMA, run_id=run_id))


def _wrapper(level: str, *sinks: Sink | None) -> type[FilteringBoundLogger]:
    """Return structlog's logger class for a level, extended by `Log.together`."""

    @contextmanager
    def together(_: FilteringBoundLogger) -> Iterator[None]:
        with ExitStack() as stack:
            for sink in sinks:
                if sink is not None:
                    stack.enter_context(sink.together())
            yield

    base = structlog.make_filtering_bound_logger(level)
    return type("Wrapper", (base,), {"together": together})


def _add_head(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    """Put time, level and event name first, where people look for them."""
    second, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
    now = f"{to_the_second(second)}.{microsecond:06d}Z"
    return {"timestamp": now, "level": level, "event": event.pop("event"), **event}


def _observer(observe: Callable[[EventDict], None]) -> Processor:
    def pass_on(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        observe(event)
        return event

    return pass_on


def _minimum(level: str) -> Processor:
    """Drop events below a level; this runs after the observer, so metrics do not depend on the level."""
    least = PRIORITIES[level]

    def drop(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
        if PRIORITIES[level] > least:
            raise structlog.DropEvent
        return event

    return drop


def _lost_lines(sink: Sink, file: Sink | None) -> Processor:
    """Add the number of lines that could not be written, if any, to every event."""

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        lost = sink.lost if file is None else sink.lost + file.lost
        if lost:
            event["log_lines_lost"] = lost
        return event

    return add


def _renderer(form: Format, file: Sink | None, *, journal: bool) -> Processor:
    """Convert an event to a line; a line for the journal begins with its priority, which the journal removes."""
    console = None
    if form == "console":
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)

    def write(log: WrappedLogger, level: str, event: EventDict) -> str:
        line = ""
        if console is None or file is not None:
            line = _encode(event)
        if file is not None:
            file.msg(line)
        if console is not None:
            line = str(console(log, level, dict(event)))  # a copy: the renderer empties it
        return f"<{PRIORITIES[level]}>{line}" if journal else line

    return write


def _encode(event: EventDict) -> str:
    """Encode an event as JSON.

    orjson takes a tenth of the time of the json module and writes NaN as null, but refuses lone surrogates and integers
    of more than 64 bits; the json module handles these.
    """
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:
        return json.dumps(event, separators=(",", ":"), default=str)
