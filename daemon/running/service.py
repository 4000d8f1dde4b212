"""The daemon's work: turns of looking, claiming, answering and settling.

A turn is a function of the time and of what is in the spool; clock and watcher are handed in.  Two kinds of input run
alone instead of in a shared batch, so that they can harm only themselves: those that a start finds in work/, and those
whose work a fault has interrupted.
"""

from __future__ import annotations

import errno
import resource
import sys
from collections import deque
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..answering.pipeline import Pipeline, Progress, Request
from ..backoff import Backoff
from ..errors import DISK_FULL, AnswerError, RejectedInputError, SpoolLostError, fault_name
from ..files import durable
from ..heartbeats import LOOP
from ..intake.arrivals import Arrivals
from ..log import events
from ..retrying.waiting import Waiting
from ..settling.groups import SETTLERS, Settling
from ..spool.commit import Committer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from ..clock import Clock
    from ..heartbeats import Heartbeats
    from ..intake.watch import Watching
    from ..log.logger import Log
    from ..models.served import ServedModel
    from ..settings import Settings
    from ..settling.groups import Settled
    from ..spool.folder import Spool

LONGEST_NAP_S: Final = 1.0

SYNCS_MAY_FAIL: Final = 1
"""Failed syncs (EIO) in a row that are made good by answering anew; the next one ends the daemon.

Going on would promise what the disk does not keep, and only a new process gets descriptors and a page cache that do not
hide earlier failures.
"""
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
        log: Log,
        hearts: Heartbeats,
        hurry: Callable[[], bool],
    ) -> None:
        self._spool = spool
        self._hearts = hearts
        self._hurry = hurry
        settings = _affordable(settings)
        self._clock = clock
        self._bare_log = log
        committer = Committer(spool)
        self._pauses = Backoff.of(settings)
        self._arrivals = Arrivals(
            spool=spool, committer=committer, settings=settings, watcher=watcher, log=log
        )
        self._waiting = Waiting(
            spool=spool, committer=committer, settings=settings, clock=clock, log=log, hearts=hearts
        )
        self._pipeline = Pipeline(
            spool=spool, model=model, settings=settings, clock=clock, hearts=hearts
        )
        self._settling = Settling(
            spool=spool, committer=committer, settings=settings, clock=clock, log=log, hearts=hearts
        )
        self.swap(model)
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._orphans = False
        self._unsynced: list[OSError] = []
        self._in_flight: deque[tuple[list[Progress], Future[Settled]]] = deque()

    def start(self) -> None:
        """Recover what an earlier process left, start to watch, and scan."""
        now = self._clock.monotonic()
        for request in self._waiting.recover(now):
            self._settling.poison(request, self._pipeline.model)
            self._waiting.settled(request.name)
        self._arrivals.start(now)

    def finish(self) -> None:
        """End what is in hand, while there is time for it; what else is in work/ stays there for the next start."""
        now = self._clock.monotonic()
        if not self._hurry():
            with suppress(OSError):  # then what was being claimed stays in work/, too
                self._answer(self._arrivals.claimed_ahead(), now)
            self._settle(now)
        self._land(now)

    def close(self) -> None:
        """Stop watching and simulating, when what is being made final is."""
        try:
            self._land(self._clock.monotonic())
        finally:
            self._arrivals.stop()
            self._settling.close()
            self._pipeline.close()
            self._waiting.close()

    def swap(self, model: ServedModel) -> None:
        """Answer with another model from the next request on; those that are open keep theirs."""
        self._pipeline.model = model
        self._log = self._bare_log.bind(model=model.pin)
        self._arrivals.log = self._waiting.log = self._log

    def configure(self, settings: Settings) -> None:
        """Take other settings: what is open keeps what it was begun with, pauses run out as they were set."""
        settings = _affordable(settings)
        self._pauses = Backoff.of(settings)
        for part in (self._arrivals, self._waiting, self._pipeline, self._settling):
            part.configure(settings)

    @property
    def idle(self) -> bool:
        """True when there is nothing to do and nothing will come of itself."""
        busy = self._orphans or self._in_flight or len(self._waiting)
        return not (busy or self._arrivals.expecting)

    @property
    def waiting(self) -> int:
        """Inputs in work/ that wait to be answered."""
        return len(self._waiting)

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
            if self._orphans or len(self._waiting):
                self._land(now)  # else its inputs would be taken for some that wait
            if self._orphans:
                self._waiting.adopt(now)
                self._orphans = False
            in_flight = sum(len(group) for group, _ in self._in_flight)
            self._arrivals.look(now, in_hand=len(self._waiting) + in_flight)
            again = self._waiting.due(now)
            fresh = self._arrivals.claim(now, waiting=self._waiting)
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
        self._settle(now, beside=self._arrivals.expecting)
        return True

    def nap_s(self, now: float) -> float:
        """How long the loop may sleep after a turn that found nothing to do."""
        first, due = self._arrivals.next_s, self._waiting.next_s
        if due is not None:
            first = min(first, due)
        return min(max(first, self._paused_until_s) - now, LONGEST_NAP_S)

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
                        if not self._released(left.values(), now):
                            return
                        self._settle(now, beside=True)
                    if self._hurry():
                        break
        except OSError as fault:
            for request in left.values():
                self._retry(request, fault, now)
        except AnswerError as fault:
            for request in left.values():
                self._blame(request, fault, now, alone=len(requests) == 1)
        self._released((), now)

    def _released(self, left: Iterable[Request], now: float) -> bool:
        """Wait until what was claimed has left in/; if that fails, what is answered and what is left wait in work/."""
        try:
            self._arrivals.release()
        except OSError as fault:
            for progress in self._settling.take():
                progress.drop()
                self._retry(progress.request, fault, now)
            for request in left:
                self._retry(request, fault, now)
            return False
        return True

    def _answer_alone(self, request: Request, now: float) -> None:
        def trial(at: int) -> AbstractContextManager[None]:
            self._hearts.beat(LOOP)
            if self._hurry():
                raise _HurriedError
            return self._waiting.trial(request.name, at)

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
        if beside and not group:
            return
        if not beside:
            self._land(now)
            if group:
                self._conclude(self._settling.settle(group), now)
            return
        self._in_flight.append((group, self._settling.start(group)))
        if len(self._in_flight) > SETTLERS:
            self._conclude(self._in_flight.popleft()[1].result(), now)

    def _land(self, now: float) -> bool:
        """Wait for the groups in the threads; False when there are none."""
        landed = bool(self._in_flight)
        while self._in_flight:
            self._conclude(self._in_flight.popleft()[1].result(), now)
        return landed

    def _conclude(self, settled: Settled, now: float) -> None:
        self._settling.tell(settled.told)
        self._waiting.settled(*(progress.request.name for progress in settled.final))
        if settled.fault is None:
            self._unsynced.clear()
            return
        for progress in settled.left:
            self._retry(progress.request, settled.fault, now)

    def _retry(self, request: Request, fault: OSError | AnswerError, now: float) -> None:
        self._waiting.again(request, fault, now)
        self._notice(fault)

    def _blame(self, request: Request, fault: AnswerError, now: float, *, alone: bool) -> None:
        """Count a failure of the simulator against a request, if it was in there alone."""
        if not alone or not self._waiting.accuse(request.name):
            self._retry(request, fault, now)
            return
        failure = RejectedInputError("simulator", str(fault), stage="simulate")
        model = self._pipeline.model
        self._settling.add(Progress(request=request, model=model, failure=failure))

    def _pause(self, fault: OSError, now: float) -> None:
        """Claim nothing for a while: the machine is not in order."""
        self._orphans = True
        self._arrivals.distrust()
        self._pause_s = self._pauses.after(self._pause_s)
        self._paused_until_s = now + self._pause_s
        code, pause = fault_name(fault), self._pause_s
        self._log.error(events.FAULT, code=code, message=str(fault), retry_in_s=pause)
        self._notice(fault)

    def _notice(self, fault: Exception) -> None:
        if isinstance(fault, OSError) and fault.errno in DISK_FULL:
            self._arrivals.refused()
        if isinstance(fault, durable.SyncError) and fault.errno == errno.EIO:
            if fault not in self._unsynced:  # each of a group tells of the one that it shared
                self._unsynced.append(fault)
            if len(self._unsynced) > SYNCS_MAY_FAIL:
                raise SpoolLostError(
                    f"spool {self._spool.path}: the disk failed at {len(self._unsynced)} syncs in a row; "
                    "every input is kept, see to the disk and start again"
                )


def _affordable(settings: Settings) -> Settings:
    """Bound a group's files: result and summary of each are open, and of the two groups before them too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (
        sys.maxsize if soft == resource.RLIM_INFINITY else max((soft - OTHER_DESCRIPTORS) // 6, 1)
    )
    return replace(settings, group_files=min(settings.group_files, most))
