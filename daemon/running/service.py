"""The work of one lane, in turns: look for inputs, claim them, answer them and settle them.

A turn depends only on the time and on the spool; clock and watcher are passed in.  Two kinds of input are answered
alone instead of in a shared batch, so that they can harm only themselves: inputs that a starting daemon finds in work/,
and inputs whose processing was interrupted by a fault.  These and large inputs are answered in slices, one in a turn,
so that small inputs do not wait for them.
"""

from __future__ import annotations

import errno
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from ..answering.pipeline import Pipeline
from ..answering.request import Job, Request
from ..answering.sliced import LARGE_BYTES, MOST_LARGE, SLICE_S, Sliced, is_large
from ..backoff import Backoff
from ..errors import DISK_FULL, AnswerError, RejectedInputError, SpoolLostError, fault_name
from ..files import durable
from ..heartbeats import LOOP
from ..intake.arrivals import Arrivals
from ..log import events
from ..retrying.waiting import Waiting
from ..settling.groups import Settling
from ..settling.in_flight import LAND_S, InFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ..context import Context
    from ..intake.watch import Watching
    from ..models.served import ServedModel
    from ..settling.groups import Settled

LONGEST_NAP_S: Final = 1.0

SYNCS_MAY_FAIL: Final = 1
"""Failed syncs (EIO) in a row after which the daemon answers the inputs again; one more failure ends the daemon.

To continue would promise durability that the disk does not have, and only a new process gets descriptors and a page
cache that do not hide earlier failures.
"""


