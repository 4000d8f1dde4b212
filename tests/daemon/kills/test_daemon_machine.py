"""Machines that misbehave while a daemon runs: frozen folders, clocks that jump, logs and blobs that change."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sysconfig
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_namespace import island, within
from daemon_support import Bench, Daemon, content, records, spool_of, until
from support import tiny_model_files

from spikewatch.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon_lives import Nursery

GOOD = b"who wrote hamlet ?\n"
DAY_S = 86_400.0


@pytest.fixture
def freeze(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """Yield a function that makes a folder immutable (`+i`) or not (`-i`)."""
    tried = tmp_path / "tried"
    tried.mkdir()
    if (
        shutil.which("chattr") is None
        or subprocess.run(["chattr", "+i", tried], capture_output=True, check=False).returncode
    ):
        pytest.skip("no immutable folders here")
    frozen = {tried}

    def change(folder: Path, how: str) -> None:
        subprocess.run(["chattr", how, folder], check=True)
        frozen.add(folder)

    yield change
    for folder in frozen:
        subprocess.run(["chattr", "-i", folder], check=True)


@pytest.mark.parametrize("folder", ["out", "done", "work", "tmp"])
def test_a_folder_that_takes_no_names_makes_the_work_wait_and_loses_nothing(
    spool: Path, lives: Nursery, freeze: Callable[[Path, str], None], folder: str
) -> None:
    lives.start(spool, scan_s=0.05)
    lives.wait_for("daemon.ready")
    freeze(spool / folder, "+i")
    names = {f"{i}.txt" for i in range(5)}
    for name in names:
        (spool / "in" / f".{name}").write_bytes(GOOD)
        (spool / "in" / f".{name}").rename(spool / "in" / name)
    until(
        lambda: (
            lives.events("request.retry", code="EPERM") + lives.events("daemon.fault", code="EPERM")
        ),
        "complaints",
    )
    assert content(spool / "failed") == set()
    assert names == {n for f in ("in", "work", "done") for n in content(spool / f) if n[0] != "."}
    freeze(spool / folder, "-i")
    until(lambda: content(spool / "done") == names, "all in done/")
    until(lambda: not content(spool / "work") | content(spool / "in"), "nothing left")
    for name in names:
        assert records(spool / "out" / f"{name}.jsonl")[0]["status"] == "ok"


@pytest.mark.parametrize("jump_s", [-DAY_S, DAY_S])
def test_a_clock_that_jumps_by_a_day_delays_nothing(hand: Bench, jump_s: float) -> None:
    hand.drop("before.txt", GOOD)
    hand.turn()
    hand.time.ahead_s = jump_s
    hand.drop("after.txt", GOOD)
    hand.run()
    hand.time.ahead_s = 0.0
    hand.drop("back.txt", GOOD)
    hand.run()
    assert content(hand.path / "done") == {"before.txt", "after.txt", "back.txt"}
    for event in hand.events("request.done"):
        assert min(event["latency_ms"].values()) >= 0
    assert not hand.events("daemon.fault") + hand.events("request.retry")


def test_a_log_that_is_rotated_by_us_and_by_others_at_once_loses_no_line(
    spool: Path, registry: Path, tmp_path: Path
) -> None:
    logs, files = tmp_path / "logs", 300
    logs.mkdir()
    over = threading.Event()
    taken = 0

    def take_away() -> None:
        """Rename the log again and again, as logrotate does."""
        nonlocal taken
        while not over.is_set():
            try:
                (logs / "log").rename(logs / f"taken-{taken}")
                taken += 1
            except FileNotFoundError:
                pass
            over.wait(0.002)

    options = ("--log-level", "debug", "--log-file-bytes", "4096", "--log-file-count", "1000")
    with Daemon(spool, registry, "--log-file", str(logs / "log"), *options).ready() as daemon:
        other = threading.Thread(target=take_away)
        other.start()
        for i in range(files):
            (spool / "in" / f".{i}.txt").write_bytes(GOOD)
            (spool / "in" / f".{i}.txt").rename(spool / "in" / f"{i}.txt")
        until(lambda: len(content(spool / "done")) == files, "all in done/")
        assert daemon.stop() == 0
        over.set()
        other.join()
        said = sorted(e["seq"] for e in daemon.events() if "seq" in e)
        done = {e["file"] for e in daemon.events("request.done")}
    found = [json.loads(line) for path in logs.iterdir() for line in path.read_bytes().splitlines()]
    assert len(done) == files
    assert {e["file"] for e in found if e["event"] == "request.done"} == done
    assert sorted(e["seq"] for e in found if "seq" in e) == said
    assert taken > 1


def test_a_blob_that_is_damaged_while_its_model_serves_is_never_loaded(
    spool: Path, tmp_path: Path
) -> None:
    models = Registry.init(tmp_path / "models")
    for seed in (1, 2):
        files = tiny_model_files(seed, tested=True)
        models.publish("tiny", f"{seed}.0.0", files, created=datetime(2026, 1, 1, tzinfo=UTC))
    models.set_alias("tiny", "production", "1.0.0")
    whole = {
        p: p.read_bytes() for p in (tmp_path / "models" / "tiny" / "blobs" / "sha256").iterdir()
    }
    options = ("--model", "tiny:production", "--model-poll-s", "3600", "--retry-first-s", "0.05")
    with Daemon(spool, tmp_path / "models", *options).ready() as daemon:
        models.set_alias(
            "tiny", "production", "2.0.0"
        )  # would be refused if its blobs were damaged
        for path, data in whole.items():
            path.chmod(0o644)
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        _answer(spool, "one.txt")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("model.failed")
        _answer(spool, "two.txt")
        for path, data in whole.items():
            path.write_bytes(data)
        daemon.wait_for("model.swapped")
        _answer(spool, "three.txt")
        used = {e["file"]: e["model"].split("@")[0] for e in daemon.events("request.done")}
    assert used == {"one.txt": "tiny:1.0.0", "two.txt": "tiny:1.0.0", "three.txt": "tiny:2.0.0"}


def _answer(spool: Path, name: str) -> None:
    (spool / "in" / f".{name}").write_bytes(GOOD)
    (spool / "in" / f".{name}").rename(spool / "in" / name)
    until(lambda: name in content(spool / "done"), name)


def test_a_registry_on_a_read_only_file_system_is_read_and_not_written(
    registry: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(registry, models)
    with island(models, tmp_path / "small", "size=4m") as (lives, inside):
        within(lives, "mount", "--bind", models, models)
        within(lives, "mount", "-o", "remount,bind,ro", models)
        spool = spool_of(inside / "spool")
        (spool / "in" / "a.txt").write_bytes(GOOD)
        assert lives.live(tmp_path / "small" / "spool", min_free_bytes=0, min_free_inodes=0) == 0, (
            lives.said()
        )
        assert content(spool / "done") == {"a.txt"}
        enter = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(lives.process.pid)]
        tool = [*enter, Path(sysconfig.get_path("scripts"), "spikewatch-registry")]
        moved = subprocess.run(
            [*tool, "alias", "set", "tiny", "new", "1.0.0", "--registry", models],
            capture_output=True,
            text=True,
            check=False,
        )
        listed = subprocess.run(
            [*tool, "list", "--registry", models], capture_output=True, text=True, check=False
        )
    assert listed.returncode == 0
    assert "1.0.0" in listed.stdout
    assert moved.returncode != 0
    (line,) = moved.stderr.splitlines()
    assert "Read-only file system" in line


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_hundred_thousand_names_of_the_greatest_length(spool: Path, registry: Path) -> None:
    names = {f"{i:06d}{'n' * 245}.txt" for i in range(100_000)}
    for name in names:
        (spool / "in" / name).write_bytes(GOOD)
    with Daemon(spool, registry, "--once", "--durability", "process") as daemon:
        daemon.process.wait(600)
        assert daemon.process.returncode == 0
    assert content(spool / "done") == names
    assert len(content(spool / "out")) == 2 * len(names)
