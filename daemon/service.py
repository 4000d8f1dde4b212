"""The daemon's work: turns of looking, claiming, answering and settling.

A turn is a function of the time and of what is in the spool; clock and watcher are handed in.  Two kinds of input run
alone instead of in a shared batch, so that they can harm only themselves: those that a start finds in work/, and those
whose work a fault has interrupted.
"""

from __future__ import annotations

import errno
import resource
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from . import durable, events, names
from .attempts import Attempts
from .errors import DISK_FULL, AnswerError, InputError, SpoolLostError, fault_name
from .guards import MissedEvents, RoomGuard, WatchGuard
from .health import LOOP
from .inbox import Inbox, leases_work
from .ledger import Ledger
from .outgoing import OutGuard
from .pipeline import Pipeline, Progress, Request
from .recovery import State, reconcile
from .retries import Pauses, Retries
from .settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from structlog.typing import FilteringBoundLogger

    from .clock import Clock
    from .health import Hearts
    from .model import ServedModel
    from .settings import Settings
    from .settling import Told
    from .spool import Spool
    from .watch import Watching

LONGEST_NAP_S: Final = 1.0

SYNCS_MAY_FAIL: Final = 1
"""Failed syncs (EIO) in a row that are made good by answering anew; the next one ends the daemon.

Going on would promise what the disk does not keep, and only a new process gets descriptors and a page cache that do not
hide earlier failures.
"""
BLIND_SCAN_S: Final = 0.25
"""Longest time in seconds between two scans while file events do not come."""

OTHER_DESCRIPTORS: Final = 200
"""Left for all but the groups: folders, watcher, log, inputs."""


class _HurriedError(Exception):
    """There is no time left to finish what is in hand."""