class Service:
    """Answers the inputs of one lane.

    Parameters
    ----------
    context
        Shared by the lane's parts; its spool is locked.
    model
        The model to serve first (see `swap`).
    watcher
        Source of file events.
    hurry
        Returns whether the time to finish open work is over; unfinished inputs then stay in work/.

    """

    def __init__(
        self,
        context: Context,
        *,
        model: ServedModel,
        watcher: Watching,
        hurry: Callable[[], bool],
    ) -> None:
        self._context = context
        self._heartbeats = context.heartbeats
        self._hurry = hurry
        self._model = model
        self._log = context.log.bind(model=model.pin)
        self._arrivals = Arrivals(context, watcher=watcher, log=lambda: self._log)
        self._waiting = Waiting(context, log=lambda: self._log)
        self._pipeline = Pipeline(context, model=lambda: self._model)
        self._settling = Settling(context)
        self._sliced = Sliced()
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._orphans = False
        self._apart: set[str] = set()
        self._held: set[str] = set()
        self._unsynced: list[OSError] = []
        self._in_flight = InFlight(self._settling)
        self._large_in_flight = InFlight(self._settling)

    def start(self) -> None:
        """Recover the inputs that an earlier process left in work/, begin to watch in/, and scan it."""
        now = self._context.clock.monotonic()
        self._waiting.recover(now)
        self._arrivals.start(now)

    def finish(self) -> None:
        """Finish claimed inputs while there is time; the others stay in work/ for the next start."""
        now = self._context.clock.monotonic()
        if not self._hurry():
            # Inputs whose claim failed stay in work/, as after a killed process.
            with suppress(OSError):
                self._answer(self._arrivals.claimed_ahead(), now)
            self._settle(now)
            while self._sliced and not self._hurry():
                self._slice(now)
        self._sliced.clear()
        self._settle(now)
        self._land_large(now, patience_s=None)

    def close(self) -> None:
        """Wait for the groups that are being settled, then end all threads."""
        try:
            self._sliced.clear()
            self._land(self._context.clock.monotonic())
            self._land_large(self._context.clock.monotonic(), patience_s=None)
        finally:
            self._arrivals.stop()
            self._settling.close()
            self._pipeline.close()
            self._waiting.close()

    def swap(self, model: ServedModel) -> None:
        """Serve another model from the next opened input on; inputs that are open keep theirs."""
        self._model = model
        self._log = self._context.log.bind(model=model.pin)

    @property
    def idle(self) -> bool:
        """True when there is nothing to do until a producer drops a file."""
        settling = self._in_flight or self._large_in_flight or self._settling.names
        working = self._orphans or settling or self._sliced or self._waiting.hopeful
        return not (working or self._arrivals.expecting)

    @property
    def waiting(self) -> int:
        """Number of inputs in work/ that wait to be tried (again)."""
        return len(self._waiting)

    def turn(self, now: float) -> bool:
        """Claim, answer and settle what is due: at most `group_files` new inputs, and as many waiting ones.

        Parameters
        ----------
        now
            Monotonic time in seconds.

        Returns
        -------
        bool
            Whether there was anything to do.

        """
        self._heartbeats.beat(LOOP)
        self._land_large(now)
        if now < self._paused_until_s:
            landed = self._land(now)
            return self._slice(now) or landed
        try:
            if self._orphans or len(self._waiting):
                # Inputs that are being settled are in work/, too: `adopt` and `due` must not take them for waiting.
                self._land(now)
            busy = {*self._sliced.names, *self._settling.names, *self._large_in_flight.names}
            if self._orphans:
                self._waiting.adopt(now, busy=busy)
                self._orphans = False
            fresh_busy = sum(name not in self._waiting for name in (*self._in_flight.names, *busy))
            self._arrivals.look(now, open_inputs=len(self._waiting) + fresh_busy)
            again = self._waiting.due(now, busy=busy)
            self._held.clear()  # the jobs of the turns before are settled, or wait
            large = max(MOST_LARGE - len(self._sliced), 0)
            fresh = self._arrivals.claim(now, waiting=self._waiting, large=large)
        except OSError as fault:
            self._pause(fault, now)
            return False
        self._pause_s = 0.0  # the disk works again: the next fault begins with the shortest pause
        self._hold(now)
        self._sliced.add(again, self._begin_alone)
        if not fresh:
            landed = self._land(now)
            return self._slice(now) or landed or self._land_large(now, patience_s=LAND_S)
        self._answer(fresh, now)
        if again:  # they and the fresh ones share their syncs
            self._slice(now)
        if self._arrivals.expecting:
            self._settle_meanwhile(now)
        else:
            self._settle(now)
        if not again:
            self._slice(now)
        return True

    def nap_s(self, now: float) -> float:
        """Return how many seconds the loop may sleep after a turn that found nothing to do."""
        first, due = self._arrivals.next_s, self._waiting.next_s
        if due is not None:
            first = min(first, due)
        return min(max(first, self._paused_until_s) - now, LONGEST_NAP_S)

    def _answer(self, requests: list[Request], now: float) -> None:
        """Answer small requests; the large ones are answered in slices."""
        large = [request for request in requests if is_large(request)]
        small = [request for request in requests if not is_large(request)]
        large += self._answer_together(small, large, now)
        # The caller settles the rest, and no result may become final before its input has left in/ (`Arrivals.claim`).
        if self._released(large, now):
            free = [request for request in large if request.name not in self._held]
            self._sliced.add(free, self._pipeline.answer_large)

    def _answer_together(
        self, small: list[Request], large: list[Request], now: float
    ) -> list[Request]:
        """Answer small requests; return those that turn out to be large, or for which there is no time."""
        left = {request.name: request for request in small}
        try:
            # Closing the generator drops the results of jobs that are still open.
            with closing(self._pipeline.answer(small)) as batches:
                for ended in batches:
                    self._heartbeats.beat(LOOP)
                    for job in ended:
                        del left[job.request.name]
                        if job.fault is None:
                            self._settling.add(job)
                        else:
                            self._failed(job.request, job.fault, now, alone=len(small) == 1)
                    if not self._settled_if_due((*left.values(), *large), now):
                        large.clear()
                        return []
                    if self._hurry():
                        break
        except (OSError, AnswerError) as fault:
            for request in left.values():
                self._failed(request, fault, now, alone=len(small) == 1)
        else:
            return list(left.values())
        return []

    def _settled_if_due(self, left: Iterable[Request], now: float) -> bool:
        """Settle the finished jobs if they are due; return False if they and `left` must be retried instead."""
        if not self._settling.due:
            return True
        released = self._released(left, now)
        if released:
            self._settle_meanwhile(now)
        return released

    def _released(self, left: Iterable[Request], now: float) -> bool:
        """Wait until claimed inputs have left in/; if that fails, retry both the answered ones and `left` later."""
        try:
            self._arrivals.release()
        except OSError as fault:
            for job in self._settling.take():
                job.drop()
                self._retry(job.request, fault, now)
            for request in left:
                self._retry(request, fault, now)
            return False
        self._hold(now)
        return True

    def _hold(self, now: float) -> None:
        """Keep the inputs that cannot leave in/ for another attempt: what was answered now must not become final."""
        for request, fault in self._arrivals.take_left().values():
            self._held.add(request.name)
            self._retry(request, fault, now)

    def _finished(self) -> list[Job]:
        """Remove the group of finished jobs from the settling, and return it without those whose inputs are held."""
        group = self._settling.take()
        if not self._held:
            return group
        for job in group:
            if job.request.name in self._held:
                job.drop()
        return [job for job in group if job.request.name not in self._held]

    def _begin_alone(self, request: Request) -> Generator[Job | None, None, None]:
        if self._waiting.deadly(request.name):
            yield self._settling.poisoned(request, self._model)
        else:
            yield from self._pipeline.answer_alone(
                request, lambda at: self._waiting.trial(request.name, at)
            )

    def _slice(self, now: float) -> bool:
        """Answer inputs in slices, for SLICE_S; return whether there were any."""
        if not self._sliced:
            return False
        monotonic = self._context.clock.monotonic
        end = monotonic() + SLICE_S
        while self._sliced and not self._hurry():
            self._heartbeats.beat(LOOP)
            request = self._sliced.first
            # Its commit failed once: from now on it fails by itself.
            apart = request.name in self._apart
            if apart:
                self._settle(now)
            try:
                job = self._sliced.step()
            except (OSError, AnswerError) as fault:
                self._failed(request, fault, now, alone=True)
            else:
                self._take_over(job)
            if apart:
                self._settle(now)
            if monotonic() >= end:
                break
        if not self._sliced or self._settling.due:
            self._settle(now)
        return True

    def _take_over(self, job: Job | None) -> None:
        """Settle a job that was answered in slices: a large one in a thread, as its syncs take long."""
        if job is not None and job.size >= LARGE_BYTES:
            self._large_in_flight.start([job])
        elif job is not None:
            self._settling.add(job)

    def _settle(self, now: float) -> None:
        """Settle the finished jobs, after all groups before them."""
        group = self._finished()
        self._land(now)
        if group:
            self._conclude(self._settling.settle(group), now)

    def _settle_meanwhile(self, now: float) -> None:
        """Settle the finished jobs in a thread while the loop goes on; `_land` waits for that."""
        group = self._finished()
        if not group:
            return
        self._in_flight.start(group)
        if self._in_flight.too_many and (settled := self._in_flight.take()) is not None:
            self._conclude(settled, now)

    def _land(self, now: float) -> bool:
        """Wait until the groups in the settling threads are settled; return whether there were any."""
        landed = bool(self._in_flight)
        while (settled := self._in_flight.take()) is not None:
            self._conclude(settled, now)
        return landed

    def _land_large(self, now: float, *, patience_s: float | None = 0.0) -> bool:
        """Conclude the groups of large inputs that are settled within a time; return whether there were any."""
        landed, groups = bool(self._large_in_flight), self._large_in_flight
        while (settled := groups.take(None if groups.too_many else patience_s)) is not None:
            self._conclude(settled, now)
        return landed

    def _conclude(self, settled: Settled, now: float) -> None:
        self._settling.log_events(settled.events)
        final = [job.request.name for job in settled.final]
        self._waiting.settled(*final)
        self._apart.difference_update(final)
        if not settled.left:
            self._unsynced.clear()
        for job, fault in settled.left:
            self._apart.add(job.request.name)
            self._retry(job.request, fault, now)

    def _failed(
        self, request: Request, fault: OSError | AnswerError, now: float, *, alone: bool
    ) -> None:
        if isinstance(fault, OSError):
            self._retry(request, fault, now)
        else:
            self._blame(request, fault, now, alone=alone)

    def _retry(self, request: Request, fault: OSError | AnswerError, now: float) -> None:
        self._waiting.again(request, fault, now)
        self._note_fault(fault)

    def _blame(self, request: Request, fault: AnswerError, now: float, *, alone: bool) -> None:
        """Count a failure against a request that was alone; quarantine it after its last attempt."""
        if not alone or not self._waiting.accuse(request.name):
            self._retry(request, fault, now)
            return
        failure = RejectedInputError(fault.code, str(fault), stage=fault.stage)
        self._settling.add(Job(request=request, model=self._model, failure=failure))

    def _pause(self, fault: OSError, now: float) -> None:
        """Stop claiming for a while after a fault of the machine."""
        # The fault may have left inputs in work/ that no list of this process has.
        self._orphans = True
        self._arrivals.distrust()
        self._pause_s = Backoff.of(self._context.settings()).after(self._pause_s)
        self._paused_until_s = now + self._pause_s
        code, pause = fault_name(fault), self._pause_s
        self._log.error(events.FAULT, code=code, message=str(fault), retry_in_s=pause)
        self._note_fault(fault)

    def _note_fault(self, fault: Exception) -> None:
        if isinstance(fault, OSError) and fault.errno in DISK_FULL:
            self._arrivals.refused()
        if isinstance(fault, durable.SyncError) and fault.errno == errno.EIO:
            if fault not in self._unsynced:  # the jobs of a group share one fault
                self._unsynced.append(fault)
            if len(self._unsynced) > SYNCS_MAY_FAIL:
                raise SpoolLostError(
                    f"spool {self._context.spool.path}: the disk failed at {len(self._unsynced)} syncs in a row; "
                    "every input is kept; check the disk and start again"
                )
