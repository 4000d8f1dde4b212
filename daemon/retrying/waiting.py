"""The inputs that wait in work/ for another attempt, because an earlier process or a fault left them there.

Each is answered alone; after every fault of the machine, the pause before its next attempt grows.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from ..answering.request import Request
from ..backoff import STUCK_AFTER, Backoff
from ..errors import AnswerError, fault_name
from ..files import durable
from ..heartbeats import LOOP
from ..log import events
from ..spool import machine, names
from ..spool.recovery import ClaimState, reconcile
from .attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Container
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
    tries
        Faults in a row that were the input's own: the machine worked.

    """

    due_s: float
    pause_s: float
    arrived_s: float
    tries: int = 0

    @property
    def stuck(self) -> bool:
        """Whether it was reported, as an input that does not get on."""
        return self.tries >= STUCK_AFTER


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
        self._judged: tuple[OSError | None, bool] = None, True

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

    @property
    def hopeful(self) -> bool:
        """True while an input waits that is not stuck."""
        return any(not retry.stuck for retry in self._retries.values())

    def recover(self, now: float) -> None:
        """Complete the steps that an earlier process left half done, and add the inputs that have no answer.

        Raises
        ------
        OSError
            The disk.

        """
        states: dict[str, ClaimState] = {}
        faults: dict[str, OSError] = {}
        for name in durable.listing(self._spool.work):
            self._context.heartbeats.beat(LOOP)
            if not name.startswith("."):
                found = self._reconcile(name)
                if isinstance(found, OSError):
                    faults[name] = found
                else:
                    states[name] = found
        open_inputs = [n for n, state in states.items() if state.unanswered]
        claims = self._attempts.recover([*open_inputs, *faults])
        for name, state in states.items():
            self._log_recovered(name, state, claims.get(name, 0))
        wall = self._context.clock.wall
        self._spool.sweep(wall())
        machine.tidy(self._spool)
        most = self._context.settings().max_attempts
        self._deadly = {name for name, count in claims.items() if count >= most}
        # Those with the fewest claims first: an input that kills the process must not keep others from being tried.
        for name in sorted(claims, key=claims.__getitem__):
            arrived = self._claimed_s(name)
            if name in faults:
                self.again(Request(name=name, arrived_s=arrived), faults[name], now)
            else:
                self._add(name, arrived_s=arrived, now=now, at_once=True)

    def adopt(self, now: float, *, busy: Container[str]) -> None:
        """Add all inputs in work/, after a fault has interrupted claims, except those that are in progress, `busy`."""
        for name in durable.listing(self._spool.work):
            known = name in self._retries or name in busy
            if not name.startswith(".") and not known:
                self._add(name, arrived_s=self._claimed_s(name), now=now, at_once=True)

    def due(self, now: float, *, busy: Container[str]) -> list[Request]:
        """Return inputs that are due and have no answer yet, at most `group_files`; they wait until they are settled.

        Those that are in progress, `busy`, are not returned again.

        Raises
        ------
        OSError
            The disk.

        """
        requests = []
        for name in self._due_names(now, busy):
            # A fault may have come after the commit, or somebody may have removed the input.
            state = self._reconcile(name)
            arrived = self._retries[name].arrived_s
            if isinstance(state, OSError):
                self.again(Request(name=name, arrived_s=arrived), state, now)
            elif state.unanswered:
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
        before = self._retries.get(request.name)
        at_once = isinstance(fault, AnswerError) and before is None
        tries = before.tries if before else 0
        if tries < STUCK_AFTER:
            tries = tries + 1 if self._is_its_own(fault) else 0
        pause = self._add(
            request.name, arrived_s=request.arrived_s, now=now, at_once=at_once, tries=tries
        )
        said = {"file": names.printable(request.name), "code": code, "message": str(fault)}
        if tries < STUCK_AFTER:
            self._log().warning(events.RETRY, **said, retry_in_s=pause)
        elif before is None or not before.stuck:
            self._log().warning(events.STUCK, **said)

    def accuse(self, name: str) -> bool:
        """Count a failure of the simulator against an input; return whether it has used up its attempts."""
        return self._attempts.failed(name) >= self._context.settings().max_attempts

    def trial(self, name: str, at: int) -> AbstractContextManager[None]:
        """Count a death of the process inside this block against an input (see `Attempts.trial`)."""
        return self._attempts.trial(name, at)

    def settled(self, *final: str) -> None:
        """Forget inputs that have a result or are quarantined."""
        for name in final:
            retry = self._retries.pop(name, None)
            if retry is not None and retry.stuck:
                self._log().info(events.UNSTUCK, file=names.printable(name))
            self._deadly.discard(name)
        self._attempts.forget(*final)

    def _reconcile(self, name: str) -> ClaimState | OSError:
        """Complete an interrupted step of an input; return its fault if the machine is not to blame."""
        hearts = self._context.heartbeats
        try:
            return reconcile(
                self._spool,
                self._context.committer,
                name,
                most_bytes=self._context.settings().most_file_bytes,
                beat=lambda: hearts.beat(LOOP),
            )
        except durable.SyncError:
            raise
        except OSError as fault:
            machine.check(self._spool)
            return fault

    def _is_its_own(self, fault: OSError | AnswerError) -> bool:
        """Return whether a fault, which several inputs may share, is not the machine's.

        What reading and simulating raise does not count here: the attempts are counted, and end in failed/.
        """
        if isinstance(fault, AnswerError):
            return fault.stage == "settle"
        if fault is not self._judged[0]:
            bad = isinstance(fault, durable.SyncError) or not machine.works(self._spool)
            self._judged = fault, not bad
        return self._judged[1]

    def _claimed_s(self, name: str) -> float:
        """Return the wall time of an input's claim, when its inode changed; that of its arrival is not kept."""
        with suppress(OSError):
            if (facts := durable.look(self._spool.work, name)) is not None:
                return facts.st_ctime
        return self._context.clock.wall()

    def _add(
        self, name: str, *, arrived_s: float, now: float, at_once: bool = False, tries: int = 0
    ) -> float:
        """Add an input; return its pause in seconds (0 with `at_once`)."""
        pause = 0.0
        if not at_once:
            before = self._retries.get(name)
            backoff = Backoff.of(self._context.settings())
            pause = backoff.after(before.pause_s if before else 0.0)
        self._retries[name] = Retry(
            due_s=now + pause, pause_s=pause, arrived_s=arrived_s, tries=tries
        )
        return pause

    def _due_names(self, now: float, busy: Container[str]) -> list[str]:
        retries = self._retries.items()
        due = [name for name, retry in retries if retry.due_s <= now and name not in busy]
        # The longest due first.  In the order of arrival, inputs that fail every time would keep the others out.
        most = self._context.settings().group_files
        return nsmallest(most, due, key=lambda name: self._retries[name].due_s)

    def _log_recovered(self, name: str, state: ClaimState, attempts: int) -> None:
        if state is not ClaimState.GONE:
            file = names.printable(name)
            self._log().info(events.RECOVERED, file=file, state=str(state), attempts=attempts)
