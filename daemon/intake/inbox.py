"""Find inputs in in/ that are complete.

Events are a hint, the scan is the truth: an event only makes its name be looked at sooner.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from ..files import _calls, durable
from ..spool import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..settings import Settings
    from ..spool.folder import Spool

WINDOW: Final = 10_000
"""Names held in memory; the rest of a backlog stays on disk until there is room."""

RECHECK_S: Final = 0.05
"""Pause before a name that was not ready is looked at again, without an event."""


class Verdict(Enum):
    """What a look at a name says."""

    READY = auto()
    WAIT = auto()
    HELD = auto()
    GONE = auto()


@dataclass(kw_only=True, slots=True)
class Candidate:
    """A name that was seen in the inbox.

    Attributes
    ----------
    due_s
        When to look at it (again), monotonic.
    signature
        Size and modification time at the last look.
    since_s
        Since when the signature is what it is, monotonic.
    held
        A writer had it open at the last look.

    """

    due_s: float
    signature: tuple[int, int] = (-1, -1)
    since_s: float = 0.0
    held: bool = False


class Look(NamedTuple):
    """What a look at a name says.

    `free` is whether nobody has it open for writing; None where nobody asked and where the kernel cannot tell.
    """

    mode: int
    size: int
    mtime_ns: int
    ctime_s: float
    free: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A complete input: its name, its size in bytes, and the wall time at which it came (inode change time)."""

    name: str
    size: int
    arrived_s: float


class Inbox:
    """The names in in/ and what is known of them.

    Parameters
    ----------
    spool
        The spool.
    settle_s, empty_grace_s
        See `Settings`.
    leases
        Whether leases tell open writers on this file system (see `leases_work`).

    """

    def __init__(
        self, spool: Spool, *, settle_s: float, empty_grace_s: float, leases: bool
    ) -> None:
        self._spool = spool
        self._settle_s = settle_s
        self._empty_grace_s = empty_grace_s
        self._leases = leases
        self._candidates: dict[str, Candidate] = {}
        self._folders: set[str] = set()
        self._new_folders: list[str] = []
        self.full = False

    def configure(self, settings: Settings) -> None:
        """Take other times to settle."""
        self._settle_s = settings.settle_s
        self._empty_grace_s = settings.empty_grace_s

    def hint(self, seen: Iterable[str], now: float) -> list[str]:
        """Take names from the watcher: look at them at once; give those that are new."""
        new = []
        for name in map(self._input, seen):
            if names.skipped(name) or not self._spool.takes(name):
                continue
            candidate = self._candidates.get(name)
            if candidate is not None:
                candidate.due_s = now
            elif len(self._candidates) >= WINDOW:
                self.full = True  # the next scan finds it
            else:
                self._candidates[name] = Candidate(due_s=now, since_s=now)
                new.append(name)
        return new

    def scan(self, now: float) -> list[str]:
        """List in/; give the names that no event had told of."""
        found: list[str] = []
        self.full = False
        folders: set[str] = set()
        with os.scandir(self._spool.inbox) as entries:
            for entry in entries:
                name = self._input(entry.name)
                if names.skipped(name) or name in self._candidates:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.add(name)
                    continue
                if not self._spool.takes(name):
                    continue
                if len(self._candidates) >= WINDOW:
                    self.full = True
                    break
                self._candidates[name] = Candidate(due_s=now, since_s=now)
                found.append(name)
        self._new_folders.extend(folders - self._folders)
        self._folders = folders
        return found

    def ready(self, now: float, limit: int) -> list[Arrival]:
        """Give at most `limit` inputs that are complete, the first seen first, and forget them."""
        arrivals: list[Arrival] = []
        settled: list[str] = []
        due = (item for item in self._candidates.items() if item[1].due_s <= now)
        while some := list(islice(due, limit - len(arrivals))):
            looks = looks_at(self._spool.inbox, [name for name, _ in some], leases=self._asks)
            for (name, candidate), look in zip(some, looks, strict=True):
                verdict = self._judge(name, candidate, look, now)
                if verdict is Verdict.READY and look is not None:
                    arrivals.append(Arrival(name=name, size=look.size, arrived_s=look.ctime_s))
                candidate.due_s = now + RECHECK_S
                candidate.held = verdict is Verdict.HELD
                if verdict not in {Verdict.WAIT, Verdict.HELD}:
                    settled.append(name)
        for name in settled:
            del self._candidates[name]
        return arrivals

    def take_folders(self) -> list[str]:
        """Give the folders in in/ that scans have come upon since the last call: nothing is done with them."""
        found, self._new_folders = self._new_folders, []
        return found

    def put_back(self, name: str, now: float) -> None:
        """Keep an arrival that could not be claimed yet."""
        self._candidates.setdefault(name, Candidate(due_s=now + RECHECK_S, since_s=now))

    def has_due(self, now: float) -> bool:
        """Say whether there is a name to look at."""
        return any(c.due_s <= now for c in self._candidates.values())

    def next_look_s(self) -> float | None:
        """When the next name is due, monotonic; None when there is none."""
        return min((c.due_s for c in self._candidates.values()), default=None)

    @property
    def expecting(self) -> bool:
        """True while there are names that will be ready without anybody doing anything."""
        return self.full or any(not c.held for c in self._candidates.values())

    def _input(self, name: str) -> str:
        """Give the input that a name in in/ speaks of: itself, or with markers the one that is marked (else none)."""
        marker = self._spool.marker
        return name if not marker else name.removesuffix(marker) if name.endswith(marker) else "."

    @property
    def _asks(self) -> bool:
        return self._leases and not self._spool.marker

    def _judge(self, name: str, candidate: Candidate, look: Look | None, now: float) -> Verdict:
        if look is None or stat.S_ISDIR(look.mode):
            return Verdict.GONE
        if not stat.S_ISREG(look.mode):
            return Verdict.READY  # never opened here; the reader says what it is
        if self._spool.marker:
            marked = durable.look(self._spool.inbox, name + self._spool.marker) is not None
            return Verdict.READY if marked else Verdict.GONE
        return self._judge_regular(look, candidate, now)

    def _judge_regular(self, look: Look, candidate: Candidate, now: float) -> Verdict:
        signature = (look.size, look.mtime_ns)
        if signature != candidate.signature:
            candidate.signature, candidate.since_s = signature, now
        calm = now - candidate.since_s
        if look.free is False:
            return Verdict.HELD
        needed = self._settle_s if look.free is None else 0.0
        if look.size == 0:
            needed = max(needed, self._empty_grace_s)
        return Verdict.READY if calm >= needed else Verdict.WAIT


