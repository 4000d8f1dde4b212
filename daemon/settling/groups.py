"""Make finished jobs final, in groups that share their syncs, and log each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from ..answering.input_file import REPORT_DIGEST_BYTES
from ..answering.request import Job
from ..answering.results import figures
from ..errors import AnswerError, RejectedInputError
from ..files import durable
from ..heartbeats import SETTLING
from ..log import events
from . import fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from ..answering.request import Request
    from ..context import Context
    from ..models.served import ServedModel

    Event = tuple[str, dict[str, Any]]
    """Name and fields."""

    Fault = OSError | AnswerError


SETTLERS: Final = 2
"""Groups that are settled at a time: while one waits for the disk, the other one writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """The outcome of settling a group.

    Attributes
    ----------
    final
        Its jobs that are final.
    events
        The events to log of those (see `Settling.log_events`).
    left
        Its other jobs, each with the fault that left it; their inputs are in one of the states that `recovery` knows.

    """

    final: Sequence[Job]
    events: Sequence[Event]
    left: Sequence[tuple[Job, Fault]] = ()


class Settling:
    """Collects finished jobs and settles them in groups, in its own threads or in the caller's.

    A thread that waits for the disk does not hold the GIL, so the loop claims and answers the next groups meanwhile.
    The threads only work on files; the caller logs the events that they return, so that the log has one writer.

    Parameters
    ----------
    context
        Of the settings, `group_files` and `linger_s` bound a group.

    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clock = context.clock
        self._group: list[Job] = []
        self._since_s = 0.0
        self._threads = ThreadPoolExecutor(max_workers=SETTLERS, thread_name_prefix="settling")

    def close(self) -> None:
        """End the threads, after they have settled their groups."""
        self._threads.shutdown()

    def add(self, job: Job) -> None:
        """Add a finished job, and take over its result."""
        if not self._group:
            self._since_s = self._clock.monotonic()
        self._group.append(job)

    @property
    def names(self) -> list[str]:
        """Names of the inputs of the group."""
        return [job.request.name for job in self._group]

    @property
    def due(self) -> bool:
        """True when the group is full or its first job has waited for `linger_s`."""
        if not self._group:
            return False
        settings = self._context.settings()
        full = len(self._group) >= settings.group_files
        return full or self._clock.monotonic() - self._since_s >= settings.linger_s

    def take(self) -> list[Job]:
        """Return the group's jobs, and begin a new group."""
        group, self._group = self._group, []
        return group

    def start(self, group: Sequence[Job]) -> Future[Settled]:
        """Settle a group in a thread."""
        return self._threads.submit(self.settle, group)

    def settle(self, group: Sequence[Job]) -> Settled:
        """Make jobs final: commit all results together, then move inputs that failed to failed/, one by one.

        A fault of one of these steps leaves the others final.
        """
        answered = [job for job in group if job.failure is None]
        failed = [[job] for job in group if job.failure is not None]
        final: list[Job] = []
        logged: list[Event] = []
        left: list[tuple[Job, Fault]] = []
        fault: Fault | None = None
        with self._context.heartbeats.busy(SETTLING):
            for some in [answered, *failed] if answered else failed:
                # After a failed sync nothing more is tried: the disk does not keep what it is given.
                if not isinstance(fault, durable.SyncError):
                    fault = self._settled(some, logged)
                if fault is None:
                    final += some
                else:
                    left += [(job, fault) for job in some]
        return Settled(final=final, events=logged, left=left)

    def _settled(self, jobs: Sequence[Job], logged: list[Event]) -> Fault | None:
        """Commit results, or quarantine one input; add the events to log, or return the fault."""
        failure = jobs[0].failure
        try:
            if failure is None:
                logged += self._commit(jobs)
            else:
                logged.append(self._quarantine(failure, jobs[0]))
        except OSError as fault:
            return fault
        except Exception as e:  # noqa: BLE001 - whatever it is, it must not end the daemon
            return AnswerError(f"{type(e).__name__}: {e}", stage="settle")
        return None

    def log_events(self, logged: Sequence[Event]) -> None:
        """Log the events of final jobs."""
        log = self._context.log
        with log.together():
            for event, values in logged:
                (log.info if event == events.DONE else log.warning)(event, **values)

    def poisoned(self, request: Request, model: ServedModel) -> Job:
        """Return the job of an input that keeps ending the daemon; `model` is the one that would have answered it."""
        deaths = request.attempt - 1
        failure = RejectedInputError(
            "poison", f"the daemon ended during {deaths} attempts to answer it", stage="simulate"
        )
        return Job(request=replace(request, attempt=deaths), model=model, failure=failure)

    def _commit(self, group: Sequence[Job]) -> list[Event]:
        begin = self._clock.monotonic()
        answered = events.timestamp(self._clock.wall())
        summed = list(_figures(group))
        results = self._context.committer.commit(
            [(job.request.name, job.sha256 or "") for job in group],
            [job.hand_over() for job in group],  # `commit` closes them, also after a fault
            [
                fields.summary(job, figures=sums, answered=answered)
                for job, sums in zip(group, summed, strict=True)
            ],
        )
        seconds, wall = self._clock.monotonic() - begin, self._clock.wall()
        logged = []
        for job, sums, result in zip(group, summed, results, strict=True):
            job.write_s += seconds
            logged.append((events.DONE, fields.done(job, figures=sums, result=result, now_s=wall)))
        return logged

    def _quarantine(self, failure: RejectedInputError, job: Job) -> Event:
        name, digest = job.request.name, job.sha256
        # An input on which the simulator failed may not have been read to its end.
        if digest is None and failure.stage == "simulate":
            digest = durable.digest(self._context.spool.work, name, most=REPORT_DIGEST_BYTES)
        report = fields.report(failure, job, sha256=digest)
        self._context.committer.quarantine(name, report)
        return events.FAILED, fields.failed(report)


def _figures(group: Iterable[Job]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each job; adjacent jobs with equal numbers of cores are computed together."""
    for cores, some in groupby(group, key=lambda job: job.model.classifier.cores):
        yield from figures([job.tally for job in some], cores=cores)
