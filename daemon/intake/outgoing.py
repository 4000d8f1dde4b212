"""How many results may wait in out/ until somebody fetches them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..log import events
from ..spool import names

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from ..settings import Settings
    from ..spool.folder import Spool

COUNT_S: Final = 1.0
"""Seconds between two counts; what is claimed meanwhile is taken off what the last one left."""

RESUME: Final = 0.9
"""Claiming begins again when so much of the limit is left in out/."""


class OutGuard:
    """Says how many inputs may be claimed before out/ holds `max_out_files` results, and logs when that changes."""

    def __init__(self, spool: Spool, settings: Settings, log: FilteringBoundLogger) -> None:
        self._spool = spool
        self._log = log
        self._full = False
        self._left = 0
        self._due_s = 0.0
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take another limit, from the next look on."""
        self._most = settings.max_out_files
        self._due_s = 0.0

    @property
    def room(self) -> bool:
        """Whether anything may be claimed."""
        return not self._most or (not self._full and self._left > 0)

    def limit(self, claims: int) -> int:
        """Give how many of so many claims are allowed."""
        return min(claims, self._left) if self._most else claims

    def claimed(self, claims: int) -> None:
        """Take note of claims: each becomes a result that no count has seen yet."""
        self._left -= claims

    def check(self, now: float, *, in_hand: int) -> None:
        """Count results, if the last count is old; `in_hand` inputs will become results too."""
        if now < self._due_s or not (self._most or self._full):
            return
        self._due_s = now + COUNT_S
        results = self._count() if self._most else 0
        self._left = self._most - results - in_hand
        full = bool(self._most) and results >= self._most * (RESUME if self._full else 1.0)
        if full == self._full:
            return
        self._full = full
        say = self._log.error if full else self._log.info
        say(events.OUT_FULL if full else events.OUT_OK, results=results, max_out_files=self._most)

    def _count(self) -> int:
        count = 0
        with os.scandir(self._spool.out) as entries:
            for entry in entries:
                count += entry.name.endswith(names.RESULT)
                if count == self._most:  # more says nothing more
                    break
        return count
