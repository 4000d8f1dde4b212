"""Measure publishing, moving an alias, resolving and verifying in a registry, and the disk's fsync for comparison."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tables import print_table
from spikewatch.registry import Registry
from spikewatch.registry.formats.manifest import build
from spikewatch.registry.layout.commit import create, rebuild
from spikewatch.registry.layout.journal import Change, entry_name
from spikewatch.registry.layout.layout import Layout
from spikewatch.registry.references import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = 300
MANY = 5000
SIZE = 250_000
REPEATS = 200
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print the table."""
    # The default temporary directory may be in memory, where fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="spikewatch-bench-") as folder:
        root = Path(folder)
        rows = [*_fsync(root), *_small(root), *_large(root)]
    print_table(
        f"The registry, {SIZE // 1000} kB per version",
        ["what", "median, ms", "p99, ms", "processor, ms", "limit, ms"],
        rows,
    )
    print(
        "\nThe fsync rows sync a new file of 600 bytes and its directory, one after the other, before "
        "everything else. A publish waits for the disk four times, an alias move twice, each time for several "
        "files together. 'processor' is the median CPU time, which does not include waiting for other work on "
        "the machine. 'first look' uses a Registry that has not read this index before."
    )


def _times(work: Callable[[int], object], repeats: int = REPEATS) -> list[tuple[float, float]]:
    """Return wall-clock and CPU time of each repetition, in ms."""
    times = []
    for n in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        work(n)
        times.append(((time.perf_counter() - start) * 1e3, (time.process_time() - used) * 1e3))
    return times


def _row(what: str, times: list[tuple[float, float]], limit: str = "") -> list[str]:
    walls = sorted(wall for wall, _ in times)
    used = statistics.median(used for _, used in times)
    worst = walls[min(len(walls) - 1, len(walls) * 99 // 100)]
    return [what, f"{statistics.median(walls):.2f}", f"{worst:.2f}", f"{used:.2f}", limit]


def _fsync(root: Path) -> list[list[str]]:
    def write(n: int) -> None:
        file = os.open(root / f"probe-{n}", os.O_WRONLY | os.O_CREAT)
        os.write(file, bytes(600))
        os.fsync(file)
        os.close(file)

    def name(n: int) -> None:
        (root / f"probe-{n}").rename(root / f"named-{n}")
        file = os.open(root, os.O_RDONLY)
        os.fsync(file)
        os.close(file)

    return [
        _row("fsync of a file", _times(write)),
        _row("fsync of a directory", _times(name)),
    ]


def _files(n: int) -> dict[str, bytes]:
    return {
        "core.safetensors": random.Random(n).randbytes(SIZE),
        "labels.json": b"[]",
        "eval.json": b'{"stages":{"spiking":{"accuracy":0.8%d}}}' % n,
    }


def _small(root: Path) -> list[list[str]]:
    registry = Registry.init(root / "small")
    files = [_files(n) for n in range(VERSIONS)]

    def publish(n: int) -> None:
        registry.publish("trec", f"1.{n}.0", files[n], created=CREATED)

    published = _times(publish, VERSIONS)
    moved = _times(lambda n: registry.set_alias("trec", "production", f"1.{n}.0"))
    time.sleep(0.1)  # a Registry caches an index only when its last change is old enough
    return [
        _row(f"publish, 1 to {VERSIONS} versions", published, "40"),
        _row(f"alias move, {VERSIONS} versions", moved, "10"),
        _row(
            f"resolve, {VERSIONS} versions, first look",
            _times(lambda _: Registry(registry.root).resolve("trec:production")),
            "1",
        ),
        _row(
            f"resolve, {VERSIONS} versions, again",
            _times(lambda _: registry.resolve("trec:production")),
            "1",
        ),
        _row(f"verify, {VERSIONS} versions", _times(lambda _: registry.verify(), 9), "500"),
        _row(f"list, {VERSIONS} versions", _times(lambda _: registry.list(), 9)),
    ]


def _large(root: Path) -> list[list[str]]:
    """Measure with thousands of versions, whose journal is written without syncs to save time."""
    registry = Registry.init(root / "large")
    layout = Layout(registry.root / "trec")
    create(layout)
    previous = None
    for n in range(MANY):
        package = build(
            "trec", f"1.{n}.0", {"n.txt": b"%d" % n}, config={}, created=CREATED, annotations={}
        )
        for digest, data in package.blobs.items():
            layout.blob_path(digest).write_bytes(data)
        entry = Change(
            generation=n + 1,
            previous=previous,
            operation="publish",
            tag=f"1.{n}.0",
            source=None,
            target=package.descriptor,
            time="2026-01-01T00:00:00.000Z",
            actor="bench",
            reason="",
        ).to_bytes()
        (layout.journal / entry_name(n + 1)).write_bytes(entry)
        previous = digest_of(entry)
    rebuild(layout)
    os.sync()
    time.sleep(0.1)
    rows = [
        _row(
            f"resolve, {MANY} versions, first look",
            _times(lambda _: Registry(registry.root).resolve(f"trec:1.{MANY // 2}.0"), 50),
            "20",
        ),
        _row(
            f"resolve, {MANY} versions, again",
            _times(lambda _: registry.resolve(f"trec:1.{MANY // 2}.0"), 50),
            "20",
        ),
        _row(
            f"publish, {MANY} versions",
            _times(lambda n: registry.publish("trec", f"2.{n}.0", _files(n), created=CREATED), 30),
            "100",
        ),
        _row(f"verify, {MANY} versions", _times(lambda _: registry.verify(), 3)),
    ]
    size = layout.index.stat().st_size
    rows.append([f"index.json, {MANY} versions", f"{size / 1e6:.2f} MB", "", "", ""])
    shutil.rmtree(registry.root)
    return rows
