"""What others can see of a running daemon, in one piece: signs of life, service manager, status file, HTTP."""

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
    """Tells others how the daemon is that runs in this thread.

    Parameters
    ----------
    settings
        `spool`, `shard`, `done_marker`, `stall_s`, `http` and `http_public`.
    observed
        What listens to the daemon's log.
    notifier
        The service manager.
    clock
        Time.

    Attributes
    ----------
    hearts
        Where the threads give their signs of life.

    Raises
    ------
    DaemonError
        The address for HTTP is none, or reaches further than it may.

    """

    def __init__(
        self, settings: Settings, *, observed: Counters, notifier: Notifier, clock: Clock
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._where = address(settings.http, public=settings.http_public) if settings.http else None
        self._stack = ExitStack()
        self._notifier = notifier
        self.hearts = Heartbeats(clock.monotonic, limit_s=settings.stall_s)
        self.hearts.beat(LOOP)
        self._overview = Snapshot(
            settings.spool,
            observed=observed,
            hearts=self.hearts,
            census=SpoolCounter(
                settings.spool,
                clock.monotonic,
                marker=names.MARKER if settings.done_marker else "",
            ),
            clock=clock,
        )

    def __enter__(self) -> Self:
        """Begin to serve HTTP and to keep the status file; leave while the spool is still locked.

        Raises
        ------
        DaemonError
            The address is in use, or not this machine's.
        OSError
            The spool cannot be opened.

        """
        with ExitStack() as stack:
            if self._where is not None:
                endpoint = stack.enter_context(Endpoint(self._overview, *self._where))
                self._overview.http = endpoint.address
            spool = self._settings.spool
            shard = Shard.parse(self._settings.shard)
            stack.enter_context(
                StatusWriter(self._overview, self._notifier, spool, self._clock, shard=shard)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ready(self) -> None:
        """Say that the start or a reload is over."""
        self._notifier.ready()

    def reloading(self) -> None:
        """Say that a reload begins; safe in a signal handler."""
        self._notifier.reloading()

    def stopping(self) -> None:
        """Say that nothing more is claimed; safe in a signal handler."""
        self._overview.stopping = True
        self._notifier.stopping()
