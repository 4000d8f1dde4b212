"""Find inputs that have arrived, and claim them while there is space for their results.

While the loop answers some inputs of a backlog, a thread claims the next ones ahead.  Every other access to the inbox
waits until that thread is idle, so the inbox needs no lock.
"""

from __future__ import annotations

from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ..answering.pipeline import small_contents
from ..answering.request import Request
from ..files import durable
from ..heartbeats import CLAIMING, LOOP
from ..log import events
from ..spool import machine, names
from ..spool.published import Published
from .examining import leases_work
from .inbox import Inbox
from .refused import RefusedInputs
from .room import DiskSpace, OutLimit
from .watch_guard import MissedEvents, WatchGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from ..context import Context
    from ..log.logger import Log
    from ..settings import Settings
    from .watch import Watching

    Left = dict[str, tuple[Request, OSError]]
    """Inputs that are claimed but must not be answered now, each with the reason."""

BLIND_SCAN_S: Final = 0.25
"""Longest time in seconds between two scans while no file events arrive."""

BEAT_S: Final = 1.0
"""Seconds between two heartbeats of the loop while it waits for the thread that claims ahead."""


class Arrivals:
    """Finds inputs in in/ by events and scans, and claims them into work/.

    Parameters
    ----------
    context
        Shared with the lane's other parts.
    watcher
        Source of file events.
    log
        Returns the log that is bound to the model served now, for the events of single inputs.

    """

    def __init__(self, context: Context, *, watcher: Watching, log: Callable[[], Log]) -> None:
        self._context = context
        self._spool = context.spool
        self._watcher = watcher
        self._log = log
        self._disk = DiskSpace(context)
        self._out_limit = OutLimit(context)
        self._watch = WatchGuard(context, watcher)
        self._missed = MissedEvents()
        leases = not context.settings().network_fs and leases_work(context.spool)
        self._refused = RefusedInputs(context, log=log)
        self._inbox = Inbox(
            context.spool, leases=leases, clock=context.clock, refused=self._refused
        )
        self._scan_due_s = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="claiming")
        self._releasing: tuple[list[Request], Future[dict[str, OSError]]] | None = None
        self._ahead: Future[tuple[list[Request], Left]] | None = None
        self._left: Left = {}

    def start(self, now: float) -> None:
        """Begin to watch, then scan, so that no file is missed between the two."""
        self._watch.start(now)
        self._disk.check()  # creates the ballast before the first claim
        self._log_seen(self._inbox.scan(now), by="scan")
        self._scan_due_s = now + self._context.settings().scan_s

    def stop(self) -> None:
        """Stop watching once claimed inputs have left in/; those claimed ahead and not returned stay in work/."""
        self._watch.stop()
        self._thread.shutdown()

    @property
    def expecting(self) -> bool:
        """True while inputs are claimed ahead, or the inbox has names that become claimable without a producer."""
        return self._ahead is not None or self._inbox.expecting

    @property
    def next_s(self) -> float:
        """When the next scan or candidate is due, monotonic."""
        self._wait_for_thread()
        due = self._inbox.next_due_s() if self._may_claim else None
        return self._scan_due_s if due is None else min(self._scan_due_s, due)

    @property
    def _may_claim(self) -> bool:
        return self._disk.enough and self._out_limit.open

    def look(self, now: float, *, open_inputs: int) -> None:
        """Look at the names that the watcher has reported, and scan the inbox when a scan is due.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        open_inputs
            Inputs that were claimed and have no result in out/ yet.

        Raises
        ------
        SpoolLostError
            Another spool now has this one's path.
        OSError
            The disk.

        """
        # From here on, the thread removes nothing from in/: the scan finds no name that is already claimed.
        self.release()
        open_inputs += self._wait_for_thread()
        seen, lost = self._watcher.take()
        self._watch.note_events(seen, now, lost=lost)
        self._missed.note_events(seen)
        self._log_seen(self._inbox.hint(seen, now), by="event")
        if lost:
            self._log().warning(events.WATCH_OVERFLOW)
        self._out_limit.check(now, open_inputs=open_inputs)
        # All names in memory are claimed, but the last scan stopped at a full window: scan at once for the rest.
        backlog_on_disk = self._inbox.full and self._inbox.drained
        if lost or backlog_on_disk or now >= self._scan_due_s:
            self._disk.check()
            if self._watch.check(now):
                self._scan(now)
            scan_s = self._context.settings().scan_s
            self._scan_due_s = now + (min(scan_s, BLIND_SCAN_S) if self._watch.blind else scan_s)

    def claim(self, now: float, *, waiting: Container[str], large: int) -> list[Request]:
        """Claim complete inputs, and return those that must be answered.

        Inputs whose very bytes have a result already are moved to done/.  The others are unlinked from in/ in a thread;
        `release` must have returned before their answers become final.  If more inputs are due, the thread also claims
        the next ones, which the next call returns.

        Parameters
        ----------
        now
            Monotonic time in seconds.
        waiting
            Names that are in work/ already; new files of these names stay in in/.
        large
            Most large inputs to claim; others stay in in/.

        Raises
        ------
        OSError
            The disk; some inputs may be claimed that are not returned (see `distrust`).

        """
        settings = self._context.settings()
        requests = self.claimed_ahead()
        if not requests:
            taken = self._take(now, waiting, settings, large)
            if taken:
                self._releasing = taken, self._thread.submit(self._spool.release, _names(taken))
            requests = self._unanswered(taken, self.release, self._left, LOOP)
        # Only if the caller now has something to answer: otherwise it would merely wait for the thread.
        if requests and self._inbox.has_due(now):
            self._ahead = self._thread.submit(
                self._claim_ahead,
                now,
                waiting,
                settings,
                large,
                None if self._releasing is None else self._releasing[1],
            )
        return requests

    def take_left(self) -> Left:
        """Return the inputs that are claimed but must not be answered now, and forget them.

        Most of them cannot be removed from in/.  They are in one of the states that `recovery` knows.
        """
        left, self._left = self._left, {}
        return left

    def claimed_ahead(self) -> list[Request]:
        """Return the inputs that the thread has claimed ahead, and forget them.

        Raises
        ------
        OSError
            As `claim`.

        """
        self._wait_for_thread()
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return []
        requests, left = ahead.result()
        self._left |= left
        return requests

    def release(self) -> None:
        """Wait until the claimed inputs have left in/; `take_left` then has those that cannot.

        Raises
        ------
        OSError
            The disk: some of them are in in/ and in work/, as if the process had ended there (see `recovery`).

        """
        if self._releasing is not None:
            (taken, releasing), self._releasing = self._releasing, None
            self._left |= self._refused_of(taken, releasing.result())

    def distrust(self) -> None:
        """Forget the inputs claimed ahead and make the next `look` scan, after a fault that may have cut claims short.

        The forgotten inputs are in work/, as are those that the fault left there; `Waiting.adopt` finds both.
        """
        self._wait_for_thread()
        self._ahead = None
        self._refused.rush()
        self._scan_due_s = 0.0
        self._missed.note_scan(None)

    def refused(self) -> None:
        """Note that the disk has refused a write because it is full."""
        self._disk.check(refused=True)

    def _scan(self, now: float) -> None:
        was_full = self._inbox.full
        self._refused.look(now)
        found = self._inbox.scan(now)
        self._log_seen(found, by="scan")
        # Names without events are reported only where each file has one: not after a scan that stopped at a full
        # window, nor with markers, whose events name the marker, nor on a network file system.
        no_events = was_full or self._spool.marker or self._context.settings().network_fs
        missed = self._missed.note_scan(None if no_events else found)
        if missed:
            self._log().info(events.WATCH_RESCAN, found=missed)

    def _log_seen(self, found: list[str], *, by: str) -> None:
        log = self._log()
        for name in found:
            log.debug(events.SEEN, file=names.printable(name), by=by)

    def _claim_ahead(
        self,
        now: float,
        waiting: Container[str],
        settings: Settings,
        large: int,
        before: Future[dict[str, OSError]] | None,
    ) -> tuple[list[Request], Left]:
        # Not `result`: the fault of the release before this one belongs to the loop, where `release` raises it.
        if before is not None and before.exception() is not None:
            return [], {}
        taken = self._take(now, waiting, settings, large)
        # Called here rather than in a further thread: the loop does not wait for this one.
        left = self._refused_of(taken, self._spool.release(_names(taken)))
        with self._context.heartbeats.busy(CLAIMING):
            fresh = self._unanswered(taken, lambda: None, left, CLAIMING)
        contents = small_contents(self._spool, _names(fresh))
        requests = [
            Request(name=r.name, arrived_s=r.arrived_s, size=r.size, content=content)
            for r, content in zip(fresh, contents, strict=True)
        ]
        return requests, left

    def _take(
        self, now: float, waiting: Container[str], settings: Settings, large: int
    ) -> list[Request]:
        """Claim inputs; return the small ones first, so that they are settled before a large one begins."""
        if not self._may_claim:
            return []
        log = self._log()
        most = self._out_limit.allowed(settings.group_files)
        requests, faults = self._inbox.ready(now, most, settings, large=large)
        ready = {request.name: request for request in requests}
        lanes = () if self._spool.lane else settings.models
        for name in self._inbox.take_folders():
            if name in lanes:
                continue
            log.warning(events.IGNORED, file=names.printable(name), message="it is a folder")
        occupied = [name for name in ready if name in waiting]
        claimed, busy, refused = self._spool.claim(name for name in ready if name not in waiting)
        self._out_limit.claimed(len(claimed))
        for name in (*occupied, *busy):
            self._inbox.put_back(name, now)
        self._refused.forget((*claimed, *busy))
        if refused or faults:
            machine.check(self._spool)
            self._refused.add(faults | refused, now)
        for name in claimed:
            size = ready[name].size
            log.debug(events.CLAIMED, file=names.printable(name), size_bytes=size)
        return sorted((ready[name] for name in claimed), key=lambda request: request.size)

    def _refused_of(self, taken: Iterable[Request], faults: Mapping[str, OSError]) -> Left:
        """Return the requests whose inputs could not be removed from in/; raise OSError if the machine is at fault."""
        if not faults:
            return {}
        machine.check(self._spool)
        return {r.name: (r, faults[r.name]) for r in taken if r.name in faults}

    def _unanswered(
        self,
        taken: Sequence[Request],
        wait_for_release: Callable[[], None],
        left: Left,
        thread: str,
    ) -> list[Request]:
        """Return the claimed inputs that have no result yet; finish the others.

        Parameters
        ----------
        taken
            The claimed inputs.
        wait_for_release
            Returns when all of them have left in/, but for those that it adds to `left`.
        left
            Those that must not be answered now.
        thread
            The part that sends heartbeats.

        """
        # Hashing every input would read it twice; only one whose name has a result can be a duplicate.
        results = [names.base(name) + names.RESULT for name in _names(taken)]
        new = durable.missing(self._spool.out, results)
        return [
            request
            for request, is_new in zip(taken, new, strict=True)
            if request.name not in left
            and (is_new or not self._is_answered(request, wait_for_release, left, thread))
        ]

    def _is_answered(
        self, request: Request, wait_for_release: Callable[[], None], left: Left, thread: str
    ) -> bool:
        """Move an input to done/ if its very bytes have a result; return whether it must not be answered now."""
        hearts, name = self._context.heartbeats, request.name
        try:
            known = Published(self._spool).known(
                name,
                most_bytes=self._context.settings().most_file_bytes,
                beat=lambda: hearts.beat(thread),
            )
        except OSError:
            known = None  # the attempt to answer it will report that
        if known is None:
            return False
        sha256, result = known
        wait_for_release()
        if name in left:
            return True
        try:
            self._context.committer.finish([(name, sha256)])
        except durable.SyncError:
            raise
        except OSError as fault:
            left[name] = request, fault
            return True
        file, answer = names.printable(name), names.printable(result)
        self._log().info(events.DUPLICATE, file=file, input_sha256=sha256, result=answer)
        return True

    def _wait_for_thread(self) -> int:
        """Wait until the thread is idle; return the number of inputs that it has claimed ahead."""
        if self._ahead is None:
            return 0
        # The thread may hash a large input; it has a heartbeat of its own.
        while not futures.wait([self._ahead], timeout=BEAT_S).done:
            self._context.heartbeats.beat(LOOP)
        # A fault stays in the future: `claimed_ahead` raises it.
        return 0 if self._ahead.exception() is not None else len(self._ahead.result()[0])


def _names(requests: Iterable[Request]) -> list[str]:
    return [request.name for request in requests]