class Service:
    """A daemon on a locked spool.

    Parameters
    ----------
    spool
        Locked by the caller.
    model
        The model to serve first (see `swap`).
    settings
        See `Settings`.
    watcher
        Source of hints.
    clock
        Time.
    log
        Where events go.
    hearts
        Where the threads give their signs of life.
    hurry
        Says whether the time to finish what is in hand is over; the rest then stays in work/.

    """

    def __init__(
        self,
        *,
        spool: Spool,
        model: ServedModel,
        settings: Settings,
        watcher: Watching,
        clock: Clock,
        log: FilteringBoundLogger,
        hearts: Hearts,
        hurry: Callable[[], bool],
    ) -> None:
        self._spool = spool
        self._hearts = hearts
        self._hurry = hurry
        settings = _affordable(settings)
        self._settings = settings
        self._clock = clock
        self._bare_log = log
        self._log = log.bind(model=model.pin)
        self._ledger = Ledger(spool)
        self._attempts = Attempts(spool)
        self._pauses = Pauses(first_s=settings.retry_first_s, last_s=settings.retry_last_s)
        self._retries = Retries(self._pauses)
        self._room = RoomGuard(spool, settings, log)
        self._outs = OutGuard(spool, settings, log)
        self._watch = WatchGuard(spool, watcher, log)
        self._missed = MissedEvents()
        self._watcher = watcher
        self._pipeline = Pipeline(
            spool=spool, model=model, settings=settings, clock=clock, hearts=hearts
        )
        self._settling = Settling(
            spool=spool,
            ledger=self._ledger,
            settings=settings,
            clock=clock,
            log=log,
            hearts=hearts,
        )
        self._inbox = Inbox(
            spool,
            settle_s=settings.settle_s,
            empty_grace_s=settings.empty_grace_s,
            leases=not settings.network_fs and leases_work(spool),
        )
        self._scan_due_s = 0.0
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._orphans = False
        self._unsynced: list[OSError] = []
        self._in_flight: tuple[list[Progress], Future[list[Told]]] | None = None

    def start(self) -> None:
        """Recover what an earlier process left, start to watch, and scan.

        The watcher starts before the scan, so that no file falls between the two.
        """
        now = self._clock.monotonic()
        self._recover(now)
        self._watch.start(now)
        self._room.check()
        self._seen(self._inbox.scan(now), by="scan")
        self._scan_due_s = now + self._settings.scan_s

    def finish(self) -> None:
        """Wait for what is being made final; what else is in work/ stays there for the next start."""
        self._land(self._clock.monotonic())

    def close(self) -> None:
        """Stop watching and simulating."""
        self.finish()
        self._watch.stop()
        self._settling.close()
        self._pipeline.close()
        self._attempts.close()

    def swap(self, model: ServedModel) -> None:
        """Answer with another model from the next request on; those that are open keep theirs."""
        self._pipeline.model = model
        self._log = self._bare_log.bind(model=model.pin)

    def configure(self, settings: Settings) -> None:
        """Take other settings: what is open keeps what it was begun with, pauses run out as they were set."""
        settings = _affordable(settings)
        self._settings = settings
        self._pauses = Pauses(first_s=settings.retry_first_s, last_s=settings.retry_last_s)
        for part in (self._pipeline, self._settling, self._inbox, self._retries):
            part.configure(settings)
        self._room.configure(settings)
        self._outs.configure(settings)

    @property
    def idle(self) -> bool:
        """True when there is nothing to do and nothing will come of itself."""
        busy = self._orphans or self._in_flight or len(self._retries)
        return not (busy or self._inbox.expecting)

    @property
    def waiting(self) -> int:
        """Inputs in work/ that wait to be answered."""
        return len(self._retries)

    @property
    def _may_claim(self) -> bool:
        return self._room.room and self._outs.room

    def turn(self, now: float) -> bool:
        """Do what there is to do, at most `group_files` inputs of each kind.

        Parameters
        ----------
        now
            Monotonic time in seconds.

        Returns
        -------
        bool
            Whether there was anything.

        """
        self._hearts.beat(LOOP)
        if now < self._paused_until_s:
            return self._land(now)
        try:
            if self._orphans or len(self._retries):
                self._land(now)  # else its inputs would be taken for some that wait
            self._adopt(now)
            self._look(now)
            again = self._take_due(now)
            fresh = self._claim(now) if self._may_claim else []
        except OSError as fault:
            self._pause(fault, now)
            return False
        self._pause_s = 0.0
        if not (fresh or again):
            return self._land(now)
        self._answer(fresh, now)
        for request in again:
            if not self._hurry():
                self._answer_alone(request, now)
        self._settle(now, beside=self._inbox.expecting)
        return True

    def nap_s(self, now: float) -> float:
        """How long the loop may sleep after a turn that found nothing to do."""
        look = self._inbox.next_look_s() if self._may_claim else None
        times = [t for t in (self._scan_due_s, self._retries.next_s(), look) if t is not None]
        return min(max(min(times), self._paused_until_s) - now, LONGEST_NAP_S)

    def _recover(self, now: float) -> None:
        states: dict[str, State] = {}
        for name in durable.listing(self._spool.work):
            self._hearts.beat(LOOP)
            if not name.startswith("."):
                states[name] = reconcile(self._spool, self._ledger, name)
        claims = self._attempts.recover([n for n, state in states.items() if state.unanswered])
        for name, state in states.items():
            self._recovered(name, state, claims.get(name, 0))
        self._spool.sweep(self._clock.wall())
        # Those that were there least often first: one that kills must not keep the others from their turn.
        for name in sorted(claims, key=claims.__getitem__):
            facts = durable.look(self._spool.work, name)
            arrived = self._clock.wall() if facts is None else facts.st_ctime
            if claims[name] >= self._settings.max_attempts:
                request = Request(name=name, arrived_s=arrived, attempt=claims[name])
                self._settling.poison(request, self._pipeline.model)
                self._attempts.forget(name)
            else:
                self._retries.add(name, arrived_s=arrived, now=now, at_once=True)

    def _recovered(self, name: str, state: State, attempts: int) -> None:
        if state is not State.GONE:
            file = names.printable(name)
            self._log.info(events.RECOVERED, file=file, state=str(state), attempts=attempts)

    def _adopt(self, now: float) -> None:
        """Take up inputs whose claim was interrupted: between turns, what is in work/ waits or is an orphan."""
        if not self._orphans:
            return
        for name in durable.listing(self._spool.work):
            facts = durable.look(self._spool.work, name)
            if not name.startswith(".") and name not in self._retries and facts is not None:
                self._retries.add(name, arrived_s=facts.st_ctime, now=now, at_once=True)
        self._orphans = False

    def _look(self, now: float) -> None:
        seen, lost = self._watcher.take()
        self._watch.heard(seen, now, lost=lost)
        self._missed.told(seen)
        self._seen(self._inbox.hint(seen, now), by="event")
        if lost:
            self._log.warning(events.WATCH_OVERFLOW)
        in_flight = len(self._in_flight[0]) if self._in_flight else 0
        self._outs.check(now, in_hand=len(self._retries) + in_flight)
        backlog_on_disk = self._inbox.full and self._inbox.next_look_s() is None
        if lost or backlog_on_disk or now >= self._scan_due_s:
            self._room.check()
            if self._watch.check(now):
                self._scan(now)
            pause = (
                min(self._settings.scan_s, BLIND_SCAN_S)
                if self._watch.blind
                else self._settings.scan_s
            )
            self._scan_due_s = now + pause

    def _scan(self, now: float) -> None:
        was_full = self._inbox.full
        found = self._inbox.scan(now)
        self._seen(found, by="scan")
        # After a scan that could not see all, older files come to light that nobody has missed.  Events of markers do
        # not name the inputs that the scan finds, and a network file system has none.
        unheard = was_full or self._spool.marker or self._settings.network_fs
        missed = self._missed.scanned(None if unheard else found)
        if missed:
            self._log.info(events.WATCH_RESCAN, found=missed)

    def _seen(self, found: list[str], *, by: str) -> None:
        for name in found:
            self._log.debug(events.SEEN, file=names.printable(name), by=by)

    def _take_due(self, now: float) -> list[Request]:
        """Give the waiting inputs whose time has come and that are still without an answer."""
        requests = []
        for name in self._retries.due(now, self._settings.group_files):
            state = reconcile(self._spool, self._ledger, name)
            if state.unanswered:
                arrived = self._retries[name].arrived_s
                attempt = self._attempts.next(name)
                requests.append(Request(name=name, arrived_s=arrived, attempt=attempt))
            else:
                self._ledger.tidy(name)
                self._retries.drop(name)
                self._attempts.forget(name)
                self._recovered(name, state, 0)
        return requests

    def _claim(self, now: float) -> list[Request]:
        """Claim complete inputs; those whose very bytes are answered already are finished at once."""
        most = self._outs.limit(self._settings.group_files)
        arrivals = {a.name: a for a in self._inbox.ready(now, most)}
        lanes = () if self._spool.lane else self._settings.models
        for name in self._inbox.take_folders():
            if name in lanes:
                continue
            self._log.warning(events.IGNORED, file=names.printable(name), message="it is a folder")
        waiting = [name for name in arrivals if name in self._retries]
        claimed, busy = self._spool.claim(name for name in arrivals if name not in waiting)
        self._outs.claimed(len(claimed))
        for name in (*waiting, *busy):
            self._inbox.put_back(name, now)
        for name in claimed:
            size = arrivals[name].size
            self._log.debug(events.CLAIMED, file=names.printable(name), size_bytes=size)
        # Small ones first: they share batches and are settled before a large one begins.
        return [
            Request(name=name, arrived_s=arrivals[name].arrived_s)
            for name in sorted(claimed, key=lambda name: arrivals[name].size)
            if not self._is_known(name)
        ]

    def _is_known(self, name: str) -> bool:
        if durable.look(self._spool.out, names.base(name) + names.RESULT) is None:
            return False
        sha256 = durable.digest(self._spool.work, name)
        result = None if sha256 is None else self._ledger.answered(name, sha256)
        if sha256 is None or result is None:
            return False
        self._ledger.finish([(name, sha256)])
        file, answer = names.printable(name), names.printable(result)
        self._log.info(events.DUPLICATE, file=file, input_sha256=sha256, result=answer)
        return True

    def _answer(self, requests: list[Request], now: float) -> None:
        left = {request.name: request for request in requests}
        try:
            with closing(self._pipeline.answer(requests)) as batches:
                for ended in batches:
                    self._hearts.beat(LOOP)
                    for progress in ended:
                        del left[progress.request.name]
                        self._settling.add(progress)
                    if self._settling.due:
                        self._settle(now, beside=True)
                    if self._hurry():
                        break
        except OSError as fault:
            for request in left.values():
                self._retry(request, fault, now)
        except AnswerError as fault:
            for request in left.values():
                self._blame(request, fault, now, alone=len(requests) == 1)

    def _answer_alone(self, request: Request, now: float) -> None:
        def trial(at: int) -> AbstractContextManager[None]:
            self._hearts.beat(LOOP)
            if self._hurry():
                raise _HurriedError
            return self._attempts.trial(request.name, at)

        try:
            self._settling.add(self._pipeline.answer_alone(request, trial))
        except _HurriedError:
            return  # it stays in work/ for the next start
        except OSError as fault:
            self._retry(request, fault, now)
        except AnswerError as fault:
            self._blame(request, fault, now, alone=True)
        if self._settling.due:
            self._settle(now)

    def _settle(self, now: float, *, beside: bool = False) -> None:
        """Make the finished requests final; `beside` other work, what comes of it is dealt with by `_land`."""
        group = self._settling.take()
        if beside and group:
            started = self._settling.start(group)  # before the log of the one before is written
            self._land(now)
            self._in_flight = group, started
            return
        self._land(now)
        if group:
            self._conclude(group, partial(self._settling.settle, group), now)

    def _land(self, now: float) -> bool:
        """Wait for the group in the thread; False when there is none."""
        if self._in_flight is None:
            return False
        (group, future), self._in_flight = self._in_flight, None
        self._conclude(group, future.result, now)
        return True

    def _conclude(
        self, group: list[Progress], settled: Callable[[], list[Told]], now: float
    ) -> None:
        try:
            self._settling.tell(settled())
        except OSError as fault:
            for progress in group:
                self._retry(progress.request, fault, now)
        else:
            for progress in group:
                self._retries.drop(progress.request.name)
            self._attempts.forget(*(progress.request.name for progress in group))
            if group:
                self._unsynced.clear()

    def _retry(self, request: Request, fault: OSError | AnswerError, now: float) -> None:
        """Leave an input in work/ and try it again later, alone; a fault of the machine is no attempt."""
        code = fault_name(fault) if isinstance(fault, OSError) else "simulator"
        arrived, at_once = request.arrived_s, isinstance(fault, AnswerError)
        pause = self._retries.add(request.name, arrived_s=arrived, now=now, at_once=at_once)
        self._log.warning(
            events.RETRY,
            file=names.printable(request.name),
            code=code,
            message=str(fault),
            retry_in_s=pause,
        )
        self._notice(fault)

    def _blame(self, request: Request, fault: AnswerError, now: float, *, alone: bool) -> None:
        """Count a failure of the simulator against a request, if it was in there alone."""
        last = self._settings.max_attempts
        if not alone or self._attempts.failed(request.name) < last:
            self._retry(request, fault, now)
            return
        failure = InputError("simulator", str(fault), stage="simulate")
        model = self._pipeline.model
        self._settling.add(Progress(request=request, model=model, failure=failure))

    def _pause(self, fault: OSError, now: float) -> None:
        """Claim nothing for a while: the machine is not in order."""
        self._orphans = True
        self._scan_due_s = 0.0  # what was about to be claimed must be found anew
        self._missed.scanned(None)
        self._pause_s = self._pauses.after(self._pause_s)
        self._paused_until_s = now + self._pause_s
        code, pause = fault_name(fault), self._pause_s
        self._log.error(events.FAULT, code=code, message=str(fault), retry_in_s=pause)
        self._notice(fault)

    def _notice(self, fault: Exception) -> None:
        if isinstance(fault, OSError) and fault.errno in DISK_FULL:
            self._room.check(refused=True)
        if isinstance(fault, durable.SyncError) and fault.errno == errno.EIO:
            if fault not in self._unsynced:  # each of a group tells of the one that it shared
                self._unsynced.append(fault)
            if len(self._unsynced) > SYNCS_MAY_FAIL:
                raise SpoolLostError(
                    f"spool {self._spool.path}: the disk failed at {len(self._unsynced)} syncs in a row; "
                    "every input is kept, see to the disk and start again"
                )


def _affordable(settings: Settings) -> Settings:
    """Bound a group's files: result and summary of each are open, and of the group before them too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (
        sys.maxsize if soft == resource.RLIM_INFINITY else max((soft - OTHER_DESCRIPTORS) // 4, 1)
    )
    return replace(settings, group_files=min(settings.group_files, most))
