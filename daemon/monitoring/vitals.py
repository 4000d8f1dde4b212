"""Show a daemon's state to others: one object for heartbeats, service manager, status file and HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from ..heartbeats import LOOP, Heartbeats
from ..spool import names
from ..spool.shards import Shard
from .http_endpoint import Endpoint, address
from .snapshot import Snapshot
from .spool_counts import SpoolCounter
from .status_writer import StatusWriter

if TYPE_CHECKING:
    from ..clock import Clock
    from ..settings import Settings
    from .counters import Counters
    from .systemd import Notifier


class Vitals:
    """Shows the state of the daemon that runs in this thread.

    Parameters
    ----------
    settings
        `spool`, `shard`, `done_marker`, `stall_s`, `http` and `http_public` are used.
    counters
        Counts the events of the daemon's log.
    notifier
        The service manager.
    clock
        The time.

    Attributes
    ----------
    heartbeats
        The heartbeats of the daemon's threads.

    Raises
    ------
    DaemonError
        `http` is not an address, or other machines could reach it without `http_public`.

    """

    def __init__(
        self, settings: Settings, *, counters: Counters, notifier: Notifier, clock: Clock
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._where = address(settings.http, public=settings.http_public) if settings.http else None
        self._stack = ExitStack()
        self._notifier = notifier
        self.heartbeats = Heartbeats(clock.monotonic, limit_s=settings.stall_s)
        self.heartbeats.beat(LOOP)  # the start is part of the loop's work: it must not hang either
        self._snapshot = Snapshot(
            settings.spool,
            counters=counters,
            heartbeats=self.heartbeats,
            spool_counter=SpoolCounter(
                settings.spool,
                clock.monotonic,
                marker=names.MARKER if settings.done_marker else "",
            ),
            clock=clock,
        )

    def __enter__(self) -> Self:
        """Begin to serve HTTP and to write the status file; exit before the spool is unlocked.

        Raises
        ------
        DaemonError
            The address is in use, or is not one of this machine.
        OSError
            The spool cannot be opened.

        """
        with ExitStack() as stack:
            if self._where is not None:
                endpoint = stack.enter_context(Endpoint(self._snapshot, *self._where))
                self._snapshot.http = endpoint.address
            spool = self._settings.spool
            shard = Shard.parse(self._settings.shard)
            stack.enter_context(
                StatusWriter(self._snapshot, self._notifier, spool, self._clock, shard=shard)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ready(self) -> None:
        """Report that the start or a reload is complete."""
        self._notifier.ready()

    def reloading(self) -> None:
        """Report that a reload begins; safe in a signal handler."""
        self._notifier.reloading()

    def stopping(self) -> None:
        """Report that the daemon is stopping; safe in a signal handler."""
        self._snapshot.stopping = True
        self._notifier.stopping()
