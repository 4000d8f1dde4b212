"""The metrics page: name, unit and help text of everything that Prometheus scrapes.

The numbers are those of `Counters`, and thus of the log; prometheus_client renders them.  Units are base units, and no
label is ever a file's name.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .counters import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from .counters import Durations, RunState, Sums
    from .snapshot import Snapshot

PREFIX: Final = "spikewatch_"

TICK_S: Final = 1e-3
"""Chip time of a tick in seconds."""

_ALTERNATIVE: Final = re.compile(
    r"[a-z0-9*/+.-]+(?: ?; ?(?!version=)[!-:<-~]+| ?; ?version=[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})*"
)
"""A media type with parameters, in which a version is three numbers."""

ESTIMATE: Final = "an estimate for the chip, not a measurement of this machine"


def page(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the page in a format that the client accepts, and its content type."""
    encode, content_type = choose_encoder(_understood(accept))
    return encode(registry), content_type


def _understood(accept: str) -> str:
    """Return the alternatives of an `Accept` header that the library can read: it raises for a version like `x`."""
    alternatives = [" ".join(text.split()) for text in accept.split(",")]
    return ",".join(text for text in alternatives if _ALTERNATIVE.fullmatch(text))


def registry(snapshot: Snapshot) -> CollectorRegistry:
    """Create the registry of a daemon's metrics and those of its process."""
    # Not the library's global registry: tests run several daemons in one process.
    made = CollectorRegistry(auto_describe=False)
    made.register(_Daemon(snapshot))
    ProcessCollector(registry=made)
    return made


class _Daemon(Collector):
    """Collects the metrics from a fresh snapshot at each scrape."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        """Describe nothing: tests check the names, so that a start need not."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        snapshot.refresh()  # a scrape must not show counts that are older than itself
        with snapshot.counters.reading() as (sums, now):
            families = [*_work(sums), *_chip(sums), *_program(now)]
        yield from families
        yield from _state(snapshot)


def _work(sums: Sums) -> Iterator[Metric]:
    outcomes = {k: sums.files[k] for k in ("done", "failed", "duplicate")}
    yield _counter("files", "Settled inputs.", "outcome", outcomes)
    records = {k: sums.questions[k] for k in ("ok", "failed")}
    yield _counter("records", "Records of answered inputs.", "outcome", records)
    yield _counter("failures", "Inputs that were moved to failed/.", "code", sums.failures)
    yield _counter(
        "retries", "Inputs that were scheduled for another attempt.", "code", sums.retries
    )
    yield _counter("faults", "Faults of the machine that stopped claiming.", "code", sums.faults)
    yield _counter(
        "recovered_files",
        "Inputs found in work/ at a start or after a fault.",
        "state",
        sums.recovered,
    )
    yield _counter("model_reloads", "Attempts to change the model.", "outcome", sums.reloads)
    yield _histogram(sums.durations)
    yield _plain_counter("read_bytes", "Bytes of answered inputs.", sums.bytes_read)
    yield _plain_counter(
        "watch_overflows", "Overflows of the event queue, which lose file events.", sums.overflows
    )
    yield _plain_counter("watch_restarts", "Restarts of the file watcher.", sums.restarts)
    yield _plain_counter(
        "rescan_found", "Inputs found by a scan, whose file events were missed.", sums.missed
    )
    yield _plain_counter(
        "log_lines_lost", "Log lines that could not be written.", sums.log_lines_lost
    )
    yield _gauge(
        "last_success_timestamp_seconds",
        "Time at which an input was last answered; 0 before the first.",
        sums.last_success_s or 0.0,
    )


def _chip(sums: Sums) -> Iterator[Metric]:
    yield _counter("spikes", "Spikes on the chip.", "layer", sums.spikes)
    yield _plain_counter("synaptic_events", "Synaptic events on the chip.", sums.synaptic_events)
    yield _plain_counter("chip_seconds", "Chip time; a tick is 1 ms.", sums.ticks * TICK_S)
    joules = {method: energy * 1e-6 for method, energy in sums.energy_uj.items()}
    yield _counter("energy_joules", f"Energy: {ESTIMATE}.", "method", joules)
    watts = GaugeMetricFamily(
        PREFIX + "power_watts", f"Power of the last answered input: {ESTIMATE}.", labels=["method"]
    )
    for method, power in sums.power_uw.items():
        watts.add_metric([method], power * 1e-6)
    yield watts


def _state(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("live", "1 while no thread's heartbeat is overdue.", not snapshot.hanging())
    yield _gauge("ready", "1 while files are answered as they arrive.", not snapshot.not_ready())
    yield _gauge(
        "degraded", "1 while there is any problem; /status lists them.", bool(snapshot.problems())
    )
    counts = snapshot.counts
    if counts is not None:
        age = 0.0 if counts.oldest_s is None else max(snapshot.wall() - counts.oldest_s, 0.0)
        yield _gauge("inbox_files", "Inputs waiting in in/.", counts.inbox)
        yield _gauge(
            "inbox_oldest_age_seconds", "Age of the oldest input in in/; 0 if there is none.", age
        )
        yield _gauge("in_progress_files", "Inputs in work/.", counts.work)
        yield _gauge("disk_free_bytes", "Bytes free in the spool.", counts.free_bytes)
        yield _gauge("disk_free_inodes", "Inodes free in the spool.", counts.free_inodes)


def _program(now: RunState) -> Iterator[Metric]:
    yield _gauge("watch_up", "1 while file events arrive.", not now.deaf)
    yield _gauge(
        "disk_low", "1 while too little disk space is free to claim inputs.", bool(now.full)
    )
    yield _gauge(
        "out_full", "1 while out/ holds too many results to claim inputs.", bool(now.full_outs)
    )
    stuck = sum(map(len, now.stuck.values()))
    yield _gauge("stuck_files", "Inputs that can neither be claimed nor settled.", stuck)
    build = InfoMetricFamily(PREFIX + "build", "Version of the program.")
    build.add_metric([], {"version": str(now.started.get("version", ""))})
    yield build
    model = InfoMetricFamily(
        PREFIX + "model", "Models in use, by lane (a folder in in/).", labels=["lane"]
    )
    for lane, pin in now.models.items():
        reference, _, sha = pin.partition("@")
        name, _, version = reference.partition(":")
        model.add_metric([lane], {"name": name, "version": version, "sha": sha})
    yield model


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _plain_counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _histogram(durations: Mapping[str, Durations]) -> Metric:
    family = HistogramMetricFamily(
        PREFIX + "file_duration_seconds",
        "Latency of answered inputs by stage (see docs/logs.md).",
        labels=["stage"],
    )
    limits = [*map(repr, BUCKETS_S), "+Inf"]
    for stage, seconds in durations.items():
        counts = accumulate(seconds.counts)
        family.add_metric(
            [stage], list(zip(limits, counts, strict=True)), sum_value=seconds.sum_ms * 1e-3
        )
    return family
