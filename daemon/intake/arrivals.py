"""Find inputs that have arrived, and claim them while there is room.

Of many, some are claimed ahead, in a thread, while those before them are answered.  Whatever is done to the inbox waits
until that thread rests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ..answering.pipeline import Request, small_contents
from ..files import durable
from ..log import events
from ..spool import names
from .inbox import Inbox, leases_work
from .outgoing import OutGuard
from .watch_guard import MissedEvents, RoomGuard, WatchGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from concurrent.futures import Future

    from structlog.typing import FilteringBoundLogger

    from ..settings import Settings
    from ..spool.commit import Committer
    from ..spool.folder import Spool
    from .inbox import Arrival
    from .watch import Watching

BLIND_SCAN_S: Final = 0.25
"""Longest time in seconds between two scans while file events do not come."""


class Arrivals:
    """What comes into in/, from the hint of a watcher or the find of a scan to the name in work/.

    Parameters
    ----------
    spool, committer
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
        committer: Committer,
        settings: Settings,
        watcher: Watching,
        log: FilteringBoundLogger,
    ) -> None:
        self._spool = spool
        self._ledger = committer
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
        self._ahead: Future[list[Request]] | None = None

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self._rest()
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
        """Stop watching, when what was claimed has left in/; what was claimed ahead and not given stays in work/."""
        self._watch.stop()
        self._thread.shutdown()

    @property
    def expecting(self) -> bool:
        """True while there is more to claim that needs nobody to do anything, or something is claimed already."""
        return self._ahead is not None or self._inbox.expecting

    @property
    def next_s(self) -> float:
        """When there is something to look at, monotonic."""
        self._rest()
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
        in_hand += self._rest()
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
        If there are more, the next ones are claimed beside it, too, and given by the next call.

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
        requests = self.claimed_ahead()
        if not requests:
            taken = self._take(now, waiting)
            if taken:
                self._releasing = self._thread.submit(self._spool.release, _names(taken))
            requests = [_request(arrival) for arrival in self._unknown(taken, self.release)]
        if requests and self._inbox.has_due(now):
            self._ahead = self._thread.submit(self._claim_ahead, now, waiting, self._releasing)
        return requests

    def claimed_ahead(self) -> list[Request]:
        """Give what was claimed beside other work.

        Raises
        ------
        OSError
            As `claim`.

        """
        ahead, self._ahead = self._ahead, None
        return [] if ahead is None else ahead.result()

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
        """Scan at the next look: what was about to be claimed when a fault came must be found anew.

        What was claimed ahead is not given any more: it lies in work/, as what the fault has left there.
        """
        self._rest()
        self._ahead = None
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

    def _claim_ahead(
        self, now: float, waiting: Container[str], before: Future[None] | None
    ) -> list[Request]:
        if before is not None and before.exception() is not None:
            return []  # `release` tells of it
        taken = self._take(now, waiting)
        self._spool.release(_names(taken))
        fresh = self._unknown(taken, lambda: None)
        return [*map(_request, fresh, small_contents(self._spool, _names(fresh)))]

    def _take(self, now: float, waiting: Container[str]) -> list[Arrival]:
        """Claim, the small ones first: they share batches and are settled before a large one begins."""
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
        self._outs.claimed(len(claimed))
        for name in (*occupied, *busy):
            self._inbox.put_back(name, now)
        for name in claimed:
            size = arrivals[name].size
            self.log.debug(events.CLAIMED, file=names.printable(name), size_bytes=size)
        return sorted((arrivals[name] for name in claimed), key=lambda arrival: arrival.size)

    def _unknown(self, taken: Sequence[Arrival], released: Callable[[], None]) -> list[Arrival]:
        """Give what is to be answered of what was claimed; `released` returns when all of it has left in/."""
        results = [names.base(name) + names.RESULT for name in _names(taken)]
        new = durable.missing(self._spool.out, results)
        return [
            arrival
            for arrival, is_new in zip(taken, new, strict=True)
            if is_new or not self._is_known(arrival.name, released)
        ]

    def _is_known(self, name: str, released: Callable[[], None]) -> bool:
        sha256 = durable.digest(self._spool.work, name)
        result = None if sha256 is None else self._ledger.answered(name, sha256)
        if sha256 is None or result is None:
            return False
        released()
        self._ledger.finish([(name, sha256)])
        file, answer = names.printable(name), names.printable(result)
        self.log.info(events.DUPLICATE, file=file, input_sha256=sha256, result=answer)
        return True

    def _rest(self) -> int:
        """Wait until the thread rests; give the number of inputs that it has claimed."""
        if self._ahead is None or self._ahead.exception() is not None:
            return 0
        return len(self._ahead.result())


def _names(arrivals: Iterable[Arrival]) -> list[str]:
    return [arrival.name for arrival in arrivals]


def _request(arrival: Arrival, content: bytes | None = None) -> Request:
    return Request(name=arrival.name, arrived_s=arrival.arrived_s, content=content)
