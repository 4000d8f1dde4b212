"""The metrics page shows the numbers of the log, with names and units as Prometheus expects them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from daemon_support import Bench, Time
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from spikewatch.daemon.heartbeats import Heartbeats
from spikewatch.daemon.log import logger
from spikewatch.daemon.monitoring import metrics
from spikewatch.daemon.monitoring.counters import BUCKETS_S, Counters
from spikewatch.daemon.monitoring.snapshot import Snapshot
from spikewatch.daemon.monitoring.spool_counts import SpoolCounter

PIN = "trec:2.0.0@sha256:" + "0" * 64
TEXT = "text/plain"


class Seen:
    """A log with its counters, and everything that is read from them."""

    def __init__(self, spool: Path) -> None:
        self.time = Time()
        clock = self.time.clock()
        self.heartbeats = Heartbeats(clock.monotonic, limit_s=10.0)
        self.counters = Counters(monotonic=clock.monotonic, wall=clock.wall)
        self.snapshot = Snapshot(
            spool,
            counters=self.counters,
            heartbeats=self.heartbeats,
            spool_counter=SpoolCounter(spool, clock.monotonic),
            clock=clock,
        )

    def replay(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            self.counters(event)

    def page(self, accept: str = TEXT) -> str:
        return metrics.page(metrics.registry(self.snapshot), accept)[0].decode()

    def samples(self) -> dict[str, float]:
        """Return the samples by `name{label="value",...}`."""
        found = {}
        for family in parse(self.page()):
            for sample in family.samples:
                labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
        return found


@pytest.fixture
def seen(spool: Path) -> Seen:
    return Seen(spool)


@pytest.fixture
def worked(hand: Bench, seen: Seen) -> list[dict[str, Any]]:
    """Make a service do everything that it normally does, with its events counted."""
    for name, data in (
        ("a.txt", "Who wrote Hamlet ?\nhow far ?"),
        ("b.jsonl", '{"text": "who"}\n{'),
    ):
        hand.drop(name, data)
    hand.drop("bad.txt", b"\xff")
    hand.run()
    hand.drop("a.txt", "Who wrote Hamlet ?\nhow far ?")
    hand.run()
    hand.drop("missed.txt", "how far ?")
    hand.watcher.seen.clear()
    hand.watcher.lost = True
    hand.run()
    hand.turn(passed_s=2.0)
    found = hand.events()
    seen.replay(found)
    return found


def test_every_sum_is_the_sum_over_the_log(seen: Seen, worked: list[dict[str, Any]]) -> None:
    done = [e for e in worked if e["event"] == "request.done"]
    assert len(done) == 3
    page = seen.samples()
    assert page['spikewatch_files_total{outcome="done"}'] == 3
    assert page['spikewatch_files_total{outcome="failed"}'] == 1
    assert page['spikewatch_files_total{outcome="duplicate"}'] == 1
    assert page['spikewatch_failures_total{code="bad_utf8"}'] == 1
    assert page['spikewatch_records_total{outcome="ok"}'] == sum(e["questions_ok"] for e in done)
    assert page['spikewatch_records_total{outcome="failed"}'] == 1
    for layer in ("input", "hidden", "output"):
        sample = f'spikewatch_spikes_total{{layer="{layer}"}}'
        assert page[sample] == sum(e["spikes"][layer] for e in done)
    for method in ("paper", "static_marginal"):
        joules = sum(e["energy_uj"][method] for e in done) * 1e-6
        sample = f'spikewatch_energy_joules_total{{method="{method}"}}'
        assert page[sample] == pytest.approx(joules)
        watts = page[f'spikewatch_power_watts{{method="{method}"}}']
        assert watts == pytest.approx(done[-1]["power_uw"][method] * 1e-6)
    assert page["spikewatch_synaptic_events_total"] == sum(e["synaptic_events"] for e in done)
    assert page["spikewatch_chip_seconds_total"] == pytest.approx(
        sum(e["ticks"] for e in done) / 1e3
    )
    assert page["spikewatch_read_bytes_total"] == sum(e["size_bytes"] for e in done)
    assert page["spikewatch_watch_overflows_total"] == 1
    assert page["spikewatch_rescan_found_total"] == 1


def test_the_histograms_hold_every_latency(seen: Seen, worked: list[dict[str, Any]]) -> None:
    page = seen.samples()
    for stage in ("wait", "read", "simulate", "write", "total"):
        seconds = [e["latency_ms"][stage] / 1e3 for e in worked if e["event"] == "request.done"]
        name = "spikewatch_file_duration_seconds"
        assert page[f'{name}_count{{stage="{stage}"}}'] == len(seconds)
        assert page[f'{name}_sum{{stage="{stage}"}}'] == pytest.approx(sum(seconds))
        for limit in BUCKETS_S:
            below = page[f'{name}_bucket{{le="{limit!r}",stage="{stage}"}}']
            assert below == sum(s <= limit for s in seconds)


def test_the_gauges_say_what_lies_in_the_spool(seen: Seen, spool: Path) -> None:
    for name in ("a.txt", "b.txt", ".hidden", "c.part"):
        (spool / "in" / name).touch()
    (spool / "in" / "folder").mkdir()
    (spool / "work" / "d.txt").touch()
    page = seen.samples()
    assert page["spikewatch_inbox_files"] == 2
    assert page["spikewatch_in_progress_files"] == 1
    assert 0 <= page["spikewatch_inbox_oldest_age_seconds"] < 3600
    disk = os.statvfs(spool)
    assert page["spikewatch_disk_free_bytes"] == pytest.approx(
        disk.f_bavail * disk.f_frsize, rel=0.05
    )
    (spool / "in" / "a.txt").unlink()
    (spool / "in" / "b.txt").unlink()
    seen.time.now += 60
    page = seen.samples()
    assert page["spikewatch_inbox_files"] == page["spikewatch_inbox_oldest_age_seconds"] == 0


def test_names_and_units_are_as_prometheus_wants_them(
    seen: Seen, worked: list[dict[str, Any]]
) -> None:
    """The rules of promtool's linter, for our own metrics."""
    assert worked
    families = [f for f in parse(seen.page()) if f.name.startswith("spikewatch_")]
    assert len(families) > 25
    for family in families:
        assert re.fullmatch(r"spikewatch_[a-z0-9]+(_[a-z0-9]+)*", family.name)
        assert family.documentation.endswith(".")
        parts = set(family.name.split("_"))
        assert not parts & {"ms", "milliseconds", "us", "microseconds", "minutes", "hours", "kb"}
        assert not parts & {"kilobytes", "mb", "megabytes", "uj", "uw", "mw", "percent"}
        assert family.type in {"counter", "gauge", "histogram"}
        for sample in family.samples:
            assert (
                not set(sample.labels) & {"file", "name"} or sample.name == "spikewatch_model_info"
            )
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_the_page_is_the_same_in_the_open_format(seen: Seen, worked: list[dict[str, Any]]) -> None:
    assert worked
    body, kind = metrics.page(
        metrics.registry(seen.snapshot), "application/openmetrics-text; version=1.0.0"
    )
    assert kind.startswith("application/openmetrics-text")
    opened = {sample.name for family in openmetrics(body.decode()) for sample in family.samples}
    assert {name.partition("{")[0] for name in seen.samples()} == opened


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_has_nothing_to_say(seen: Seen, worked: list[dict[str, Any]]) -> None:
    assert worked
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=seen.page(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_not_written_is_counted_all_the_same() -> None:
    counters = Counters()
    read, write = os.pipe()
    log = logger.logger("json", fd=write, level="error", observe=counters)
    log.warning("request.failed", file="a", code="empty")
    log.error("daemon.fault", code="EIO", message="m", retry_in_s=1.0)
    os.close(write)
    with open(read, "rb") as written:  # noqa: PTH123 - a descriptor
        (line,) = written.read().splitlines()
    assert json.loads(line)["event"] == "daemon.fault"
    with counters.reading() as (sums, _):
        assert sums.failures == {"empty": 1}


def test_an_event_that_cannot_be_counted_is_written_all_the_same() -> None:
    read, write = os.pipe()
    log = logger.logger("json", fd=write, observe=Counters())
    log.info("request.done", file="a")  # lacks everything that is counted
    os.close(write)
    with open(read, "rb") as written:  # noqa: PTH123 - a descriptor
        assert json.loads(written.read())["file"] == "a"


def test_names_of_models_are_told_apart(seen: Seen) -> None:
    seen.replay([
        {"event": "daemon.start", "level": "info", "run_id": "x", "version": "1.2.3"},
        {"event": "daemon.ready", "level": "info", "model": PIN},
    ])  # fmt: skip
    page = seen.samples()
    labels = f'lane="",name="trec",sha="sha256:{"0" * 64}",version="2.0.0"'
    assert page[f"spikewatch_model_info{{{labels}}}"] == 1
    assert page['spikewatch_build_info{version="1.2.3"}'] == 1


def test_the_page_of_the_docs_names_every_metric_and_no_other(
    seen: Seen, worked: list[dict[str, Any]]
) -> None:
    assert worked
    text = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
    stated = set(re.findall(r"`(spikewatch_\w+)(?:\{[a-z,]+\})?`", text))
    exposed = {f.name + "_total" * (f.type == "counter") for f in parse(seen.page())}
    assert stated == {name for name in exposed if name.startswith("spikewatch_")}


def test_markers_are_no_inputs_that_wait(spool: Path) -> None:
    for name in ("a.txt", "a.txt.done", "b.txt", "c.txt.part"):
        (spool / "in" / name).touch()
    assert SpoolCounter(spool, Time().clock().monotonic, marker=".done").count().inbox == 2
