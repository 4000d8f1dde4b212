"""Inputs in in/ that cannot be claimed although the machine works: each waits alone, and is tried again now and then.

Such a file is immutable, a mount, in a sticky folder of somebody else, or on a damaged part of the disk.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..backoff import STUCK_AFTER, Backoff
from ..errors import fault_name
from ..files import _calls
from ..log import events
from ..spool import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..context import Context
    from ..log.logger import Log

MOST: Final = 10_000
"""Most inputs that are remembered; of more, the oldest is forgotten, and the next scan finds it anew."""


@dataclass(kw_only=True, slots=True)
class Refusal:
    """An input that could not be claimed.

    Attributes
    ----------
    facts
        What `_calls.look_all` said of it; a change is a reason to try again at once.
    due_s, pause_s
        When it is tried again, monotonic, and the length of the pause that ends then.
    tries
        Refusals in a row.

    """

    facts: tuple[int, ...]
    due_s: float
    pause_s: float
    tries: int

    @property
    def stuck(self) -> bool:
        """Whether it was reported."""
        return self.tries >= STUCK_AFTER


class RefusedInputs:
    """The inputs that could not be claimed.

    Parameters
    ----------
    context
        Of the settings, the retry pauses are used.
    log
        Returns the log that is bound to the model served now.

    """

    def __init__(self, context: Context, *, log: Callable[[], Log]) -> None:
        self._context = context
        self._spool = context.spool
        self._log = log
        self._refused: dict[str, Refusal] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._refused

    @property
    def expecting(self) -> bool:
        """True while there is an input that may yet be claimed without a change."""
        return any(not refusal.stuck for refusal in self._refused.values())

    @property
    def next_s(self) -> float | None:
        """When the next input is due, monotonic; None if there is none."""
        return min((refusal.due_s for refusal in self._refused.values()), default=None)

    def add(self, faults: Mapping[str, OSError], now: float) -> None:
        """Remember inputs that could not be claimed, each with the reason; log it, until it has been said."""
        if not faults:
            return
        backoff = Backoff.of(self._context.settings())
        found = _calls.look_all(self._spool.inbox, faults, leases=False)
        for (name, fault), facts in zip(faults.items(), found, strict=True):
            before = self._refused.pop(name, None)
            pause = backoff.after(before.pause_s if before else 0.0)
            tries = before.tries + 1 if before else 1
            self._refused[name] = Refusal(
                facts=facts, due_s=now + pause, pause_s=pause, tries=tries
            )
            self._say(name, fault, tries, pause)
        while len(self._refused) > MOST:
            self.forget([next(iter(self._refused))])

    def due(self, now: float) -> list[str]:
        """Return the inputs to try again; they stay until they are forgotten or added again."""
        found = [name for name, refusal in self._refused.items() if refusal.due_s <= now]
        for name in found:
            self._refused[name].due_s = float("inf")  # `add` or `forget` follows
        return found

    def hint(self, name: str, now: float) -> None:
        """Note an event: try the input again."""
        self._refused[name].due_s = now

    def look(self, now: float) -> None:
        """Look at each: try those again that have changed, and forget those that are gone."""
        if not self._refused:
            return
        looked = _calls.look_all(self._spool.inbox, self._refused, leases=False)
        for (name, refusal), facts in zip(list(self._refused.items()), looked, strict=True):
            if facts[0] == errno.ENOENT:
                self.forget([name])
            elif facts != refusal.facts:
                refusal.facts, refusal.due_s, refusal.pause_s = facts, now, 0.0

    def rush(self) -> None:
        """Make all due, after a fault that may have kept some from being tried."""
        for refusal in self._refused.values():
            refusal.due_s = 0.0

    def forget(self, settled: Iterable[str]) -> None:
        """Forget inputs that were claimed or are gone."""
        for name in self._known(settled):
            if self._refused.pop(name).stuck:
                self._log().info(events.UNSTUCK, file=names.printable(name))

    def _known(self, some: Iterable[str]) -> Iterator[str]:
        return (name for name in some if name in self._refused) if self._refused else iter(())

    def _say(self, name: str, fault: OSError, tries: int, pause: float) -> None:
        said = {"file": names.printable(name), "code": fault_name(fault), "message": str(fault)}
        if tries < STUCK_AFTER:
            self._log().warning(events.RETRY, **said, retry_in_s=pause)
        elif tries == STUCK_AFTER:
            self._log().warning(events.STUCK, **said)
