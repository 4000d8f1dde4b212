"""Count the files in a spool, for status and metrics only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..files import durable
from ..spool import unfinished
from ..spool.shards import lanes, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AGED_FILES: Final = 10_000
"""Number of files whose arrival time is remembered; the oldest is found among these."""

SHARE: Final = 0.02
"""Largest share of one processor for counting; listing 100,000 names takes 64 ms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolCounts:
    """The number of files in a spool at one moment.

    Attributes
    ----------
    inbox, work
        Inputs that are waiting, and inputs in progress.
    oldest_s
        Wall time of arrival of the oldest waiting input (inode change time); None if none is waiting.
    free_bytes, free_inodes
        Free space on the file system; a file system without inodes reports 0.

    """

    inbox: int
    work: int
    oldest_s: float | None
    free_bytes: int
    free_inodes: int


class SpoolCounter:
    """Counts the files in a spool, and remembers when they arrived.

    Parameters
    ----------
    path
        The spool.
    monotonic
        Clock in seconds.
    marker
        Ending of marker files, which are not counted; empty if there are none.

    """

    def __init__(self, path: Path, monotonic: Callable[[], float], *, marker: str = "") -> None:
        self._path = path
        self._monotonic = monotonic
        self._marker = marker
        self._arrived: dict[str, float] = {}
        self._inbox = 0
        self._due_s = 0.0

    def count(self) -> SpoolCounts:
        """Count the files; if the inbox takes long to list, its count may be some seconds old.

        Raises
        ------
        OSError
            A folder cannot be read.

        """
        begin = self._monotonic()
        if begin >= self._due_s:
            self._count_inbox()
            # A count that took t seconds is not repeated before t / SHARE seconds have passed.
            self._due_s = begin + (self._monotonic() - begin) / SHARE
        disk = os.statvfs(self._path / "out")
        return SpoolCounts(
            inbox=self._inbox,
            work=sum(1 for _ in self._inputs("work")),
            oldest_s=min(self._arrived.values(), default=None),
            free_bytes=disk.f_bavail * disk.f_frsize,
            free_inodes=disk.f_favail,
        )

    def _count_inbox(self) -> None:
        arrived: dict[str, float] = {}
        count = 0
        for entry in self._inputs("in"):
            if self._marker and entry.name.endswith(self._marker):
                continue
            count += 1
            # Each file is stat'ed once: its time of arrival does not change.
            known = self._arrived.get(entry.path)
            if known is None and len(arrived) < AGED_FILES:
                known = changed_s(entry)
            if known is not None:
                arrived[entry.path] = known
        self._inbox, self._arrived = count, arrived

    def _inputs(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """Yield the inputs in a folder of the spool and in its lanes' folders."""
        for lane in ("", *lanes(self._path)):
            for entry in files(self._path / folder / lane):
                if not unfinished.skipped(entry.name):
                    yield entry


def files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files in a folder and in its shards' folders, without hidden files."""
    for part in parts(folder):
        with os.scandir(part) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and not durable.is_folder(entry):
                    yield entry


def changed_s(entry: os.DirEntry[str]) -> float | None:
    """Return the wall time at which a file was put into its folder (inode change time); None if it cannot be seen."""
    try:
        return entry.stat(follow_symlinks=False).st_ctime
    except OSError:  # it is gone, or on a damaged part of the disk
        return None
