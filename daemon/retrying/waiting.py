"""The inputs that wait in work/ for another attempt, because an earlier process or a fault left them there.

Each is answered alone; after every fault of the machine, the pause before its next attempt grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from ..answering.request import Request
from ..backoff import Backoff
from ..errors import AnswerError, fault_name
from ..files import durable
from ..heartbeats import LOOP
from ..log import events
from ..spool import names
from ..spool.recovery import ClaimState, reconcile
from .attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ..context import Context
    from ..log.logger import Log


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When an input is tried again.

    Attributes
    ----------
    due_s
        When it is due, monotonic.
    pause_s
        Length of the pause that ends then.
    arrived_s
        Wall time of its arrival in in/.

    """

    due_s: float
    pause_s: float
    arrived_s: float


class Waiting:
    """The inputs that wait in work/: when each is due, and how often each has failed.

    A reload changes only the pauses that begin after it.

    Parameters
    ----------
    context
        Of the settings, `max_attempts`, `group_files` and the retry pauses are used.
    log
        Returns the log that is bound to the model served now.

    """

    def __init__(self, context: Context, *, log: Callable[[], Log]) -> None:
        self._context = context
        self._spool = context.spool
        self._log = log
        self._attempts = Attempts(context.spool)
        self._retries: dict[str, Retry] = {}
        self._deadly: set[str] = set()

    def close(self) -> None:
        """Close the record of attempts."""
        self._attempts.close()

    def __len__(self) -> int:
        return len(self._retries)

    def __contains__(self, name: object) -> bool:
        return name in self._retries

    @property
    def next_s(self) -> float | None:
        """When the next input is due, monotonic; None if none waits."""
        return min((retry.due_s for retry in self._retries.values()), default=None)

    def deadly(self, name: str) -> bool:
        """Return whether an input must be quarantined: the process died during `max_attempts` of its claims."""
        return name in self._deadly

    def recover(self, now: float) -> None:
        """Complete the steps that an earlier process left half done, and add the inputs that have no answer.

        Raises
        ------
        OSError
            The disk.

        """
        states: dict[str, ClaimState] = {}
        for name in durable.listing(self._spool.work):
            self._context.heartbeats.beat(LOOP)
            if not name.startswith("."):
                states[name] = self._reconcile(name)
        claims = self._attempts.recover([n for n, state in states.items() if state.unanswered])
        for name, state in states.items():
            self._log_recovered(name, state, claims.get(name, 0))
        wall = self._context.clock.wall
        self._spool.sweep(wall())
        most = self._context.settings().max_attempts
        self._deadly = {name for name, count in claims.items() if count >= most}
        # Those with the fewest claims first: an input that kills the process must not keep others from being tried.
        for name in sorted(claims, key=claims.__getitem__):
            # A link changes the inode's change time, so this is the time of the claim: the arrival itself is not kept.
            facts = durable.look(self._spool.work, name)
            arrived = wall() if facts is None else facts.st_ctime
            self._add(name, arrived_s=arrived, now=now, at_once=True)

    def adopt(self, now: float) -> None:
        """Add all inputs in work/, after a fault has interrupted claims; none of them may be in progress."""
        for name in durable.listing(self._spool.work):
            facts = durable.look(self._spool.work, name)
            if not name.startswith(".") and name not in self._retries and facts is not None:
                self._add(name, arrived_s=facts.st_ctime, now=now, at_once=True)

    def due(self, now: float) -> list[Request]:
        """Return inputs that are due and have no answer yet, at most `group_files`; they wait until they are settled.

        Raises
        ------
        OSError
            The disk.

        """
        requests = []
        for name in self._due_names(now):
            # A fault may have come after the commit, or somebody may have removed the input.
            state = self._reconcile(name)
            if state.unanswered:
                arrived = self._retries[name].arrived_s
                attempt = self._attempts.next(name)
                requests.append(Request(name=name, arrived_s=arrived, attempt=attempt))
            else:
                self._context.committer.tidy(name)
                self.settled(name)
                self._log_recovered(name, state, 0)
        return requests

    def again(self, request: Request, fault: OSError | AnswerError, now: float) -> None:
        """Leave an input in work/ to be tried again alone: after a pause, or at once after its first `AnswerError`."""
        code = fault_name(fault) if isinstance(fault, OSError) else fault.code
        at_once = isinstance(fault, AnswerError) and request.name not in self._retries
        pause = self._add(request.name, arrived_s=request.arrived_s, now=now, at_once=at_once)
        self._log().warning(
            events.RETRY,
            file=names.printable(request.name),
            code=code,
            message=str(fault),
            retry_in_s=pause,
        )

    def accuse(self, name: str) -> bool:
        """Count a failure of the simulator against an input; return whether it has used up its attempts."""
        return self._attempts.failed(name) >= self._context.settings().max_attempts

    def trial(self, name: str, at: int) -> AbstractContextManager[None]:
        """Count a death of the process inside this block against an input (see `Attempts.trial`)."""
        return self._attempts.trial(name, at)

    def settled(self, *final: str) -> None:
        """Forget inputs that have a result or are quarantined."""
        for name in final:
            self._retries.pop(name, None)
            self._deadly.discard(name)
        self._attempts.forget(*final)

    def _reconcile(self, name: str) -> ClaimState:
        hearts = self._context.heartbeats
        return reconcile(
            self._spool,
            self._context.committer,
            name,
            most_bytes=self._context.settings().most_file_bytes,
            beat=lambda: hearts.beat(LOOP),
        )

    def _add(self, name: str, *, arrived_s: float, now: float, at_once: bool = False) -> float:
        """Add an input; return its pause in seconds (0 with `at_once`)."""
        pause = 0.0
        if not at_once:
            before = self._retries.get(name)
            backoff = Backoff.of(self._context.settings())
            pause = backoff.after(before.pause_s if before else 0.0)
        self._retries[name] = Retry(due_s=now + pause, pause_s=pause, arrived_s=arrived_s)
        return pause

    def _due_names(self, now: float) -> list[str]:
        due = [name for name, retry in self._retries.items() if retry.due_s <= now]
        # The longest due first.  In the order of arrival, inputs that fail every time would keep the others out.
        most = self._context.settings().group_files
        return nsmallest(most, due, key=lambda name: self._retries[name].due_s)

    def _log_recovered(self, name: str, state: ClaimState, attempts: int) -> None:
        if state is not ClaimState.GONE:
            file = names.printable(name)
            self._log().info(events.RECOVERED, file=file, state=str(state), attempts=attempts)
