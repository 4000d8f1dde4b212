"""Inputs in work/ that wait to be tried (again), each alone, with growing pauses."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from ..backoff import Backoff

if TYPE_CHECKING:
    from ..settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """One waiting input.

    Attributes
    ----------
    due_s
        When to try it, monotonic.
    pause_s
        How long it was made to wait for that.
    arrived_s
        Wall time of its arrival in the inbox.

    """

    due_s: float
    pause_s: float
    arrived_s: float


class Retries:
    """The waiting inputs, in the order in which they came."""

    def __init__(self, pauses: Backoff) -> None:
        self._pauses = pauses
        self._waiting: dict[str, Retry] = {}

    def configure(self, settings: Settings) -> None:
        """Take other pauses, from the next one on."""
        self._pauses = Backoff.of(settings)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, name: object) -> bool:
        return name in self._waiting

    def __getitem__(self, name: str) -> Retry:
        return self._waiting[name]

    def add(self, name: str, *, arrived_s: float, now: float, at_once: bool = False) -> float:
        """Let an input wait; give the pause in seconds (0 with `at_once`)."""
        before = self._waiting.get(name)
        pause = 0.0 if at_once else self._pauses.after(before.pause_s if before else 0.0)
        self._waiting[name] = Retry(due_s=now + pause, pause_s=pause, arrived_s=arrived_s)
        return pause

    def drop(self, name: str) -> None:
        """Forget an input, if it waits."""
        self._waiting.pop(name, None)

    def due(self, now: float, limit: int) -> list[str]:
        """Give at most `limit` inputs whose pause is over, the longest due first; they wait until they are dropped."""
        over = [name for name, retry in self._waiting.items() if retry.due_s <= now]
        # Not in the order in which they came: some that fail again and again would keep the others from their turn.
        return nsmallest(limit, over, key=lambda name: self._waiting[name].due_s)

    def next_s(self) -> float | None:
        """When the next one is due, monotonic; None when none waits."""
        return min((retry.due_s for retry in self._waiting.values()), default=None)
