"""File events of in/, as hints for the inbox.

Measured pitfalls of watchdog 7.1 that shape this module: an exception in a handler ends the observer's thread; an event
queue that overflows is reported only in the library's log; a folder that is replaced causes no event at all; without a
filter, every read by the daemon itself is an event; and a filter without `FileMovedEvent` loses the files that are
renamed into the folder.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

if TYPE_CHECKING:
    from pathlib import Path

    from watchdog.observers.api import BaseObserver

    from ..bell import Bell

EVENTS: Final[list[type[FileSystemEvent]]] = [FileCreatedEvent, FileMovedEvent, FileClosedEvent]
"""The kernel's event mask: the events that can complete a file, and none that the daemon itself causes."""

LIBRARY_LOG: Final = "watchdog.observers.inotify_c"

# The library's warnings do not belong on the user's standard error; `_Overflow` still receives the overflow.
logging.getLogger("watchdog").addHandler(logging.NullHandler())


class Watching(Protocol):
    """The interface of a watcher; tests pass their own."""

    @property
    def alive(self) -> bool:
        """False when events can no longer come."""

    def start(self) -> None:
        """Begin to watch the folder that now has the path."""

    def stop(self) -> None:
        """Stop watching."""

    def take(self) -> tuple[set[str], bool]:
        """Return the names seen since the last call, and whether events were lost."""


class Watcher:
    """Watches a folder.

    Parameters
    ----------
    path
        The folder.
    bell
        Rung when events arrive.

    """

    def __init__(self, path: Path, bell: Bell) -> None:
        self._path = path
        self._hints = _Hints(bell)
        self._observer: BaseObserver | None = None

    @property
    def alive(self) -> bool:
        """False when the observer's thread or the thread that feeds it has ended."""
        observer = self._observer
        return (
            observer is not None
            and observer.is_alive()
            and all(emitter.is_alive() for emitter in observer.emitters)
        )

    def start(self) -> None:
        """Begin to watch the folder that now has the path."""
        logging.getLogger(LIBRARY_LOG).addHandler(self._hints.overflow)
        self._observer = Observer()
        self._observer.schedule(
            self._hints, os.fspath(self._path), recursive=False, event_filter=EVENTS
        )
        self._observer.start()

    def stop(self) -> None:
        """Stop watching; names already seen can still be taken."""
        logging.getLogger(LIBRARY_LOG).removeHandler(self._hints.overflow)
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join()
            self._observer = None

    def take(self) -> tuple[set[str], bool]:
        """Return the names seen since the last call, and whether events were lost."""
        return self._hints.take()


class Scanning:
    """A watcher without events, for network file systems: changes by other machines cause none here."""

    alive = True

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def take(self) -> tuple[set[str], bool]:
        """Return no names: the scans find them."""
        return set(), False


class _Hints(FileSystemEventHandler):
    """Collects names; nothing in here may raise, because that would end the observer's thread."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._seen: deque[str] = deque()
        self.overflow = _Overflow(bell)

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Of a rename inside the folder, both names: if the first one waits, it is gone.
        paths = (event.src_path, event.dest_path) if event.dest_path else (event.src_path,)
        for path in paths:
            self._seen.append(os.path.basename(os.fsdecode(path)))  # noqa: PTH119 - no Path for each event
        # Only the first event since `take` rings: with a system call for each, a flood of events would slow this thread
        # so much that the kernel's queue overflows.
        if len(self._seen) <= len(paths):
            self._bell.ring()

    def take(self) -> tuple[set[str], bool]:
        seen: set[str] = set()
        # No lock: append and popleft are atomic, and a name that arrives during the loop is taken now or next time.
        with suppress(IndexError):
            while True:
                seen.add(self._seen.popleft())
        lost, self.overflow.seen = self.overflow.seen, False
        return seen, lost


class _Overflow(logging.Handler):
    """Receives the library's warning that its queue overflowed, the only sign of lost events."""

    def __init__(self, bell: Bell) -> None:
        super().__init__(level=logging.WARNING)
        self._bell = bell
        self.seen = False

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self.seen = True
            self._bell.ring()
