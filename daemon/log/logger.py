"""The structured log: one JSON line for each event, on standard output (see docs/logs.md)."""

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
"""Version of the events: raised when a field changes its meaning or goes away."""

PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""The levels, and their priorities in the journal (sd-daemon(3))."""

Format = Literal["json", "console", "auto"]


class Log(FilteringBoundLogger, Protocol):
    """What `logger` makes."""

    def together(self) -> AbstractContextManager[None]:
        """Hold the lines of this block back and write them at its end with few calls."""

    def bind(self, **new_values: Any) -> Log:
        """See structlog."""


def configured(settings: Settings, observe: Callable[[EventDict], None]) -> Log:
    """Make the logger of a daemon's process.

    Parameters
    ----------
    settings
        Those that begin with `log_`.
    observe
        See `logger`.

    Raises
    ------
    SettingsError
        The file cannot be written.

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
    """Make the daemon's logger.

    Parameters
    ----------
    form
        `json`, `console` (for eyes), or `auto`: console when the descriptor is a terminal.
    fd
        Where the lines go.
    run_id
        Stands on every event; a new random one when not given.
    level
        Events below it are not written.
    observe
        Called with every event from `info` on, written or not, and never raises: metrics and status are made of
        nothing else.
    file
        Where the same lines go as well, always as JSON.

    Raises
    ------
    SettingsError
        A level that is none.

    """
    if level not in PRIORITIES:
        raise SettingsError(f"log level {level!r}: expected one of {', '.join(PRIORITIES)}")
    if form == "auto":
        form = "console" if os.isatty(fd) else "json"
    sink = Stream(fd)
    processors: list[Processor] = [_stamped, _losses(sink, file)]
    if observe is not None:
        processors.append(_observed(observe))
    if level in {"warning", "error"}:
        processors.append(_only_from(level))
    journal = goes_to_journal(fd, os.environ.get("JOURNAL_STREAM"))
    processors.append(_written(form, file, journal=journal))
    bound = structlog.wrap_logger(
        cast("WrappedLogger", sink),
        processors=processors,
        wrapper_class=_wrapper("debug" if level == "debug" else "info", sink, file),
        context_class=dict,
    )
    run_id = run_id or uuid.uuid4().hex[:16]
    return cast("Log", bound.bind(schema=SCHEMA, run_id=run_id))


def _wrapper(level: str, *sinks: Sink | None) -> type[FilteringBoundLogger]:
    """Give structlog's class for a level, with `Log.together`."""

    @contextmanager
    def together(_: FilteringBoundLogger) -> Iterator[None]:
        with ExitStack() as stack:
            for sink in sinks:
                if sink is not None:
                    stack.enter_context(sink.together())
            yield

    base = structlog.make_filtering_bound_logger(level)
    return type("Wrapper", (base,), {"together": together})


def _stamped(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    """Put what people look for first at the head of the line."""
    second, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
    now = f"{to_the_second(second)}.{microsecond:06d}Z"
    return {"timestamp": now, "level": level, "event": event.pop("event"), **event}


def _observed(observe: Callable[[EventDict], None]) -> Processor:
    def tell(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        observe(event)
        return event

    return tell


def _only_from(level: str) -> Processor:
    """Drop what is below a level, after it was observed: the metrics do not depend on what is written."""
    least = PRIORITIES[level]

    def drop(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
        if PRIORITIES[level] > least:
            raise structlog.DropEvent
        return event

    return drop


def _losses(sink: Sink, file: Sink | None) -> Processor:
    """Own up to lines that could not be written."""

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        lost = sink.lost if file is None else sink.lost + file.lost
        if lost:
            event["log_lines_lost"] = lost
        return event

    return add


def _written(form: Format, file: Sink | None, *, journal: bool) -> Processor:
    """Turn an event into its line; what goes to the journal has its priority in front, which the journal takes off."""
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
            line = str(console(log, level, dict(event)))  # it takes its dict apart
        return f"<{PRIORITIES[level]}>{line}" if journal else line

    return write


def _encode(event: EventDict) -> str:
    """Write an event as JSON: by orjson, which takes a tenth of json's time and makes NaN a null.

    It refuses half surrogates and integers of more than 64 bits; json takes them.
    """
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:
        return json.dumps(event, separators=(",", ":"), default=str)
