"""A thread beside the work: it keeps the status file, and tells the service manager that all is well."""

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
"""Seconds between two looks; the status file changes no more often."""

IDLE_S: Final = 10.0
"""The status file is written so often even if there is nothing new: a younger one is true, and the spool writable."""

TELL_S: Final = 5.0
"""Seconds between two lines for the service manager, unless the state changes."""

EXTEND_S: Final = 30.0
"""So much time is asked for, again and again, while a start or a stop goes on."""

_ALWAYS_NEW: Final = frozenset({"written", "disk"})
"""What changes although the daemon does nothing: no reason to write."""


class StatusWriter:
    """Looks at the daemon once a second, from a thread of its own.

    Parameters
    ----------
    overview
        What there is to see.
    notifier
        The service manager.
    spool
        The spool's path.
    clock
        Time.
    shard
        The daemon's share of the spool, which has a status file of its own; None for all.

    Raises
    ------
    OSError
        There is no such spool.

    """

    def __init__(
        self,
        overview: Snapshot,
        notifier: Notifier,
        spool: Path,
        clock: Clock,
        *,
        shard: Shard | None = None,
    ) -> None:
        self._overview = overview
        self._notifier = notifier
        self._folder = os.open(spool, durable.FOLDER_FLAGS)
        self._name = own(STATUS_FILE, shard)
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._period_s = min(PERIOD_S, (notifier.watchdog_s or PERIOD_S * 2) / 2)
        self._known: dict[str, Any] = {}
        self._written_s = self._told_s = self._looked_s = float("-inf")
        self._told = ("", "")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.turn(self._clock.monotonic(), last=True)
        os.close(self._folder)

    def turn(self, now: float, *, last: bool = False) -> None:
        """Look once.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        last
            Whether the daemon has come to its end.

        """
        if not self._overview.hanging():
            self._notifier.alive()
            if self._overview.starting or self._overview.stopping:
                self._notifier.extend(EXTEND_S)
        if now - self._looked_s < PERIOD_S and not last:
            return
        self._looked_s = now
        self._overview.refresh()
        document = self._overview.document()
        self._write(document, now, last=last)
        self._tell(document, now)

    def _tell(self, document: dict[str, Any], now: float) -> None:
        state, said = document["state"], line(document)
        if (state, said) != self._told and (state != self._told[0] or now - self._told_s >= TELL_S):
            self._notifier.status(said)
            self._told, self._told_s = (state, said), now

    def _write(self, document: dict[str, Any], now: float, *, last: bool) -> None:
        known = {k: v for k, v in document.items() if k not in _ALWAYS_NEW}
        if known == self._known and now - self._written_s < IDLE_S and not last:
            return
        try:
            state_files.write(self._folder, self._name, document)
        except OSError as fault:
            self._overview.write_fault = f"{STATUS_FILE}: {fault.strerror}"
        else:
            self._overview.write_fault = None
        self._known, self._written_s = known, now

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self.turn(self._clock.monotonic())
