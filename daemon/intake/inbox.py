"""Find the complete inputs in in/.

Only scans are trusted to find all inputs; a file event is a hint to examine one name sooner.  Names that are not ready
make room for others once the window is full, so that however many of them there are, every name is examined.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..answering.request import Request
from ..answering.sliced import is_large
from ..files import durable
from ..spool import names, unfinished
from .examining import Verdict, examine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..clock import Clock
    from ..settings import Settings
    from ..spool.folder import Spool
    from .examining import FileFacts
    from .refused import RefusedInputs

WINDOW: Final = 10_000
"""Most names kept in memory; the rest of a backlog stays on disk until some of them are claimed."""

MOST_UNKNOWN: Final = WINDOW // 2
"""Most of them that have an unknown suffix: these wait for seconds, and other names must not wait behind them."""

MOST_PASSED: Final = 10 * WINDOW
"""Most names that are remembered, by their hashes, because they have made room for others."""

MOST_EXAMINED: Final = 2048
"""Most names examined in one turn: each takes about 10 us."""

RECHECK_S: Final = 0.05
"""Pause in seconds before a name that was not ready is examined again, if no event comes."""

LONGEST_RECHECK_S: Final = 1.0
"""The same for a file that a writer keeps open, whose pauses double, and for one that is large."""

_UNSEEN: Final = (-1, -1)


UNREADY: Final = frozenset({Verdict.WAIT, Verdict.HELD, Verdict.LATER})
"""Verdicts after which a name is examined again."""


@dataclass(kw_only=True, slots=True)
class Candidate:
    """A name that was seen in in/ and is not complete yet.

    Attributes
    ----------
    due_s
        When to examine it (again), monotonic.
    signature
        Size in bytes and modification time in ns at the last examination.
    since_s
        Time at which the signature last changed, monotonic; for an unknown suffix, the time of the last sign that a
        program is still busy with the file.
    held
        Whether a writer had it open at the last examination, or a control file was beside it.
    unknown
        Whether the daemon cannot read files of its suffix; the name is then perhaps temporary.
    announced
        Whether an event, rather than a scan, was the last sign of it.
    pause_s
        Pause in seconds before the next examination.
    yields
        Whether it makes room for another name if there are too many: at the last examination, it was open for writing
        or has changed, or must wait because it is large.

    """

    due_s: float
    signature: tuple[int, int] = _UNSEEN
    since_s: float = 0.0
    held: bool = False
    unknown: bool = False
    announced: bool = False
    pause_s: float = RECHECK_S
    yields: bool = False

    def note(
        self, verdict: Verdict, before: tuple[int, int], now: float, settings: Settings
    ) -> None:
        """Note the result of an examination; `before` is the signature before it."""
        longest = max(RECHECK_S, min(settings.scan_s, LONGEST_RECHECK_S))
        self.held = verdict is Verdict.HELD
        if self.held:
            self.pause_s = min(2 * self.pause_s, longest)
        elif verdict is Verdict.LATER:
            self.due_s = now + longest
        changed = before not in {_UNSEEN, self.signature}
        self.yields = self.held or verdict is Verdict.LATER or changed


class Inbox:
    """The candidates in in/, and which of them are complete.

    Parameters
    ----------
    spool
        The spool.
    leases
        Whether leases reveal open writers on this file system (see `leases_work`).
    clock
        Its wall time is compared with the change times of files.
    refused
        Inputs that could not be claimed; they are no candidates until they are due.

    Attributes
    ----------
    full
        Whether names were left out at the last scan or since that may be ready.

    """

    def __init__(self, spool: Spool, *, leases: bool, clock: Clock, refused: RefusedInputs) -> None:
        self._spool = spool
        self._refused = refused
        self._clock = clock
        # With markers the producer states when an input is complete, so open writers do not matter.
        self._leases = leases and not spool.marker
        self._candidates: dict[str, Candidate] = {}
        self._folders: set[str] = set()
        self._new_folders: list[str] = []
        self._shadowed: dict[str, str] = {}
        # Hash of each name that made room: whether a writer had it open.
        self._passed: dict[int, bool] = {}
        self.full = False

    def hint(self, seen: Iterable[str], now: float) -> list[str]:
        """Make the names that the watcher has seen due now; return those that are new."""
        new = []
        spare = self._yielding()
        for name in map(self._input, seen):
            if unfinished.skipped(name):
                self._note_skipped(name)
                continue
            if not self._spool.takes(name):
                continue
            candidate = self._candidates.get(name)
            if candidate is not None:
                candidate.due_s, candidate.announced = now, True
                candidate.pause_s = RECHECK_S
            elif name in self._refused:
                self._refused.hint(name, now)
            elif not self._has_room(spare):
                self.full = True  # the next scan finds it
            else:
                self._passed.pop(hash(name), None)
                self._candidates[name] = _candidate(name, now, announced=True)
                new.append(name)
        return new

    def scan(self, now: float) -> list[str]:
        """List in/; return the names that are new: no event has announced them."""
        found: list[str] = []
        self.full = False
        self._shadowed.clear()
        folders: set[str] = set()
        spare = self._yielding()
        met = False
        unknown = sum(candidate.unknown for candidate in self._candidates.values())
        with os.scandir(self._spool.inbox) as entries:
            for entry in entries:
                name = self._input(entry.name)
                if unfinished.skipped(name):
                    self._note_skipped(name)
                    continue
                if name in self._candidates or name in self._refused:
                    continue
                if durable.is_folder(entry):
                    folders.add(name)
                    continue
                if not self._spool.takes(name):
                    continue
                if (held := self._passed.get(hash(name))) is not None:
                    met = True
                    self.full = self.full or not held
                    continue
                if not self._has_room(spare):
                    self.full = True
                    break  # a later scan finds the rest, once some of these are claimed or have been examined
                candidate = _candidate(name, now, announced=False)
                if candidate.unknown and unknown >= MOST_UNKNOWN:
                    self.full = True
                    continue
                unknown += candidate.unknown
                self._candidates[name] = candidate
                found.append(name)
            else:
                if not (found and met):
                    self._passed.clear()  # all names have been examined since: begin again
        self._new_folders.extend(folders - self._folders)
        self._folders = folders
        return found

    def ready(
        self, now: float, limit: int, settings: Settings, *, large: int = WINDOW
    ) -> tuple[list[Request], dict[str, OSError]]:
        """Return at most `limit` complete inputs, `large` large ones, and those that cannot be examined; forget all.

        The first seen are the first.  Of the settings, `settle_s`, `empty_grace_s`, `unknown_suffix_wait_s` and
        `scan_s` are used.
        """
        requests: list[Request] = []
        faults: dict[str, OSError] = {}
        finished: list[str] = []
        again: list[str] = []
        for name in self._refused.due(now):
            self._candidates.setdefault(name, _candidate(name, now, announced=False))
        # Each round continues this generator where the last one stopped, so no name is examined twice in a turn.  Names
        # are moved only afterwards: a dict must not change while it is iterated over.
        due = (item for item in self._candidates.items() if item[1].due_s <= now)
        left = MOST_EXAMINED
        while some := list(islice(due, min(limit - len(requests), left))):
            left -= len(some)
            found = examine(self._spool.inbox, [name for name, _ in some], leases=self._leases)
            for (name, candidate), facts in zip(some, found, strict=True):
                if isinstance(facts, OSError):
                    faults[name] = facts
                    finished.append(name)
                    continue
                candidate.due_s = now + candidate.pause_s
                before = candidate.signature
                verdict = self._judge(name, candidate, facts, now, settings)
                if verdict is Verdict.READY and facts is not None:
                    # The change time, because a rename into in/ sets it and keeps the modification time.
                    request = Request(name=name, arrived_s=facts.ctime_s, size=facts.size)
                    if is_large(request) and large == 0:
                        verdict = Verdict.LATER
                    else:
                        large -= is_large(request)
                        requests.append(request)
                candidate.note(verdict, before, now, settings)
                (again if verdict in UNREADY else finished).append(name)
                if verdict is Verdict.GONE:
                    self._refused.forget([name])
        for name in finished:
            del self._candidates[name]
        for name in again:  # behind those that have not been examined yet
            self._candidates[name] = self._candidates.pop(name)
        return requests, faults

    def _yielding(self) -> Iterator[str]:
        # The list is made when the first name is taken, which most turns never do.
        yield from [name for name, candidate in self._candidates.items() if candidate.yields]

    def _has_room(self, spare: Iterator[str]) -> bool:
        """Return whether there is room for one more name; a name that is not ready makes room if there is one."""
        if len(self._candidates) < WINDOW:
            return True
        name = next(spare, None)
        if name is None:
            return False
        if len(self._passed) >= MOST_PASSED:
            self._passed.clear()
        self._passed[hash(name)] = self._candidates.pop(name).held
        return True

    def take_folders(self) -> list[str]:
        """Return the folders that scans have found in in/ since the last call; they are not inputs."""
        found, self._new_folders = self._new_folders, []
        return found

    def put_back(self, name: str, now: float) -> None:
        """Keep a complete input that could not be claimed yet."""
        candidate = _candidate(name, now, announced=False)
        candidate.due_s += RECHECK_S
        self._candidates.setdefault(name, candidate)

    def has_due(self, now: float) -> bool:
        """Return whether a name is due."""
        refused = self._refused.next_s
        return any(c.due_s <= now for c in self._candidates.values()) or (
            refused is not None and refused <= now
        )

    def next_due_s(self) -> float | None:
        """Return when the next name is due, monotonic; None if there is none."""
        found = [c.due_s for c in self._candidates.values()]
        refused = self._refused.next_s
        return min(found if refused is None else [*found, refused], default=None)

    @property
    def drained(self) -> bool:
        """True while no name is kept in memory as a candidate."""
        return not self._candidates

    @property
    def expecting(self) -> bool:
        """True while there are names that will become ready without a producer: all but those held open by a writer."""
        waiting = any(not c.held for c in self._candidates.values())
        return self.full or waiting or self._refused.expecting

    def _input(self, name: str) -> str:
        """Return the input that a name in in/ refers to.

        That is the name itself; where the spool has markers, it is the marked name, or `.`, which is skipped, if the
        name is not a marker.
        """
        marker = self._spool.marker
        return name if not marker else name.removesuffix(marker) if name.endswith(marker) else "."

    def _note_skipped(self, name: str) -> None:
        """Remember whose control file this is; only scans forget it, so a check must look whether it still exists."""
        if (shadowed := unfinished.shadowed(name)) is not None:
            self._shadowed[shadowed] = name

    def _is_shadowed(self, name: str, size: int) -> bool:
        """Return whether a file beside this one states that it is incomplete."""
        beside = self._shadowed.get(name, "")
        if not beside or (size > 0 and not beside.lower().endswith(unfinished.CONTROL)):
            return False
        return durable.look(self._spool.inbox, beside) is not None

    def _judge(
        self,
        name: str,
        candidate: Candidate,
        facts: FileFacts | None,
        now: float,
        settings: Settings,
    ) -> Verdict:
        if facts is None or stat.S_ISDIR(facts.mode):
            return Verdict.GONE
        if not stat.S_ISREG(facts.mode):
            # Claimed, so that `InputFile` rejects it with its type; left in in/, it would be examined again and again.
            return Verdict.READY
        if self._spool.marker:
            marked = durable.look(self._spool.inbox, name + self._spool.marker) is not None
            return Verdict.READY if marked else Verdict.GONE
        if self._shadowed and self._is_shadowed(name, facts.size):
            candidate.due_s = now + settings.scan_s  # removing the control file causes no event
            return Verdict.HELD
        if candidate.unknown:
            return self._judge_unknown(facts, candidate, now, settings)
        return _judge_regular(facts, candidate, now, settings)

    def _judge_unknown(
        self, facts: FileFacts, candidate: Candidate, now: float, settings: Settings
    ) -> Verdict:
        """Judge a file that would only fail: the program that wrote it gets time to rename it.

        The time starts again at every sign that the program is still busy with the file.
        """
        signature = (facts.size, facts.mtime_ns)
        if candidate.signature == _UNSEEN and not candidate.announced:
            # It may have waited before this process started.  Its change time tells that: a rename sets it as well, and
            # no program can set it to another time.
            candidate.since_s = now - max(self._clock.wall() - facts.ctime_s, 0.0)
        elif candidate.announced or candidate.signature != signature:
            candidate.since_s = now
        candidate.signature, candidate.announced = signature, False
        needed_s = max(settings.unknown_suffix_wait_s, _least_calm_s(facts, settings))
        if facts.free is False:
            candidate.since_s = now
            candidate.due_s = now + max(needed_s, RECHECK_S)
            return Verdict.HELD
        candidate.due_s = candidate.since_s + needed_s
        return Verdict.READY if now >= candidate.due_s else Verdict.WAIT


def _judge_regular(
    facts: FileFacts, candidate: Candidate, now: float, settings: Settings
) -> Verdict:
    signature = (facts.size, facts.mtime_ns)
    if signature != candidate.signature:
        candidate.signature, candidate.since_s = signature, now
    calm = now - candidate.since_s
    if facts.free is False:
        return Verdict.HELD
    return Verdict.READY if calm >= _least_calm_s(facts, settings) else Verdict.WAIT


def _least_calm_s(facts: FileFacts, settings: Settings) -> float:
    """Return for how many seconds a file must not have changed to be complete."""
    needed = settings.settle_s if facts.free is None else 0.0
    # Some producers create a file well before they write it.
    return max(needed, settings.empty_grace_s) if facts.size == 0 else needed


def _candidate(name: str, now: float, *, announced: bool) -> Candidate:
    return Candidate(due_s=now, since_s=now, unknown=names.kind(name) is None, announced=announced)
