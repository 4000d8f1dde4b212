"""Counters over the log's events: the only source of metrics, status and health, so that these cannot disagree.

An event must not delay the work.  It is therefore only queued when it is logged (0.3 us), and counted (4 us) when
somebody reads the counters.  `metrics` converts the numbers to Prometheus' families.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..log import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STAGES: Final = ("wait", "read", "simulate", "write", "total")
"""The parts of a request's latency in `request.done`."""

BUCKETS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""Upper bounds of the histograms' buckets in seconds, from a tenth of the promised latency to the longest file."""

_BUCKETS_MS: Final = tuple(seconds * 1e3 for seconds in BUCKETS_S)

RECENT_S: Final = 60
"""Period in seconds over which rates are computed."""

_RECENT_FILES: Final = 2048
_QUEUE_MAX: Final = 512
"""Number of queued events at which they are counted at once, to bound the memory."""
_RECENT_ERRORS: Final = 10
_ERROR_FIELDS: Final = (
    "timestamp", "level", "event", "file", "code", "message", "reason", "retry_in_s",
)  # fmt: skip


@dataclass(slots=True)
class Durations:
    """A histogram: `counts[i]` durations are in (bound i-1, bound i]; the last count is of those above all bounds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_ms: float = 0.0


@dataclass(slots=True)
class Sums:
    """Totals since the start of the daemon.

    Attributes
    ----------
    files
        Inputs by outcome: `done`, `failed` or `duplicate`.
    questions
        Questions by outcome: `ok` or `failed`.
    failures, retries, faults
        Events `request.failed`, `request.retry` and `daemon.fault` by code.
    recovered
        Events `request.recovered` by state.
    reloads
        Changes of the model by outcome: `swapped` or `failed`.
    spikes
        Spikes by layer.
    energy_uj, power_uw
        Energy in uJ by method, and the power in uW of the last answered file by method.
    durations
        Latencies by stage.
    synaptic_events, ticks
        On the chip; a tick is 1 ms.
    bytes_read
        Bytes of answered inputs.
    overflows, restarts, missed
        Losses of file events, restarts of the watcher, and inputs that only a scan found.
    log_lines_lost
        Log lines that could not be written.
    last_success_s
        Wall time of the last answer; None before the first.

    """

    files: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    recovered: Counter[str] = field(default_factory=Counter)
    reloads: Counter[str] = field(default_factory=Counter)
    spikes: Counter[str] = field(default_factory=Counter)
    energy_uj: dict[str, float] = field(default_factory=dict)
    power_uw: dict[str, float] = field(default_factory=dict)
    durations: dict[str, Durations] = field(
        default_factory=lambda: {s: Durations() for s in STAGES}
    )
    synaptic_events: int = 0
    ticks: int = 0
    bytes_read: int = 0
    overflows: int = 0
    restarts: int = 0
    missed: int = 0
    log_lines_lost: int = 0
    last_success_s: float | None = None


@dataclass(slots=True)
class RunState:
    """The daemon's present state according to its last events; a lane "" is in/ itself.

    Attributes
    ----------
    started, ready
        The last `daemon.start` and `daemon.ready`; empty before the first.
    stopped
        Whether the daemon has stopped.
    models
        The model's pin by lane.
    bad_models
        Why a newer model was refused, by lane.
    deaf
        Why there are no file events, by lane.
    full
        How little space is free on the disk, by lane.
    stuck
        Why inputs can neither be claimed nor settled, by lane and file.
    full_outs
        How many results are in out/, by lane, where these are too many.
    faults
        Why nothing is claimed, and until when this counts (monotonic seconds), by lane.

    """

    started: dict[str, Any] = field(default_factory=dict)
    ready: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    models: dict[str, str] = field(default_factory=dict)
    bad_models: dict[str, str] = field(default_factory=dict)
    deaf: dict[str, str] = field(default_factory=dict)
    full: dict[str, str] = field(default_factory=dict)
    full_outs: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: dict[str, tuple[str, float]] = field(default_factory=dict)


class Counters:
    """Counts the log's events; pass it to `logger` as the observer.

    Parameters
    ----------
    monotonic, wall
        Clocks in seconds; tests replace them.

    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._lock = threading.Lock()
        self._queue: deque[tuple[float, Mapping[str, Any]]] = deque()
        self._sums = Sums()
        self._now = RunState()
        self._monotonic = monotonic
        self._wall = wall
        self._errors: deque[dict[str, Any]] = deque(maxlen=_RECENT_ERRORS)
        # One [start, files, questions] for each second with an answered file; the last one is still being counted.
        self._rates: deque[list[float]] = deque(maxlen=RECENT_S + 1)
        self._rate: list[float] = []
        self._second_ends_s = float("-inf")
        self._latest: deque[tuple[float, float]] = deque(maxlen=_RECENT_FILES)
        self._handlers: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            events.START: self._start,
            events.READY: self._ready,
            events.STOP: self._stop,
            events.FAULT: self._fault,
            events.DONE: self._done,
            events.FAILED: self._failed,
            events.DUPLICATE: self._duplicate,
            events.RETRY: self._retry,
            events.RECOVERED: self._recovered,
            events.WATCH_OVERFLOW: self._overflow,
            events.WATCH_RESTARTED: self._restarted,
            events.WATCH_FAILED: self._watch_failed,
            events.WATCH_RESCAN: self._rescan,
            events.MODEL_SWAPPED: self._swapped,
            events.MODEL_CURRENT: self._current,
            events.MODEL_FAILED: self._model_failed,
            events.DISK_LOW: self._disk_low,
            events.DISK_OK: self._disk_ok,
            events.STUCK: self._stuck,
            events.UNSTUCK: self._unstuck,
            events.OUT_FULL: self._out_full,
            events.OUT_OK: self._out_ok,
        }

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Queue an event; it is counted at the next `reading`, or when the queue is full."""
        self._queue.append((self._monotonic(), event))
        if len(self._queue) >= _QUEUE_MAX:
            with self.reading():
                pass

    @contextmanager
    def reading(self) -> Iterator[tuple[Sums, RunState]]:
        """Count the queued events and yield the totals and the state, which do not change within the block."""
        with self._lock:
            while self._queue:
                # A bug in a handler must not stop the daemon.  The exception leaves the inner loop, whose event is
                # already removed, and the outer loop goes on.
                with suppress(Exception):
                    while self._queue:
                        self._count(*self._queue.popleft())
            yield self._sums, self._now

    def _count(self, at: float, event: Mapping[str, Any]) -> None:
        handle = self._handlers.get(event["event"])
        if handle is not None:
            handle(at, event)
        if event["level"] in {"warning", "error"}:
            self._errors.append({k: event[k] for k in _ERROR_FIELDS if k in event})
        lost = event.get("log_lines_lost")
        if lost is not None:
            self._sums.log_lines_lost = lost

    def errors(self) -> list[dict[str, Any]]:
        """Return the last warnings and errors, the oldest first."""
        with self.reading():
            return list(self._errors)

    def recent(self) -> dict[str, Any]:
        """Return the rates of the last minute, and latency quantiles of its last 2048 files."""
        now = self._monotonic()
        with self.reading():
            rates = [
                (files, questions)
                for second, files, questions in self._rates
                if second > now - RECENT_S
            ]
            latest = sorted(total for at, total in self._latest if at > now - RECENT_S)
        files, questions = (sum(column) for column in zip(*rates, strict=True)) if rates else (0, 0)
        return {
            "window_s": RECENT_S,
            "files_per_s": round(files / RECENT_S, 3),
            "questions_per_s": round(questions / RECENT_S, 3),
            "latency_ms": {
                name: latest[min(int(share * len(latest)), len(latest) - 1)] if latest else None
                for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
            },
        }

    def _start(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.started = dict(event)

    def _ready(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.ready = dict(event)
        self._now.models[""] = event["model"]

    def _stop(self, _at: float, _: Mapping[str, Any]) -> None:
        self._now.stopped = True

    def _done(self, at: float, event: Mapping[str, Any]) -> None:
        sums, latency = self._sums, event["latency_ms"]
        sums.files["done"] += 1
        sums.questions["ok"] += event["questions_ok"]
        sums.questions["failed"] += event["questions_failed"]
        for layer, spikes in event["spikes"].items():
            sums.spikes[layer] += spikes
        for method, energy in event["energy_uj"].items():
            sums.energy_uj[method] = sums.energy_uj.get(method, 0.0) + energy
        sums.power_uw = event["power_uw"]
        sums.synaptic_events += event["synaptic_events"]
        sums.ticks += event["ticks"]
        sums.bytes_read += event["size_bytes"]
        for stage, milliseconds in latency.items():
            duration = sums.durations[stage]
            duration.counts[bisect_left(_BUCKETS_MS, milliseconds)] += 1
            duration.sum_ms += milliseconds
        sums.last_success_s = self._wall_at(at)
        self._latest.append((at, latency["total"]))
        if at >= self._second_ends_s:
            self._second_ends_s = at // 1.0 + 1.0
            self._rate = [at, 0, 0]
            self._rates.append(self._rate)
        self._rate[1] += 1
        self._rate[2] += event["questions"]

    def _failed(self, _at: float, event: Mapping[str, Any]) -> None:
        self._sums.files["failed"] += 1
        self._sums.failures[event["code"]] += 1

    def _duplicate(self, at: float, _: Mapping[str, Any]) -> None:
        self._sums.files["duplicate"] += 1
        self._sums.last_success_s = self._wall_at(at)

    def _retry(self, _at: float, event: Mapping[str, Any]) -> None:
        self._sums.retries[event["code"]] += 1

    def _recovered(self, _at: float, event: Mapping[str, Any]) -> None:
        self._sums.recovered[event["state"]] += 1

    def _fault(self, at: float, event: Mapping[str, Any]) -> None:
        self._sums.faults[event["code"]] += 1
        # The fault counts as over unless the next attempt, after the pause, fails as well.
        until = at + event["retry_in_s"] + 1.0
        self._now.faults[_lane(event)] = f"{event['code']}: {event['message']}", until

    def _overflow(self, _at: float, _: Mapping[str, Any]) -> None:
        self._sums.overflows += 1

    def _restarted(self, _at: float, event: Mapping[str, Any]) -> None:
        self._sums.restarts += 1
        self._now.deaf.pop(_lane(event), None)

    def _watch_failed(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.deaf[_lane(event)] = f"{event['code']}: {event['message']}"

    def _rescan(self, _at: float, event: Mapping[str, Any]) -> None:
        self._sums.missed += event["found"]

    def _swapped(self, _at: float, event: Mapping[str, Any]) -> None:
        lane = _lane(event)
        self._sums.reloads["swapped"] += 1
        self._now.models[lane] = event["to"]
        self._now.bad_models.pop(lane, None)

    def _current(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.bad_models.pop(_lane(event), None)

    def _model_failed(self, _at: float, event: Mapping[str, Any]) -> None:
        self._sums.reloads["failed"] += 1
        self._now.bad_models[_lane(event)] = event["message"]

    def _disk_low(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.full[_lane(event)] = (
            f"{event['free_bytes']} bytes and {event['free_inodes']} inodes are free"
        )

    def _disk_ok(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.full.pop(_lane(event), None)

    def _out_full(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.full_outs[_lane(event)] = f"{event['max_out_files']} results are waiting"

    def _out_ok(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.full_outs.pop(_lane(event), None)

    def _stuck(self, _at: float, event: Mapping[str, Any]) -> None:
        stuck = self._now.stuck.setdefault(_lane(event), {})
        stuck[event["file"]] = f"{event['code']}: {event['message']}"

    def _unstuck(self, _at: float, event: Mapping[str, Any]) -> None:
        self._now.stuck.get(_lane(event), {}).pop(event["file"], None)

    def _wall_at(self, at: float) -> float:
        return self._wall() - (self._monotonic() - at)


def _lane(event: Mapping[str, Any]) -> str:
    lane: str = event.get("lane", "")
    return lane
