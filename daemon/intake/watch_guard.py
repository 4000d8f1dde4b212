"""Check that the watcher still reports new files, and start it again if it does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..errors import SpoolLostError, fault_name
from ..files import durable
from ..log import events
from .watch import Scanning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..context import Context
    from .watch import Watching

CANARY: Final = ".spikewatchd-canary"

CANARY_S: Final = 60.0
"""Seconds between two canaries."""

CANARY_PATIENCE_S: Final = 2.0
"""Seconds within which a canary's event must arrive."""


class WatchGuard:
    """Starts the watcher, and restarts it when its thread has ended, no events arrive, or in/ was replaced.

    A watcher can be deaf although all its threads are alive: a network file system, for example, sends no events.  So
    every `CANARY_S` the guard creates and removes a canary in in/, a hidden file that no scan takes for an input, and
    expects its event.
    """

    def __init__(self, context: Context, watcher: Watching) -> None:
        self._spool = context.spool
        self._log = context.log
        self._watcher = watcher
        self._failed = False
        self._deaf = False
        self._planted_s: float | None = None
        self._looks = 0
        self._canary_due_s = 0.0

    @property
    def blind(self) -> bool:
        """True while file events are known not to arrive, so that only the scan finds files."""
        return self._failed or self._deaf

    def start(self, now: float) -> None:
        """Begin to watch; if that fails, the scan still finds every file."""
        try:
            self._watcher.start()
        except OSError as fault:  # inotify's limits
            self._log_failure(fault_name(fault), str(fault))
        else:
            self._failed = False
            self._plant(now)

    def note_events(self, seen: set[str], now: float, *, lost: bool) -> None:
        """Note the names of the events that arrived; `lost` means that some events were dropped."""
        if lost:  # the canary's event may be among them: plant another canary
            self._planted_s, self._canary_due_s = None, now
        elif CANARY in seen and self._planted_s is not None:
            self._planted_s = None
            if self._deaf:
                self._deaf = False
                self._log.warning(events.WATCH_RESTARTED, reason="no file events had arrived")

    def check(self, now: float) -> bool:
        """Restart the watcher or plant a canary, if needed; return False if in/ is missing and cannot be scanned.

        Raises
        ------
        SpoolLostError
            Another spool now has this one's path.

        """
        if self._spool.inbox_moved():
            if self._spool.replaced():
                raise SpoolLostError(
                    f"spool {self._spool.path}: another spool has taken its place; start again"
                )
            if not self._spool.reopen_inbox():
                self._log_failure("ENOENT", "in/ is gone")
                return False
            self._restart("in/ was replaced by another folder", now)
        elif not self._watcher.alive:
            self._restart("the watcher had ended", now)
        elif self._is_overdue(now):
            if not self._deaf:
                message = f"no event for a new file within {CANARY_PATIENCE_S:g} s"
                self._log.error(events.WATCH_FAILED, code="no_events", message=message)
            self._deaf = True
            self._watcher.stop()
            self.start(now)
        elif now >= self._canary_due_s:
            self._plant(now)
        return True

    def stop(self) -> None:
        """Stop watching."""
        self._watcher.stop()

    def _plant(self, now: float) -> None:
        self._canary_due_s = now + CANARY_S
        if isinstance(self._watcher, Scanning):
            return
        try:
            os.close(durable.create(self._spool.inbox, CANARY))
            durable.unlink(self._spool.inbox, CANARY)
        except OSError:  # a full disk is no evidence about events
            self._planted_s = None
        else:
            self._planted_s, self._looks = now, 0

    def _is_overdue(self, now: float) -> bool:
        # Two looks at least: at the first one after a suspended process resumes, the event may still be on its way.
        self._looks += 1
        planted = self._planted_s
        late = planted is not None and self._looks >= 2 and now - planted >= CANARY_PATIENCE_S
        # A watcher that stays deaf is restarted with each canary, not every two seconds.
        return late and (not self._deaf or now >= self._canary_due_s)

    def _restart(self, reason: str, now: float) -> None:
        self._watcher.stop()
        self.start(now)
        if not self._failed:
            self._log.warning(events.WATCH_RESTARTED, reason=reason)

    def _log_failure(self, code: str, message: str) -> None:
        """Log a failure to watch, once until watching works again."""
        if not self._failed:
            self._log.error(events.WATCH_FAILED, code=code, message=message)
        self._failed = True


class MissedEvents:
    """Counts the files that one scan found and that have no event by the next scan, because an event may be late."""

    def __init__(self) -> None:
        self._found: set[str] | None = None

    def note_events(self, seen: set[str]) -> None:
        """Note the names in the events that arrived."""
        if self._found:
            self._found -= seen

    def note_scan(self, found: Iterable[str] | None) -> int:
        """Note a scan's new names, or None if it did not see all; return how many of the previous scan got no event."""
        missed = len(self._found or ())
        self._found = None if found is None else set(found)
        return missed
