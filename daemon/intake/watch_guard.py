"""What is looked after beside the work: room, and that the watcher still watches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..errors import SpoolLostError, fault_name
from ..files import durable
from ..log import events
from .ballast import Ballast
from .reserve import RESUME, Reserve
from .watch import Scanning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

    from ..settings import Settings
    from ..spool.folder import Spool
    from .watch import Watching

CANARY: Final = ".spikewatchd-canary"

CANARY_S: Final = 60.0
"""Seconds between two canaries."""

CANARY_PATIENCE_S: Final = 2.0
"""Seconds within which the event must come."""


class RoomGuard:
    """Says whether there is room to claim more, and logs when that changes.

    Attributes
    ----------
    room
        As of the last check.

    """

    def __init__(self, spool: Spool, settings: Settings, log: FilteringBoundLogger) -> None:
        self._spool = spool
        self._log = log
        self.room = True
        self._ballast = Ballast(spool, settings)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take other limits, from the next check on."""
        self._settings = settings
        self._ballast.configure(settings)

    def check(self, *, refused: bool = False) -> None:
        """Look at the disk; `refused` says that it has just refused a write for want of room."""
        if refused:
            self._ballast.release()
        try:
            disk = os.fstatvfs(self._spool.out)
        except OSError:
            return  # a disk that cannot even be asked: what the work meets on it is told by the work
        reserve = Reserve.of(disk, self._settings)
        room = reserve.met(1.0 if self.room else RESUME) and not refused
        if room:
            self._ballast.keep(reserve)
        if room == self.room:
            return
        self.room = room
        say = self._log.info if room else self._log.error
        say(
            events.DISK_OK if room else events.DISK_LOW,
            free_bytes=reserve.free_bytes,
            free_inodes=reserve.free_inodes,
            min_free_bytes=reserve.least_bytes,
            min_free_inodes=reserve.least_inodes,
        )


class WatchGuard:
    """Starts the watcher, and starts it again when it died, is deaf, or the folder is another one.

    A watcher can be deaf while everything says that it is alive: network file systems give no events.  So from time to
    time a canary, a file whose name begins with a dot, is put into in/ and taken away at once, and its event must come.
    """

    def __init__(self, spool: Spool, watcher: Watching, log: FilteringBoundLogger) -> None:
        self._spool = spool
        self._watcher = watcher
        self._log = log
        self._complained = False
        self._deaf = False
        self._planted_s: float | None = None
        self._looks = 0
        self._canary_due_s = 0.0

    @property
    def blind(self) -> bool:
        """True while file events are known not to come: only the scan finds files."""
        return self._complained or self._deaf

    def start(self, now: float) -> None:
        """Begin to watch; where that fails, the scan goes on finding everything."""
        try:
            self._watcher.start()
        except OSError as fault:  # inotify's limits
            self._complain(fault_name(fault), str(fault))
        else:
            self._complained = False
            self._plant(now)

    def heard(self, seen: set[str], now: float, *, lost: bool) -> None:
        """Take note of the names that events told of; `lost` says that some were dropped."""
        if lost:
            self._planted_s, self._canary_due_s = None, now
        elif CANARY in seen and self._planted_s is not None:
            self._planted_s = None
            if self._deaf:
                self._deaf = False
                self._log.warning(events.WATCH_RESTARTED, reason="file events had not come")

    def check(self, now: float) -> bool:
        """Look after the watcher; False while there is no folder to scan.

        Raises
        ------
        SpoolLostError
            The whole spool is another one by now.

        """
        if self._spool.inbox_moved():
            if self._spool.replaced():
                raise SpoolLostError(
                    f"spool {self._spool.path}: another one has taken its place; start again"
                )
            if not self._spool.reopen_inbox():
                self._complain("ENOENT", "in/ is gone")
                return False
            self._restart("in/ is another folder than before", now)
        elif not self._watcher.alive:
            self._restart("the watcher had ended", now)
        elif self._is_overdue(now):
            if not self._deaf:
                message = f"a new file gave no event within {CANARY_PATIENCE_S:g} s"
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
        except OSError:  # a full disk says nothing about events
            self._planted_s = None
        else:
            self._planted_s, self._looks = now, 0

    def _is_overdue(self, now: float) -> bool:
        # Two looks at least: after a pause of the whole process, the event is still on its way at the first.
        self._looks += 1
        planted = self._planted_s
        late = planted is not None and self._looks >= 2 and now - planted >= CANARY_PATIENCE_S
        # What stays deaf is started anew with each canary, not every two seconds.
        return late and (not self._deaf or now >= self._canary_due_s)

    def _restart(self, reason: str, now: float) -> None:
        self._watcher.stop()
        self.start(now)
        if not self._complained:
            self._log.warning(events.WATCH_RESTARTED, reason=reason)

    def _complain(self, code: str, message: str) -> None:
        if not self._complained:
            self._log.error(events.WATCH_FAILED, code=code, message=message)
        self._complained = True


class MissedEvents:
    """Counts files that a scan has found and no event has told of by the next scan: events may come a little late."""

    def __init__(self) -> None:
        self._found: set[str] | None = None

    def told(self, seen: set[str]) -> None:
        """Take note of the names that events told of."""
        if self._found:
            self._found -= seen

    def scanned(self, found: Iterable[str] | None) -> int:
        """Take the new names of a scan, None where it could not see all; give how many of the last one were missed."""
        missed = len(self._found or ())
        self._found = None if found is None else set(found)
        return missed
