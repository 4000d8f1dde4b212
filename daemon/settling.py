"""Make finished requests final, in groups that share their rounds of durability, and log each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import durable, events
from .errors import InputError
from .ledger import Written
from .pipeline import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

    from .clock import Clock
    from .ledger import Ledger
    from .model import ServedModel
    from .pipeline import Request
    from .settings import Settings
    from .spool import Spool


class Settling:
    """The finished requests that wait to be made final together.

    Parameters
    ----------
    spool, ledger
        Where they are made final.
    settings
        `group_files` and `linger_s` bound a group.
    clock
        For the latencies.
    log
        Where `request.done` and `request.failed` go.

    """

    def __init__(
        self,
        *,
        spool: Spool,
        ledger: Ledger,
        settings: Settings,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._log = log
        self._group: list[Progress] = []
        self._since_s = 0.0

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self._settings = settings

    def add(self, progress: Progress) -> None:
        """Take over a finished request, and its result's descriptor."""
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

    def settle(self, group: Sequence[Progress]) -> None:
        """Make requests final: results into out/, or the inputs into failed/.

        Raises
        ------
        OSError
            The disk; each of the group is then in one of the states that `recovery` knows.

        """
        written = [progress for progress in group if progress.failure is None]
        if written:
            self._commit(written)
        for progress in group:
            if progress.failure is not None:
                self._quarantine(progress.request.name, progress.failure, progress)

    def poison(self, request: Request, model: ServedModel) -> None:
        """Put an input aside that keeps ending the daemon; `model` is what would have answered it."""
        failure = InputError(
            "poison",
            f"{request.attempt} claims ended with the daemon and without a result",
            stage="simulate",
        )
        self._quarantine(request.name, failure, Progress(request=request, model=model))

    def _commit(self, group: Sequence[Progress]) -> None:
        begin, wall = self._clock.monotonic(), self._clock.wall()
        figures = [
            progress.tally.figures(cores=progress.model.classifier.cores) for progress in group
        ]
        items = []
        for progress, sums in zip(group, figures, strict=True):
            summary = events.summary(progress, figures=sums, now_s=wall)
            items.append(
                Written(
                    name=progress.request.name,
                    sha256=progress.sha256 or "",
                    fd=progress.hand_over(),
                    summary=summary,
                )
            )
        results = self._ledger.commit(items)
        seconds, wall = self._clock.monotonic() - begin, self._clock.wall()
        for progress, sums, result in zip(group, figures, results, strict=True):
            progress.write_s += seconds
            fields = events.done(progress, figures=sums, result=result, now_s=wall)
            self._log.info(events.DONE, **fields)

    def _quarantine(self, name: str, failure: InputError, progress: Progress) -> None:
        digest = progress.sha256
        if digest is None and failure.stage == "simulate":
            digest = durable.digest(self._spool.work, name)
        report = events.report(
            failure, name, progress.model, sha256=digest, attempts=progress.request.attempt
        )
        self._ledger.quarantine(name, report)
        self._log.warning(events.FAILED, **events.failed(report))
