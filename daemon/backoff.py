"""Back-off: pauses that double with every failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from .settings import Settings


STUCK_AFTER: Final = 3
"""Faults of its own in a row after which an input counts as stuck: it is still tried, but no longer waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Pauses that double from `first_s` to at most `last_s` seconds."""

    first_s: float
    last_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the pauses that `retry_first_s` and `retry_last_s` set."""
        return cls(first_s=settings.retry_first_s, last_s=settings.retry_last_s)

    def after(self, pause_s: float) -> float:
        """Return the pause in seconds that follows one of `pause_s`; 0 for the first."""
        return min(max(pause_s * 2, self.first_s), self.last_s)
