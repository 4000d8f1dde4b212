"""What is looked after beside the work: room on the disk, and that the watcher still watches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import events
from .errors import SpoolLostError, fault_name

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from .settings import Settings
    from .spool import Spool
    from .watch import Watching


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
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take other limits, from the next check on."""
        self._bytes = settings.min_free_bytes
        self._inodes = settings.min_free_inodes

    def check(self, *, refused: bool = False) -> None:
        """Look at the disk; `refused` says that it has just refused a write for want of room."""
        try:
            disk = os.fstatvfs(self._spool.out)
        except OSError:
            return  # a disk that cannot even be asked: what the work meets on it is told by the work
        free = disk.f_bavail * disk.f_frsize
        least_inodes = self._inodes if disk.f_files else 0  # btrfs counts none
        room = free >= self._bytes and disk.f_favail >= least_inodes and not refused
        if room == self.room:
            return
        self.room = room
        say = self._log.info if room else self._log.error
        say(
            events.DISK_OK if room else events.DISK_LOW,
            free_bytes=free,
            free_inodes=disk.f_favail,
            min_free_bytes=self._bytes,
            min_free_inodes=least_inodes,
        )


class WatchGuard:
    """Starts the watcher, and starts it again when it died or the folder is another one."""

    def __init__(self, spool: Spool, watcher: Watching, log: FilteringBoundLogger) -> None:
        self._spool = spool
        self._watcher = watcher
        self._log = log
        self._complained = False

    def start(self) -> None:
        """Begin to watch; where that fails, the scan goes on finding everything."""
        try:
            self._watcher.start()
        except OSError as fault:  # inotify's limits
            self._complain(fault_name(fault), str(fault))
        else:
            self._complained = False

    def check(self) -> bool:
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
            self._restart("in/ is another folder than before")
        elif not self._watcher.alive:
            self._restart("the watcher had ended")
        return True

    def stop(self) -> None:
        """Stop watching."""
        self._watcher.stop()

    def _restart(self, reason: str) -> None:
        self._watcher.stop()
        quiet = self._complained
        self.start()
        if not self._complained and not quiet:
            self._log.warning(events.WATCH_RESTARTED, reason=reason)

    def _complain(self, code: str, message: str) -> None:
        if not self._complained:
            self._log.error(events.WATCH_FAILED, code=code, message=message)
        self._complained = True
