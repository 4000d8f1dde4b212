"""The work of one lane, in turns: look for inputs, claim them, answer them and settle them.

A turn depends only on the time and on the spool; clock and watcher are passed in.  Two kinds of input are answered
alone instead of in a shared batch, so that they can harm only themselves: inputs that a starting daemon finds in work/,
and inputs whose processing was interrupted by a fault.
"""

from __future__ import annotations

import errno
from collections import deque
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from ..answering.pipeline import Pipeline
from ..answering.request import Job, Request
from ..backoff import Backoff
from ..errors import DISK_FULL, AnswerError, RejectedInputError, SpoolLostError, fault_name
from ..files import durable
from ..heartbeats import LOOP
from ..intake.arrivals import Arrivals
from ..log import events
from ..retrying.waiting import Waiting
from ..settling.groups import SETTLERS, Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

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


class _OutOfTimeError(Exception):
    """The time to finish open work is over."""


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
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._orphans = False
        self._apart: set[str] = set()
        self._held: set[str] = set()
        self._unsynced: list[OSError] = []
        self._in_flight: deque[tuple[list[Job], Future[Settled]]] = deque()

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
        self._land(now)

    def close(self) -> None:
        """Wait for the groups that are being settled, then end all threads."""
        try:
            self._land(self._context.clock.monotonic())
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
        busy = self._orphans or self._in_flight or self._waiting.hopeful
        return not (busy or self._arrivals.expecting)

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
        if now < self._paused_until_s:
            return self._land(now)
        try:
            if self._orphans or len(self._waiting):
                # Inputs that are being settled are in work/, too: `adopt` and `due` must not take them for waiting.
                self._land(now)
            if self._orphans:
                self._waiting.adopt(now)
                self._orphans = False
            in_flight = sum(len(group) for group, _ in self._in_flight)
            self._arrivals.look(now, open_inputs=len(self._waiting) + in_flight)
            again = self._waiting.due(now)
            self._held.clear()  # the jobs of the turns before are settled, or wait
            fresh = self._arrivals.claim(now, waiting=self._waiting)
        except OSError as fault:
            self._pause(fault, now)
            return False
        self._pause_s = 0.0  # the disk works again: the next fault begins with the shortest pause
        self._hold(now)
        if not (fresh or again):
            return self._land(now)
        self._answer(fresh, now)
        for request in again:
            if not self._hurry():
                self._answer_alone(request, now)
        if self._arrivals.expecting:
            self._settle_meanwhile(now)
        else:
            self._settle(now)
        return True

    def nap_s(self, now: float) -> float:
        """Return how many seconds the loop may sleep after a turn that found nothing to do."""
        first, due = self._arrivals.next_s, self._waiting.next_s
        if due is not None:
            first = min(first, due)
        return min(max(first, self._paused_until_s) - now, LONGEST_NAP_S)

    def _answer(self, requests: list[Request], now: float) -> None:
        left = {request.name: request for request in requests}
        try:
            # Closing the generator drops the results of jobs that are still open.
            with closing(self._pipeline.answer(requests)) as batches:
                for ended in batches:
                    self._heartbeats.beat(LOOP)
                    for job in ended:
                        del left[job.request.name]
                        if job.fault is None:
                            self._settling.add(job)
                        else:
                            self._failed(job.request, job.fault, now, alone=len(requests) == 1)
                    if self._settling.due:
                        if not self._released(left.values(), now):
                            return
                        self._settle_meanwhile(now)
                    if self._hurry():
                        break  # the other inputs stay in work/ for the next start
        except (OSError, AnswerError) as fault:
            for request in left.values():
                self._failed(request, fault, now, alone=len(requests) == 1)
        # The caller settles the rest, and no result may become final before its input has left in/ (`Arrivals.claim`).
        self._released((), now)

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
        """Take the group of finished jobs, without those whose inputs are held."""
        group = self._settling.take()
        if not self._held:
            return group
        for job in group:
            if job.request.name in self._held:
                job.drop()
        return [job for job in group if job.request.name not in self._held]

    def _answer_alone(self, request: Request, now: float) -> None:
        def trial(at: int) -> AbstractContextManager[None]:
            self._heartbeats.beat(LOOP)
            if self._hurry():
                raise _OutOfTimeError
            return self._waiting.trial(request.name, at)

        # Its commit failed once: from now on it fails by itself.
        apart = request.name in self._apart
        if apart:
            self._settle(now)
        try:
            if self._waiting.deadly(request.name):
                self._settling.add(self._settling.poisoned(request, self._model))
            else:
                self._settling.add(self._pipeline.answer_alone(request, trial))
        except _OutOfTimeError:
            return  # it stays in work/ for the next start
        except (OSError, AnswerError) as fault:
            self._failed(request, fault, now, alone=True)
        if apart or self._settling.due:
            self._settle(now)

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
        # With too many groups, wait for the oldest: this bounds open files and memory.
        self._in_flight.append((group, self._settling.start(group)))
        if len(self._in_flight) > SETTLERS:
            self._conclude(self._in_flight.popleft()[1].result(), now)

    def _land(self, now: float) -> bool:
        """Wait until the groups in the settling threads are settled; return whether there were any."""
        landed = bool(self._in_flight)
        while self._in_flight:
            self._conclude(self._in_flight.popleft()[1].result(), now)
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
