"""Batches that are killed, lose their scheduler, or fill their disk: another run adds what is missing."""

from __future__ import annotations

import os
import random
import subprocess
import sysconfig
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batch_support import dask_scheduler, dask_worker, partitions
from daemon_namespace import island, within
from daemon_support import MODEL, PATIENCE_S, ask, until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(sysconfig.get_path("scripts"), "spikewatchd")


def batch(
    many: Path, out: Path, registry: Path, *options: str | Path, enter: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start a batch."""
    command = [
        PROGRAM,
        "batch",
        many,
        "--out",
        out,
        "--registry",
        registry,
        "--model",
        MODEL,
        "--part-mib",
        "0.1",
    ]
    return subprocess.Popen(
        [*enter, *command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Wait for the end; return the exit code and the lines on standard error."""
    _, err = process.communicate(timeout=2 * PATIENCE_S)
    return process.returncode, err.splitlines()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 40,000 questions."""
    rng = random.Random(6)
    texts = [ask(rng) for _ in range(2000)]
    file = tmp_path_factory.mktemp("many") / "many.txt"
    file.write_text("\n".join(texts * 20) + "\n")
    return file


@pytest.fixture(scope="module")
def calm(many: Path, registry: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return the results of an undisturbed batch."""
    out = tmp_path_factory.mktemp("calm")
    assert ended(batch(many, out, registry, "--workers", "1"))[0] == 0
    return results(out)


def results(out: Path) -> list[bytes]:
    """Return the partitions, and check that nothing else was left."""
    assert not list(out.glob("*/.*"))
    return [path.read_bytes() for path in partitions(out, "many.txt")]


def finished(out: Path) -> bool:
    """Return whether a part, but not all of them, can be expected to be finished."""
    return any(not path.name.startswith(".") for path in out.glob("many.txt.*/*"))


def test_a_batch_that_loses_its_scheduler_ends_in_one_line_and_is_continued(
    many: Path, calm: list[bytes], registry: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with ExitStack() as workers, dask_scheduler(tmp_path / "scheduler") as address:
        workers.enter_context(dask_worker(tmp_path / "one", address))
        running = batch(many, out, registry, "--scheduler", address)
        until(lambda: finished(out), "the first part")
    code, lines = ended(running)
    assert code not in {0, -9}
    assert len(lines) == 1, "\n".join(lines)
    assert "scheduler" in lines[0]
    assert ended(batch(many, out, registry, "--workers", "1"))[0] == 0
    assert results(out) == calm


def test_a_batch_that_is_killed_leaves_no_worker_and_is_continued(
    many: Path, calm: list[bytes], registry: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    running = batch(many, out, registry, "--workers", "2")
    until(lambda: finished(out), "the first part")
    family = descendants(running.pid)
    assert family
    running.kill()
    running.communicate()
    until(lambda: not [pid for pid in family if Path(f"/proc/{pid}/exe").exists()], "no worker")
    assert ended(batch(many, out, registry, "--workers", "1"))[0] == 0
    assert results(out) == calm


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


@pytest.fixture
def small(registry: Path, tmp_path: Path) -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
    """Yield a small disk: its path for those inside, for those outside, and the command that enters."""
    with island(registry, tmp_path / "small", "size=1m") as (lives, inside):
        target = str(lives.process.pid)
        yield (
            tmp_path / "small",
            inside,
            ("nsenter", "-U", "-m", "--preserve-credentials", "-t", target),
        )
        within(lives, "true")


def test_a_batch_whose_disk_is_full_ends_in_one_line_and_is_continued(
    small: tuple[Path, Path, tuple[str, ...]], many: Path, calm: list[bytes], registry: Path
) -> None:
    point, inside, enter = small
    code, lines = ended(batch(many, point / "out", registry, "--workers", "1", enter=enter))
    assert code not in {0, -9}
    assert len(lines) == 1, lines
    assert os.strerror(28) in lines[0]
    subprocess.run([*enter, "mount", "-o", "remount,size=256m", point], check=True)
    assert ended(batch(many, point / "out", registry, "--workers", "1", enter=enter))[0] == 0
    assert results(inside / "out") == calm
