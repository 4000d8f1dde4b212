"""Find inputs that have arrived, and claim them while there is room."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from . import durable, events, names
from .guards import MissedEvents, RoomGuard, WatchGuard
from .inbox import Inbox, leases_work
from .outgoing import OutGuard
from .pipeline import Request

if TYPE_CHECKING:
    from collections.abc import Container
    from concurrent.futures import Future

    from structlog.typing import FilteringBoundLogger

    from .ledger import Ledger
    from .settings import Settings
    from .spool import Spool
    from .watch import Watching

BLIND_SCAN_S: Final = 0.25
"""Longest time in seconds between two scans while file events do not come."""


class Arrivals:
    """What comes into in/, from the hint of a watcher or the find of a scan to the name in work/.

    Parameters
    ----------
    spool, ledger
        Locked, and its final places.
    settings
        See `Settings`.
    watcher
        Source of hints.
    log
        Where events go.

    Attributes
    ----------
    log
        Where those that name the model go.

    """

    def __init__(
        self,
        *,
        spool: Spool,
        ledger: Ledger,
        settings: Settings,
        watcher: Watching,
        log: FilteringBoundLogger,
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._settings = settings
        self._watcher = watcher
        self.log = log
        self._room = RoomGuard(spool, settings, log)
        self._outs = OutGuard(spool, settings, log)
        self._watch = WatchGuard(spool, watcher, log)
        self._missed = MissedEvents()
        self._inbox = Inbox(
            spool,
            settle_s=settings.settle_s,
            empty_grace_s=settings.empty_grace_s,
            leases=not settings.network_fs and leases_work(spool),
        )
        self._scan_due_s = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="claiming")
        self._releasing: Future[None] | None = None

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self._settings = settings
        for part in (self._inbox, self._room, self._outs):
            part.configure(settings)

    def start(self, now: float) -> None:
        """Start to watch, then scan, so that no file falls between the two."""
        self._watch.start(now)
        self._room.check()
        self._seen(self._inbox.scan(now), by="scan")
        self._scan_due_s = now + self._settings.scan_s

    def stop(self) -> None:
        """Stop watching, when what was claimed has left in/."""
        self._watch.stop()
        self._thread.shutdown()

    @property
    def expecting(self) -> bool:
        """True while there are names that will be ready without anybody doing anything."""
        return self._inbox.expecting

    @property
    def next_s(self) -> float:
        """When there is something to look at, monotonic."""
        look = self._inbox.next_look_s() if self._may_claim else None
        return self._scan_due_s if look is None else min(self._scan_due_s, look)

    @property
    def _may_claim(self) -> bool:
        return self._room.room and self._outs.room

    def look(self, now: float, *, in_hand: int) -> None:
        """Take hints, and scan when it is time; `in_hand` inputs are on their way to out/.

        Raises
        ------
        SpoolLostError
            Another spool has taken the place of this one.
        OSError
            The disk.

        """
        self.release()
        seen, lost = self._watcher.take()
        self._watch.heard(seen, now, lost=lost)
        self._missed.told(seen)
        self._seen(self._inbox.hint(seen, now), by="event")
        if lost:
            self.log.warning(events.WATCH_OVERFLOW)
        self._outs.check(now, in_hand=in_hand)
        backlog_on_disk = self._inbox.full and self._inbox.next_look_s() is None
        if lost or backlog_on_disk or now >= self._scan_due_s:
            self._room.check()
            if self._watch.check(now):
                self._scan(now)
            pause = (
                min(self._settings.scan_s, BLIND_SCAN_S)
                if self._watch.blind
                else self._settings.scan_s
            )
            self._scan_due_s = now + pause

    def claim(self, now: float, *, waiting: Container[str]) -> list[Request]:
        """Claim complete inputs while there is room; those whose very bytes are answered already are finished at once.

        They leave in/ beside what is done next; before their answers are made final, `release` must have returned.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        waiting
            Names that are in work/ already; new files of these names stay in in/.

        Raises
        ------
        OSError
            The disk; some may be claimed that are not given (see `distrust`).

        """
        if not self._may_claim:
            return []
        most = self._outs.limit(self._settings.group_files)
        arrivals = {a.name: a for a in self._inbox.ready(now, most)}
        lanes = () if self._spool.lane else self._settings.models
        for name in self._inbox.take_folders():
            if name in lanes:
                continue
            self.log.warning(events.IGNORED, file=names.printable(name), message="it is a folder")
        occupied = [name for name in arrivals if name in waiting]
        claimed, busy = self._spool.claim(name for name in arrivals if name not in waiting)
        if claimed:
            self._releasing = self._thread.submit(self._spool.release, claimed)
        self._outs.claimed(len(claimed))
        for name in (*occupied, *busy):
            self._inbox.put_back(name, now)
        for name in claimed:
            size = arrivals[name].size
            self.log.debug(events.CLAIMED, file=names.printable(name), size_bytes=size)
        # Small ones first: they share batches and are settled before a large one begins.
        claimed.sort(key=lambda name: arrivals[name].size)
        results = [names.base(name) + names.RESULT for name in claimed]
        new = durable.missing(self._spool.out, results)
        return [
            Request(name=name, arrived_s=arrivals[name].arrived_s)
            for name, is_new in zip(claimed, new, strict=True)
            if is_new or not self._is_known(name)
        ]

    def release(self) -> None:
        """Wait until what was claimed has left in/.

        Raises
        ------
        OSError
            The disk: some of it is in in/ and in work/, as if the process had ended there (see `recovery`).

        """
        if self._releasing is not None:
            releasing, self._releasing = self._releasing, None
            releasing.result()

    def distrust(self) -> None:
        """Scan at the next look: what was about to be claimed when a fault came must be found anew."""
        self._scan_due_s = 0.0
        self._missed.scanned(None)

    def refused(self) -> None:
        """Take note that the disk has refused a write for want of room."""
        self._room.check(refused=True)

    def _scan(self, now: float) -> None:
        was_full = self._inbox.full
        found = self._inbox.scan(now)
        self._seen(found, by="scan")
        # After a scan that could not see all, older files come to light that nobody has missed.  Events of markers do
        # not name the inputs that the scan finds, and a network file system has none.
        unheard = was_full or self._spool.marker or self._settings.network_fs
        missed = self._missed.scanned(None if unheard else found)
        if missed:
            self.log.info(events.WATCH_RESCAN, found=missed)

    def _seen(self, found: list[str], *, by: str) -> None:
        for name in found:
            self.log.debug(events.SEEN, file=names.printable(name), by=by)

    def _is_known(self, name: str) -> bool:
        sha256 = durable.digest(self._spool.work, name)
        result = None if sha256 is None else self._ledger.answered(name, sha256)
        if sha256 is None or result is None:
            return False
        self.release()
        self._ledger.finish([(name, sha256)])
        file, answer = names.printable(name), names.printable(result)
        self.log.info(events.DUPLICATE, file=file, input_sha256=sha256, result=answer)
        return True
