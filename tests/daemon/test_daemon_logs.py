"""The log: what is documented is what is written, and a broken sink harms nobody."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spikewatch.daemon import events, logs
from spikewatch.daemon.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon_support import Bench

DOCUMENT = Path(__file__).parents[2] / "docs" / "logs.md"
NAMES = [
    value
    for name, value in vars(events).items()
    if name.isupper() and isinstance(value, str) and "." in value
]


def documented() -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", DOCUMENT.read_text()))


def paths(event: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Give the fields of an event, nested ones with a dot."""
    for key, value in event.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        else:
            yield prefix + key


@pytest.mark.parametrize("name", NAMES)
def test_every_event_is_documented(name: str) -> None:
    assert {name, f"## {name}"} & (documented() | set(DOCUMENT.read_text().splitlines()))


def test_every_field_is_documented_and_every_line_has_the_common_ones(hand: Bench) -> None:
    for _ in range(2):
        hand.drop("a.txt", "Who wrote Hamlet ?")
        hand.run()
    hand.drop("b.txt", b"\xff")
    (hand.path / "in" / "folder").mkdir()
    hand.watcher.lost = True
    hand.turn(passed_s=2.0)
    hand.service._room.check(refused=True)
    found = hand.events()
    assert {e["event"] for e in found} == {
        "request.done",
        "request.duplicate",
        "request.failed",
        "request.ignored",
        "watch.overflow",
        "disk.low",
    }
    known = documented()
    for event in found:
        assert not set(paths(event)) - known, event
        assert list(event)[:5] == ["timestamp", "level", "event", "schema", "run_id"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp"])
        assert event["schema"] == 1


def test_a_sink_that_fails_loses_lines_and_raises_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    sink = logs.Sink(write)
    sink.msg("one")
    os.close(write)
    sink.msg("two")
    assert sink.lost == 2


def test_lines_of_several_threads_are_all_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    sink = logs.Sink(fd)
    lines = [str(i) * 9_000 for i in range(8)]

    def write(line: str) -> None:
        for _ in range(200):
            sink.msg(line)

    with ThreadPoolExecutor(len(lines)) as pool:
        assert list(pool.map(write, lines)) == [None] * len(lines)
    os.close(fd)
    assert Counter(path.read_text().splitlines()) == dict.fromkeys(lines, 200)
    assert sink.lost == 0


def test_a_reader_that_sleeps_delays_nothing_and_the_loss_is_told_when_it_wakes() -> None:
    read, write = os.pipe()
    sink = logs.Sink(write, patience_s=0.0)
    written = 0
    while not sink.lost:
        sink.msg("x" * 1000)
        written += 1
    os.close(write)
    with open(read, "rb") as reader:  # noqa: PTH123 - a descriptor
        assert len(reader.read().splitlines()) == written - 1


def test_lost_lines_are_counted_on_the_next_one(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    log = logs.logger("json", fd=write)
    log.info("daemon.ready")
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), write)
    log.info("daemon.stop")
    os.close(write)
    assert json.loads((tmp_path / "log").read_bytes())["log_lines_lost"] == 1


def test_a_full_disk_under_the_log_raises_nothing() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        logs.logger("json", fd=fd).info("daemon.ready")
    finally:
        os.close(fd)


def test_lines_are_json_whatever_they_hold(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = logs.logger("json", fd=fd, run_id="x")
    log.info("daemon.ready", odd="\udcff\n\u2028", path=tmp_path)
    log.debug("not.written")
    os.close(fd)
    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert json.loads(line)["odd"] == "\udcff\n\u2028"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(SettingsError) as error:
        logs.style("xml")
    assert str(error.value) == "log format 'xml': expected one of json, console, auto"
