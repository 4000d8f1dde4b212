"""The page of metrics: names, units and help of everything that Prometheus may ask for.

The numbers are those of `Counters`, that is of the log; prometheus_client writes them down in its own formats.  Base
units, and never a file's name as a label.
"""

from __future__ import annotations

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

ESTIMATE: Final = "an estimate for the chip, not a measurement of this machine"


def page(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Write the page in the format that the client accepts; give it and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def registry(overview: Snapshot) -> CollectorRegistry:
    """Make the registry of a daemon: its own metrics, and those of its process."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Daemon(overview))
    ProcessCollector(registry=made)
    return made


class _Daemon(Collector):
    """Reads an overview anew at each scrape."""

    def __init__(self, overview: Snapshot) -> None:
        self._overview = overview

    def describe(self) -> Iterator[Metric]:
        """Give nothing: names are checked by tests, not at each start."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        overview = self._overview
        overview.refresh()
        with overview.observed.reading() as (sums, now):
            families = [*_work(sums), *_chip(sums), *_program(now)]
        yield from families
        yield from _state(overview)


def _work(sums: Sums) -> Iterator[Metric]:
    outcomes = {k: sums.files[k] for k in ("done", "failed", "duplicate")}
    yield _counter("files", "Inputs that are settled.", "outcome", outcomes)
    records = {k: sums.questions[k] for k in ("ok", "failed")}
    yield _counter("records", "Records of answered inputs.", "outcome", records)
    yield _counter("failures", "Inputs that moved to failed/.", "code", sums.failures)
    yield _counter("retries", "Inputs that wait for another try.", "code", sums.retries)
    yield _counter("faults", "Faults of the machine that stopped claims.", "code", sums.faults)
    yield _counter("recovered_files", "Inputs found in work/.", "state", sums.recovered)
    yield _counter("model_reloads", "Attempts to change the model.", "outcome", sums.reloads)
    yield _histogram(sums.durations)
    yield _plain_counter("read_bytes", "Bytes of answered inputs.", sums.bytes_read)
    yield _plain_counter("watch_overflows", "Times that file events were lost.", sums.overflows)
    yield _plain_counter("watch_restarts", "Times that the watcher was restarted.", sums.restarts)
    yield _plain_counter("rescan_found", "Inputs that events missed and a scan found.", sums.missed)
    yield _plain_counter(
        "log_lines_lost", "Log lines that could not be written.", sums.log_lines_lost
    )
    yield _gauge(
        "last_success_timestamp_seconds",
        "When an input was last answered; 0 before the first.",
        sums.last_success_s or 0.0,
    )


def _chip(sums: Sums) -> Iterator[Metric]:
    yield _counter("spikes", "Spikes on the chip.", "layer", sums.spikes)
    yield _plain_counter("synaptic_events", "Synaptic events on the chip.", sums.synaptic_events)
    yield _plain_counter("chip_seconds", "Time of the chip, at 1 ms a tick.", sums.ticks * TICK_S)
    joules = {method: energy * 1e-6 for method, energy in sums.energy_uj.items()}
    yield _counter("energy_joules", f"Energy: {ESTIMATE}.", "method", joules)
    watts = GaugeMetricFamily(
        PREFIX + "power_watts", f"Power of the last answered input: {ESTIMATE}.", labels=["method"]
    )
    for method, power in sums.power_uw.items():
        watts.add_metric([method], power * 1e-6)
    yield watts


def _state(overview: Snapshot) -> Iterator[Metric]:
    yield _gauge("live", "1 while every thread gives signs of life.", not overview.hanging())
    yield _gauge("ready", "1 while files are answered as they come.", not overview.not_ready())
    yield _gauge("degraded", "1 while something is not as it should be.", bool(overview.problems()))
    counted = overview.counted
    if counted is not None:
        age = 0.0 if counted.oldest_s is None else max(overview.wall() - counted.oldest_s, 0.0)
        yield _gauge("inbox_files", "Inputs that wait in in/.", counted.inbox)
        yield _gauge("inbox_oldest_age_seconds", "Age of the oldest of them; 0 without any.", age)
        yield _gauge("in_progress_files", "Inputs in work/.", counted.work)
        yield _gauge("disk_free_bytes", "Bytes free in the spool.", counted.free_bytes)
        yield _gauge("disk_free_inodes", "Inodes free in the spool.", counted.free_inodes)


def _program(now: RunState) -> Iterator[Metric]:
    yield _gauge("watch_up", "1 while file events come.", not now.deaf)
    yield _gauge("disk_low", "1 while there is too little room to claim.", bool(now.full))
    yield _gauge("out_full", "1 while out/ holds too many results to claim.", bool(now.full_outs))
    build = InfoMetricFamily(PREFIX + "build", "The program.")
    build.add_metric([], {"version": str(now.started.get("version", ""))})
    yield build
    model = InfoMetricFamily(
        PREFIX + "model", "The models that answer; the lane is a folder of in/.", labels=["lane"]
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
        "Latency of answered inputs, by part (docs/logs.md says which).",
        labels=["stage"],
    )
    limits = [*map(repr, BUCKETS_S), "+Inf"]
    for stage, seconds in durations.items():
        counts = accumulate(seconds.counts)
        family.add_metric(
            [stage], list(zip(limits, counts, strict=True)), sum_value=seconds.sum_ms * 1e-3
        )
    return family