def looks_at(folder: int, names: Sequence[str], *, leases: bool) -> list[Look | None]:
    """Look at names; None for those that are not there.

    With `leases` the kernel is asked whether nobody has a file open for writing: a read lease is granted only without
    writers, and given back at once.  Asking needs the file's uid or CAP_LEASE; a process that asks must ignore SIGIO
    (see `signals`).

    Raises
    ------
    OSError
        The disk.

    """
    found: list[Look | None] = []
    for name, facts in zip(names, _calls.look_all(folder, names, leases), strict=True):
        gone, mode, size, mtime_ns, ctime_ns, unopened, unleased = facts
        if gone == errno.ENOENT:
            found.append(None)
            continue
        durable.check(gone, name)
        free = _is_free(name, unopened, unleased) if leases else None
        found.append(Look(mode, size, mtime_ns, ctime_ns * 1e-9, free))
    return found


def _is_free(name: str, unopened: int, unleased: int) -> bool | None:
    if errno.EAGAIN in (unopened, unleased):  # a writer, or somebody else's lease to write
        return False
    if unopened not in durable.NOT_READABLE:  # else the reader will say so
        durable.check(unopened, name)
    return None if unleased else True


def leases_work(spool: Spool) -> bool:
    """Try on a file in tmp/ whether leases tell an open writer from a closed one."""
    name = f"lease-{os.getpid()}"
    fd = durable.create(spool.tmp, name)
    try:
        (while_open,) = looks_at(spool.tmp, [name], leases=True)
    finally:
        os.close(fd)
    (after,) = looks_at(spool.tmp, [name], leases=True)
    durable.unlink(spool.tmp, name)
    return (while_open and while_open.free) is False and (after and after.free) is True
