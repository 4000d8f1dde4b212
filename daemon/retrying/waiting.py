"""Inputs that lie in work/ without being in hand: left by an earlier process or a fault, until they are tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answering.pipeline import Request
from ..backoff import Backoff
from ..errors import AnswerError, fault_name
from ..files import durable
from ..heartbeats import LOOP
from ..log import events
from ..spool import names
from ..spool.recovery import ClaimState, reconcile
from .attempts import Attempts
from .retries import Retries

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from structlog.typing import FilteringBoundLogger

    from ..clock import Clock
    from ..heartbeats import Heartbeats
    from ..settings import Settings
    from ..spool.commit import Committer
    from ..spool.folder import Spool


class Waiting:
    """The inputs that wait in work/, when each is due, and what is held against it.

    Parameters
    ----------
    spool, committer
        Locked, and its final places.
    settings
        `max_attempts`, `group_files` and the pauses.
    clock
        For the arrival of what disappears.
    log
        Where `request.recovered` and `request.retry` go.
    hearts
        Where a recovery gives its signs of life.

    Attributes
    ----------
    log
        As given; may be set to another one.

    """

    def __init__(
        self,
        *,
        spool: Spool,
        committer: Committer,
        settings: Settings,
        clock: Clock,
        log: FilteringBoundLogger,
        hearts: Heartbeats,
    ) -> None:
        self._spool = spool
        self._ledger = committer
        self._settings = settings
        self._clock = clock
        self.log = log
        self._hearts = hearts
        self._attempts = Attempts(spool)
        self._retries = Retries(Backoff.of(settings))

    def configure(self, settings: Settings) -> None:
        """Take other settings; pauses run out as they were set."""
        self._settings = settings
        self._retries.configure(settings)

    def close(self) -> None:
        """Give the descriptor of the record back."""
        self._attempts.close()

    def __len__(self) -> int:
        return len(self._retries)

    def __contains__(self, name: object) -> bool:
        return name in self._retries

    @property
    def next_s(self) -> float | None:
        """When the next one is due, monotonic; None when none waits."""
        return self._retries.next_s()

    def recover(self, now: float) -> list[Request]:
        """Bring what an earlier process left to its end, or let it wait; give those that have ended too many.

        Raises
        ------
        OSError
            The disk.

        """
        states: dict[str, ClaimState] = {}
        for name in durable.listing(self._spool.work):
            self._hearts.beat(LOOP)
            if not name.startswith("."):
                states[name] = reconcile(self._spool, self._ledger, name)
        claims = self._attempts.recover([n for n, state in states.items() if state.unanswered])
        for name, state in states.items():
            self._recovered(name, state, claims.get(name, 0))
        self._spool.sweep(self._clock.wall())
        deadly = []
        # Those that were there least often first: one that kills must not keep the others from their turn.
        for name in sorted(claims, key=claims.__getitem__):
            facts = durable.look(self._spool.work, name)
            arrived = self._clock.wall() if facts is None else facts.st_ctime
            if claims[name] >= self._settings.max_attempts:
                deadly.append(Request(name=name, arrived_s=arrived, attempt=claims[name]))
            else:
                self._retries.add(name, arrived_s=arrived, now=now, at_once=True)
        return deadly

    def adopt(self, now: float) -> None:
        """Take up inputs whose claim was interrupted; nothing may be in hand, so that all others in work/ are such."""
        for name in durable.listing(self._spool.work):
            facts = durable.look(self._spool.work, name)
            if not name.startswith(".") and name not in self._retries and facts is not None:
                self._retries.add(name, arrived_s=facts.st_ctime, now=now, at_once=True)

    def due(self, now: float) -> list[Request]:
        """Give those whose time has come and that are still without an answer; they wait until they are settled.

        Raises
        ------
        OSError
            The disk.

        """
        requests = []
        for name in self._retries.due(now, self._settings.group_files):
            state = reconcile(self._spool, self._ledger, name)
            if state.unanswered:
                arrived = self._retries[name].arrived_s
                attempt = self._attempts.next(name)
                requests.append(Request(name=name, arrived_s=arrived, attempt=attempt))
            else:
                self._ledger.tidy(name)
                self.settled(name)
                self._recovered(name, state, 0)
        return requests

    def again(self, request: Request, fault: OSError | AnswerError, now: float) -> None:
        """Leave an input in work/ and have it tried again later, alone; a fault of the machine is no attempt."""
        code = fault_name(fault) if isinstance(fault, OSError) else "simulator"
        arrived, at_once = request.arrived_s, isinstance(fault, AnswerError)
        pause = self._retries.add(request.name, arrived_s=arrived, now=now, at_once=at_once)
        self.log.warning(
            events.RETRY,
            file=names.printable(request.name),
            code=code,
            message=str(fault),
            retry_in_s=pause,
        )

    def accuse(self, name: str) -> bool:
        """Count a failure of the simulator against an input; True when that was the last that it may have."""
        return self._attempts.failed(name) >= self._settings.max_attempts

    def trial(self, name: str, at: int) -> AbstractContextManager[None]:
        """Hold the end of the process in here against an input (see `Attempts.trial`)."""
        return self._attempts.trial(name, at)

    def settled(self, *final: str) -> None:
        """Forget inputs that are final."""
        for name in final:
            self._retries.drop(name)
        self._attempts.forget(*final)

    def _recovered(self, name: str, state: ClaimState, attempts: int) -> None:
        if state is not ClaimState.GONE:
            file = names.printable(name)
            self.log.info(events.RECOVERED, file=file, state=str(state), attempts=attempts)
