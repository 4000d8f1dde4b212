"""A thread that writes the status file and sends the daemon's state to the service manager."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final, Self

from ..files import durable
from ..spool.shards import own
from . import state_files
from .snapshot import line
from .state_files import STATUS_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from ..clock import Clock
    from ..spool.shards import Shard
    from .snapshot import Snapshot
    from .systemd import Notifier

PERIOD_S: Final = 1.0
"""Period in seconds of a turn; the status file is written no more often."""

IDLE_S: Final = 10.0
"""Longest time in seconds between two writes of the status file, even if nothing has changed.

A reader may rely on it: if the file is younger than this, the daemon is alive and the spool is writable.
"""

NOTIFY_S: Final = 5.0
"""Least time in seconds between two status lines for the service manager, unless the state changes."""

EXTEND_S: Final = 30.0
"""Extension in seconds of the service manager's time limit, requested at each turn of a start or a stop."""

_ALWAYS_NEW: Final = frozenset({"written", "disk"})
"""Fields that change even while the daemon does nothing; they alone cause no write."""


class StatusWriter:
    """Writes the daemon's state once a second, from a thread of its own.

    Parameters
    ----------
    snapshot
        The state.
    notifier
        The service manager.
    spool
        Path of the spool.
    clock
        The time.
    shard
        The daemon's shard, which has its own status file; None without shards.

    Raises
    ------
    OSError
        The spool does not exist.

    """

    def __init__(
        self,
        snapshot: Snapshot,
        notifier: Notifier,
        spool: Path,
        clock: Clock,
        *,
        shard: Shard | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._notifier = notifier
        self._folder = os.open(spool, durable.FOLDER_FLAGS)
        self._name = own(STATUS_FILE, shard)
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        # Half the watchdog's period, so that one late turn does not end the daemon.
        self._period_s = min(PERIOD_S, (notifier.watchdog_s or PERIOD_S * 2) / 2)
        self._known: dict[str, Any] = {}
        self._written_s = self._notified_s = self._refreshed_s = float("-inf")
        self._notified = ("", "")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        # The last document says "stopped"; it is written before the spool is unlocked for another daemon.
        self.turn(self._clock.monotonic(), last=True)
        os.close(self._folder)

    def turn(self, now: float, *, last: bool = False) -> None:
        """Send a heartbeat to the service manager, and once a period write and send the state.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        last
            Whether the daemon is ending; the state is then written in any case.

        """
        # Without the heartbeat of a daemon that hangs, the service manager restarts it.
        if not self._snapshot.hanging():
            self._notifier.alive()
            if self._snapshot.starting or self._snapshot.stopping:
                self._notifier.extend(EXTEND_S)
        if now - self._refreshed_s < PERIOD_S and not last:
            return
        self._refreshed_s = now
        self._snapshot.refresh()
        document = self._snapshot.document()
        self._write(document, now, last=last)
        self._notify(document, now)

    def _notify(self, document: dict[str, Any], now: float) -> None:
        state, text = document["state"], line(document)
        due = state != self._notified[0] or now - self._notified_s >= NOTIFY_S
        if (state, text) != self._notified and due:
            self._notifier.status(text)
            self._notified, self._notified_s = (state, text), now

    def _write(self, document: dict[str, Any], now: float, *, last: bool) -> None:
        known = {k: v for k, v in document.items() if k not in _ALWAYS_NEW}
        if known == self._known and now - self._written_s < IDLE_S and not last:
            return
        try:
            state_files.write(self._folder, self._name, document)
        except OSError as fault:
            self._snapshot.write_fault = f"{STATUS_FILE}: {fault.strerror}"
        else:
            self._snapshot.write_fault = None
        self._known, self._written_s = known, now

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self.turn(self._clock.monotonic())
