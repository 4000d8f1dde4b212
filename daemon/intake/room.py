"""Decide whether there is space for more results: by the disk's free bytes and inodes, and by the results in out/."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ..files import durable
from ..log import events
from ..spool import names
from ..spool.folder import BALLAST

if TYPE_CHECKING:
    from ..context import Context
    from ..settings import Settings
    from ..spool.folder import Spool

MOST_SHARE_BYTES: Final = 1 << 30
"""Most bytes that `min_free_percent` reserves: five per cent of a large disk would be far more than the work needs."""

MOST_SHARE_INODES: Final = 10_000
"""Most inodes that `min_free_percent` reserves."""

DISK_RESUME: Final = 1.2
"""Multiple of the reserve that must be free before claiming resumes; without it, claiming would flap at the limit."""

OUT_RESUME: Final = 0.9
"""Share of its limit below which the number of results in out/ must fall before claiming resumes."""

OUT_COUNT_S: Final = 1.0
"""Seconds between two counts of out/; in between, each claim is subtracted from the number that was left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """The space that must stay free on a file system, and the space that is free.

    Attributes
    ----------
    free_bytes, free_inodes
        Free for unprivileged processes.
    least_bytes, least_inodes
        What must stay free; 0 turns the check off.

    """

    free_bytes: int
    free_inodes: int
    least_bytes: int
    least_inodes: int

    @classmethod
    def of(cls, disk: os.statvfs_result, settings: Settings) -> Self:
        """Apply the settings to a file system: the larger of amount and share counts; an amount of 0 turns both off."""
        share = settings.min_free_percent / 100
        least_bytes = min(int(disk.f_blocks * disk.f_frsize * share), MOST_SHARE_BYTES)
        least_inodes = min(int(disk.f_files * share), MOST_SHARE_INODES)
        counts_inodes = settings.min_free_inodes and disk.f_files  # btrfs reports 0 inodes in all
        return cls(
            free_bytes=disk.f_bavail * disk.f_frsize,
            free_inodes=disk.f_favail,
            least_bytes=max(settings.min_free_bytes, least_bytes) if settings.min_free_bytes else 0,
            least_inodes=max(settings.min_free_inodes, least_inodes) if counts_inodes else 0,
        )

    def met(self, times: float = 1.0, *, extra_bytes: int = 0) -> bool:
        """Return whether `times` the reserve and another `extra_bytes` are free."""
        return (
            self.free_bytes >= self.least_bytes * times + extra_bytes
            and self.free_inodes >= self.least_inodes * times
        )


class Ballast:
    """A file in tmp/ that only takes up space: on a full disk it is removed, so that open requests can be finished."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def keep(self, size: int, reserve: Reserve) -> None:
        """Create the file, or replace one of another size, if the reserve stays free with `size` bytes to spare."""
        try:
            facts = durable.look(self._spool.tmp, BALLAST)
        except OSError:
            return  # the disk does not answer; the work itself will report that
        if facts is not None and facts.st_size != size:
            self.release()
        elif facts is not None:
            return
        if size and reserve.met(DISK_RESUME, extra_bytes=2 * size):
            self._make(size)

    def release(self) -> None:
        """Remove the file."""
        with suppress(OSError):  # the caller already reports the disk's fault
            durable.unlink(self._spool.tmp, BALLAST)

    def _make(self, size: int) -> None:
        try:
            fd = durable.create(self._spool.tmp, BALLAST)
            try:
                # Not `ftruncate`: that makes a sparse file, whose removal frees nothing.
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
        except OSError:
            # Another process took the space first, or the file system cannot allocate: the daemon works without it.
            self.release()


class DiskSpace:
    """Checks the free space of the spool's file system, keeps the ballast, and logs when claiming stops or resumes.

    Parameters
    ----------
    context
        Of the settings, those that begin with `min_free_` and `ballast_bytes` are used.

    Attributes
    ----------
    enough
        Whether there was enough to claim more at the last check.

    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ballast = Ballast(context.spool)
        self.enough = True

    def check(self, *, refused: bool = False) -> None:
        """Check the disk; `refused` says that it has just refused a write because it is full."""
        if refused:
            self._ballast.release()
        try:
            disk = os.fstatvfs(self._context.spool.out)
        except OSError:
            return  # the disk does not answer; the work itself will report that
        settings = self._context.settings()
        reserve = Reserve.of(disk, settings)
        enough = reserve.met(1.0 if self.enough else DISK_RESUME) and not refused
        if enough:
            self._ballast.keep(settings.ballast_bytes, reserve)
        if enough == self.enough:
            return
        self.enough = enough
        log = self._context.log.info if enough else self._context.log.error
        log(
            events.DISK_OK if enough else events.DISK_LOW,
            free_bytes=reserve.free_bytes,
            free_inodes=reserve.free_inodes,
            min_free_bytes=reserve.least_bytes,
            min_free_inodes=reserve.least_inodes,
        )


class OutLimit:
    """Limits claims so that out/ holds at most `max_out_files` results, and logs when claiming stops or resumes.

    The limit is kept from one count to the next: a thread may claim while a reload changes the setting, and all its
    steps must use the same limit.

    Parameters
    ----------
    context
        Of the settings, `max_out_files` is used.

    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._most = 0
        self._full = False
        self._left = 0
        self._due_s = 0.0

    @property
    def open(self) -> bool:
        """True while inputs may be claimed."""
        return not self._most or (not self._full and self._left > 0)

    def allowed(self, claims: int) -> int:
        """Return how many of so many claims the limit allows."""
        return min(claims, self._left) if self._most else claims

    def claimed(self, claims: int) -> None:
        """Note claims: each becomes a result that the last count has not seen."""
        self._left -= claims

    def check(self, now: float, *, open_inputs: int) -> None:
        """Count the results, if the last count is old or was for another limit.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        open_inputs
            Inputs that are claimed and will become results, too.

        """
        most = self._context.settings().max_out_files
        if most == self._most and (now < self._due_s or not (most or self._full)):
            return
        self._most = most
        self._due_s = now + OUT_COUNT_S
        results = self._count(most) if most else 0
        self._left = most - results - open_inputs
        full = bool(most) and results >= most * (OUT_RESUME if self._full else 1.0)
        if full == self._full:
            return
        self._full = full
        log = self._context.log.error if full else self._context.log.info
        log(events.OUT_FULL if full else events.OUT_OK, results=results, max_out_files=most)

    def _count(self, most: int) -> int:
        count = 0
        with os.scandir(self._context.spool.out) as entries:
            for entry in entries:
                count += entry.name.endswith(names.RESULT)
                # Only whether the limit is reached matters: do not list a huge folder.
                if count == most:
                    break
        return count
