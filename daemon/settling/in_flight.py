"""Groups of jobs that threads are settling while the loop goes on."""

from __future__ import annotations

from collections import deque
from concurrent.futures import wait
from typing import TYPE_CHECKING, Final

from .groups import SETTLERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from ..answering.request import Job
    from .groups import Settled, Settling

LAND_S: Final = 0.01
"""Seconds that a turn with nothing else to do waits for a large input that is being settled."""


class InFlight:
    """Groups that are being settled, the oldest first.

    Parameters
    ----------
    settling
        Settles them.

    """

    def __init__(self, settling: Settling) -> None:
        self._settling = settling
        self._groups: deque[tuple[Sequence[Job], Future[Settled]]] = deque()

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def names(self) -> list[str]:
        """Names of the inputs."""
        return [job.request.name for group, _ in self._groups for job in group]

    @property
    def too_many(self) -> bool:
        """Whether the oldest must be waited for before another is started: this bounds open files and memory."""
        return len(self._groups) > SETTLERS

    def start(self, group: Sequence[Job]) -> None:
        """Settle a group in a thread."""
        self._groups.append((group, self._settling.start(group)))

    def take(self, patience_s: float | None = None) -> Settled | None:
        """Wait for the oldest group, at most so many seconds; return its outcome, or None."""
        if not self._groups or not wait([self._groups[0][1]], patience_s).done:
            return None
        return self._groups.popleft()[1].result()
