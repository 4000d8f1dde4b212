"""Cut the power at every flush of the disk: nothing that was acknowledged is lost, and nothing is answered twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from daemon_lives import Nursery, Rest, at_rest, copy, unlike
from daemon_support import content
from power_cut import Machine, Recording

from spikewatch.daemon.spool.names import base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUT = ("put-a.txt", "put-b.txt")
ROOM = {"min_free_bytes": 0, "min_free_percent": 0.0, "ballast_bytes": 4096}
"""Settings for a small disk."""


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as made:
        yield made


@pytest.fixture
def expected(scene: Path, lives: Nursery, memory: Path, tmp_path: Path) -> Iterator[Rest]:
    """Yield the end without a power cut."""
    spool = copy(scene, memory / "uncut")
    put(spool, tmp_path, ())
    assert lives.live(spool, **ROOM) == 0
    yield at_rest(spool)
    shutil.rmtree(spool)


def put(spool: Path, folder: Path, enter: tuple[str, ...], marks: Path | None = None) -> None:
    """Drop two files by `spikewatchd put`, whose output goes to the marks."""
    files = [folder / name for name in PUT]
    for file in files:
        file.write_bytes(b"Who wrote Hamlet ?\n")
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "put", "--spool", spool, *files]
    into = marks or "/dev/null"
    subprocess.run([*enter, "sh", "-c", f'"$@" >> {into}', "put", *command], check=True)


def wrong_after(spool: Path, marks: bytes, expected: Rest, lives: Nursery) -> list[str]:
    """Return what is wrong on a disk after a power cut, before and after the daemon has run on it."""
    lines = marks.decode().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    answered = {e["file"] for e in events if e["event"] == "request.done"}
    failed = {e["file"] for e in events if e["event"] == "request.failed"}
    acknowledged = {name for name in PUT if name in lines}
    wrong = [
        f"lost: the result of {name}"
        for name in answered
        if expected.results[f"{base(name)}.jsonl"] != _read(spool / "out" / f"{base(name)}.jsonl")
    ]
    wrong += [f"lost: the report of {n}" for n in failed - content(spool / "failed")]
    present = {n for n in PUT for folder in ("in", "work", "done") if n in content(spool / folder)}
    wrong += [f"lost: {name}" for name in acknowledged - present]
    code = lives.live(spool, **ROOM)
    if code:
        wrong.append(f"exit code {code}: {lives.said()}")
    twice = {e["file"] for e in lives.events("request.done")} & answered
    wrong += [f"answered twice: {name}" for name in twice]
    rest = at_rest(spool)
    found = unlike(rest, expected)
    never = set(PUT) - present
    return wrong + [
        w
        for w in found
        if not any(f" {name}" in w for name in never)
        if not w.startswith(
            "left: tmp/put-"
        )  # `put` was cut short, and another `put` may be running
    ]


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize(
    "every_write",
    [False, pytest.param(True, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
    ids=["flushes", "writes"],
)
def test_a_power_cut_loses_nothing_and_answers_nothing_twice(
    machine: Machine,
    scene: Path,
    expected: Rest,
    registry: Path,
    memory: Path,
    tmp_path: Path,
    *,
    every_write: bool,
) -> None:
    folder = memory / "power"
    folder.mkdir()
    recording = Recording(machine, folder)
    machine.run("cp", "-a", scene, recording.point / "spool")
    recording.begin()
    put(recording.point / "spool", tmp_path, machine.enter, recording.marks)
    with Nursery(registry, recording.marks, prefix=machine.enter) as lives:
        assert lives.live(recording.point / "spool", **ROOM) == 0
    recording.end()
    wrong, cuts = [], 0
    with Nursery(registry, tmp_path / "log", prefix=machine.enter) as lives:
        for cut in recording.cuts(every_write=every_write):
            cuts += 1
            with machine.mounted(cut.image, folder / "after") as seen:
                found = wrong_after(seen / "spool", cut.marks, expected, lives)
            wrong += [f"{cut.name}: {w}" for w in found]
    print(f"{cuts} power cuts")  # noqa: T201 - the figure of the soak
    shutil.rmtree(folder)
    assert wrong == []
    assert cuts > 50
