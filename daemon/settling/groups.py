"""Make finished requests final, in groups that share their rounds of durability, and log each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from ..answering.pipeline import Progress
from ..answering.results import figures
from ..errors import RejectedInputError
from ..files import durable
from ..heartbeats import SETTLING
from ..log import events
from ..spool.commit import PendingCommit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from ..answering.pipeline import Request
    from ..clock import Clock
    from ..heartbeats import Heartbeats
    from ..log.logger import Log
    from ..models.served import ServedModel
    from ..settings import Settings
    from ..spool.commit import Committer
    from ..spool.folder import Spool

    Told = tuple[str, dict[str, Any]]
    """An event's name and fields."""


SETTLERS: Final = 2
"""Groups that are made final at a time: while one waits for the disk, the other one writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What became of a group.

    Attributes
    ----------
    final
        Its requests that are final.
    told
        What is to be told of them (see `Settling.tell`).
    left
        The others: each is in one of the states that `recovery` knows.
    fault
        The disk's, if there are others.

    """

    final: Sequence[Progress]
    told: Sequence[Told]
    left: Sequence[Progress] = ()
    fault: OSError | None = None


class Settling:
    """The finished requests that wait to be made final together, and threads that can do it beside other work.

    While the disk works they do not hold the interpreter's lock, so the next groups are claimed and answered meanwhile.
    Only file operations run in them: the log is written by the caller of `tell`.

    Parameters
    ----------
    spool, committer
        Where they are made final.
    settings
        `group_files` and `linger_s` bound a group.
    clock
        For the latencies.
    log
        Where `request.done` and `request.failed` go.
    hearts
        Where whoever settles gives its signs of life.

    """

    def __init__(
        self,
        *,
        spool: Spool,
        committer: Committer,
        settings: Settings,
        clock: Clock,
        log: Log,
        hearts: Heartbeats,
    ) -> None:
        self._spool = spool
        self._ledger = committer
        self._hearts = hearts
        self._settings = settings
        self._clock = clock
        self._log = log
        self._group: list[Progress] = []
        self._since_s = 0.0
        self._threads = ThreadPoolExecutor(max_workers=SETTLERS, thread_name_prefix="settling")

    def close(self) -> None:
        """End the threads, when they have done what they were given."""
        self._threads.shutdown()

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self._settings = settings

    def add(self, progress: Progress) -> None:
        """Take over a finished request, and its result."""
        if not self._group:
            self._since_s = self._clock.monotonic()
        self._group.append(progress)

    @property
    def due(self) -> bool:
        """True when the group is full or its first request has waited long enough."""
        if not self._group:
            return False
        full = len(self._group) >= self._settings.group_files
        return full or self._clock.monotonic() - self._since_s >= self._settings.linger_s

    def take(self) -> list[Progress]:
        """Close the group; give its requests."""
        group, self._group = self._group, []
        return group

    def start(self, group: Sequence[Progress]) -> Future[Settled]:
        """Settle requests in a thread."""
        return self._threads.submit(self.settle, group)

    def settle(self, group: Sequence[Progress]) -> Settled:
        """Make requests final: results into out/ all together, then the inputs without one into failed/."""
        left = [progress for progress in group if progress.failure is None]
        failed = [(progress, why) for progress in group if (why := progress.failure) is not None]
        final: list[Progress] = []
        told: list[Told] = []
        with self._hearts.busy(SETTLING):
            try:
                if left:
                    told += self._commit(left)
                    final, left = left, []
                for progress, why in failed:
                    told.append(self._quarantine(why, progress))
                    final.append(progress)
            except OSError as fault:
                left += [progress for progress, _ in failed if progress not in final]
                return Settled(final=final, told=told, left=left, fault=fault)
        return Settled(final=final, told=told)

    def tell(self, told: Sequence[Told]) -> None:
        """Log requests that are final."""
        with self._log.together():
            for event, fields in told:
                (self._log.info if event == events.DONE else self._log.warning)(event, **fields)

    def poison(self, request: Request, model: ServedModel) -> None:
        """Put an input aside that keeps ending the daemon; `model` is what would have answered it."""
        failure = RejectedInputError(
            "poison",
            f"{request.attempt} claims ended with the daemon and without a result",
            stage="simulate",
        )
        self.tell([self._quarantine(failure, Progress(request=request, model=model))])

    def _commit(self, group: Sequence[Progress]) -> list[Told]:
        begin = self._clock.monotonic()
        answered = events.timestamp(self._clock.wall())
        summed = list(_figures(group))
        items = []
        for progress, sums in zip(group, summed, strict=True):
            summary = events.summary(progress, figures=sums, answered=answered)
            items.append(
                PendingCommit(
                    name=progress.request.name,
                    sha256=progress.sha256 or "",
                    result=progress.hand_over(),
                    summary=summary,
                )
            )
        results = self._ledger.commit(items)
        seconds, wall = self._clock.monotonic() - begin, self._clock.wall()
        told = []
        for progress, sums, result in zip(group, summed, results, strict=True):
            progress.write_s += seconds
            fields = events.done(progress, figures=sums, result=result, now_s=wall)
            told.append((events.DONE, fields))
        return told

    def _quarantine(self, failure: RejectedInputError, progress: Progress) -> Told:
        name, digest = progress.request.name, progress.sha256
        if digest is None and failure.stage == "simulate":
            digest = durable.digest(self._spool.work, name)
        report = events.report(
            failure, name, progress.model, sha256=digest, attempts=progress.request.attempt
        )
        self._ledger.quarantine(name, report)
        return events.FAILED, events.failed(report)


def _figures(group: Iterable[Progress]) -> Iterator[dict[str, Any]]:
    """Give the figures of each request."""
    for cores, some in groupby(group, key=lambda progress: progress.model.classifier.cores):
        yield from figures([progress.tally for progress in some], cores=cores)
