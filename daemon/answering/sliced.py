"""The inputs that are answered in slices, one after the other, so that others need not wait for their end.

These are large inputs, and those that are tried again alone.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ..spool import names

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from .request import Job, Request

    Steps = Generator[Job | None, None, None]
    """A request that is being answered: yields None after each batch, and at last its job."""


LARGE_BYTES: Final = 1 << 18
"""Size from which an input is answered in slices: about 5,000 questions, a tenth of a second."""

LARGE_PACKED_BYTES: Final = 1 << 16
"""The same for a compressed input."""


SLICE_S: Final = 0.02
"""Seconds in each turn for the inputs that are answered in slices; the last batch may exceed them."""

MOST_LARGE: Final = 16
"""Large inputs that are claimed and wait for their turn; the others stay in in/."""


def is_large(request: Request) -> bool:
    """Return whether a fresh request is answered in slices from its beginning."""
    packed = names.packing(request.name) is not None
    return request.size >= (LARGE_PACKED_BYTES if packed else LARGE_BYTES)


class Sliced:
    """A queue of requests, of which the first is being answered."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Request, Callable[[Request], Steps]]] = deque()
        self._names: set[str] = set()
        self._steps: Steps | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def names(self) -> set[str]:
        """Names of the requests."""
        return self._names

    @property
    def first(self) -> Request:
        """The request that `step` works on; there must be one."""
        return self._queue[0][0]

    def add(self, requests: Iterable[Request], begin: Callable[[Request], Steps]) -> None:
        """Add requests, each of which `begin` begins to answer when all before it have been answered."""
        for request in requests:
            self._queue.append((request, begin))
            self._names.add(request.name)

    def step(self) -> Job | None:
        """Answer a batch of the first request; at its end, return its job and forget the request.

        Raises
        ------
        OSError, AnswerError
            As `Pipeline.answer`; the request is forgotten.

        """
        request, begin = self._queue[0]
        try:
            if self._steps is None:
                self._steps = begin(request)
            job = next(self._steps)
        except BaseException:
            self._forget_first()
            raise
        if job is not None:
            self._forget_first()
        return job

    def clear(self) -> None:
        """Drop the unfinished result, and forget all requests: their inputs stay in work/."""
        while self._queue:
            self._forget_first()

    def _forget_first(self) -> None:
        steps, self._steps = self._steps, None
        self._names.discard(self._queue.popleft()[0].name)
        if steps is not None:
            steps.close()
