"""Scenarios with many processes and faults; the usual tests run them briefly, the soak tests for long."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from registry_support import Gate, fork, model_files, publish, wait

from spikewatch.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable


def no_lock(*_: object) -> None:
    """Replace `flock` by one that does nothing, as on some network file systems."""


def claim_without_exclusion(source: Path, target: Path, **_: object) -> None:
    """Replace `link` by an atomic rename, which a simpler design might use: it overwrites an existing entry."""
    copy = Path(f"{source}.{uuid.uuid4().hex}")
    shutil.copyfile(source, copy)
    os.replace(copy, target)  # noqa: PTH105 -- same form as the call it replaces


# Faults: a worker applies one to itself; nothing needs undoing, because the worker is a process of its own.


def fault_none() -> None:
    """Apply no fault."""


def fault_lock() -> None:
    """Disable the lock."""
    pytest.MonkeyPatch().setattr(fcntl, "flock", no_lock)


def fault_lock_and_claim() -> None:
    """Disable both the lock and the exclusive link."""
    fault_lock()
    pytest.MonkeyPatch().setattr(os, "link", claim_without_exclusion)


# Many publishers


def run_workers(
    registry: Registry, acks: Path, fault: Callable[[], None], *, workers: int, publishes: int
) -> list[int]:
    """Publish and move aliases in several processes at once; return their exit codes."""
    acks.mkdir(exist_ok=True)
    gate = Gate()

    def work(worker: int) -> None:
        fault()
        gate.enter()
        with (acks / str(worker)).open("w") as file:
            for n in range(publishes):
                version = f"{worker}.{n}.0"
                pin = publish(Registry(registry.root), version)
                print(version, file=file, flush=True)
                registry.set_alias("trec", "production", str(pin), reason=version)
                registry.set_alias("trec", f"w{worker}", version)

    children = [fork(partial(work, w)) for w in range(workers)]
    gate.open()
    return [wait(child) for child in children]


def acknowledged(acks: Path) -> set[str]:
    """Return the versions whose publish was reported as successful."""
    return {line for file in acks.iterdir() for line in file.read_text().split()}


def read_until(registry: Registry, stop: Path, count: Path) -> None:
    """Read the model in every way until the file `stop` exists; write the number of rounds to `count`."""
    reads = 0
    while not stop.exists():
        # As other tools read it: only the index, and the blobs that it names.
        index = json.loads((registry.root / "trec" / "index.json").read_bytes())
        for entry in index["manifests"]:
            name = entry["digest"].removeprefix("sha256:")
            blob = registry.root / "trec" / "blobs" / "sha256" / name
            assert blob.stat().st_size == entry["size"]
        # As this registry reads it.
        pin = registry.resolve("trec:production")
        model = registry.load("trec:production")
        assert model.files == model_files(str(model.pin.version))
        assert registry.load(str(pin)).pin == pin
        reads += 1
    count.write_text(str(reads))


class Published(NamedTuple):
    """The numbers of acknowledged publishes, of those that were lost, and of the reader's rounds."""

    acknowledged: int
    lost: int
    reads: int


def publish_from_many(
    tmp_path: Path, registry: Registry, fault: Callable[[], None], *, workers: int, publishes: int
) -> Published:
    """Publish, move aliases and read, all at the same time; check everything but the counts returned."""
    publish(registry, "99.0.0", "production")
    acks, stop, count = (tmp_path / name for name in ("acks", "stop", "count"))
    reader = fork(lambda: read_until(registry, stop, count))
    codes = run_workers(registry, acks, fault, workers=workers, publishes=publishes)
    stop.touch()
    assert codes == [0] * workers
    assert wait(reader) == 0
    done = acknowledged(acks)
    entries = registry.list()
    versions = {entry.tag for entry in entries if entry.kind == "version"} - {"99.0.0"}
    assert versions <= {f"{worker}.{n}.0" for worker in range(workers) for n in range(publishes)}
    aliases = {entry.tag: entry.version for entry in entries if entry.kind == "alias"}
    assert aliases.pop("production") in versions
    assert aliases == {f"w{worker}": f"{worker}.{publishes - 1}.0" for worker in range(workers)}
    report = registry.verify()
    assert report.ok, report.problems
    assert report.notes == ()  # the index is not behind: the last writer installed the newest state
    journal = list((registry.root / "trec" / ".journal").glob("*.json"))
    assert len(journal) == 2 + 3 * workers * publishes
    index = json.loads((registry.root / "trec" / "index.json").read_bytes())
    assert index["annotations"]["org.spikewatch.generation"] == str(len(journal))
    return Published(len(done), len(done - versions), int(count.read_text()))


CONTROLS = 5
"""Most registries that the control tries to lose a publish in."""


def lose_without_claim(
    tmp_path: Path, registry: Registry, *, workers: int, publishes: int
) -> Published:
    """Publish without lock and exclusive link; count the lost publishes.

    The workers may corrupt a registry, and end, before a publish is lost in it; then another registry is tried.
    """
    found = Published(0, 0, 0)
    for attempt in range(CONTROLS):
        tried = Registry.init(registry.root.with_name(f"control-{attempt}"))
        publish(tried, "99.0.0", "production")
        acks = tmp_path / f"acks-{attempt}"
        run_workers(tried, acks, fault_lock_and_claim, workers=workers, publishes=publishes)
        journal = (tried.root / "trec" / ".journal").glob("*.json")
        kept = {json.loads(path.read_bytes())["ref"] for path in journal}
        done = acknowledged(acks)
        found = Published(len(done), len(done - kept), 0)
        if found.lost:
            break
    return found


# Killed publishers


def kill_publishers(
    tmp_path: Path, registry: Registry, fault: Callable[[], None], *, turns: int
) -> int:
    """Kill four publishers per turn at random moments; check the registry, return the acknowledged publishes."""
    publish(registry, "0.0.0", "production")
    chance = random.Random(20260101)
    done: set[str] = set()
    for turn in range(turns):
        gate = Gate()
        notes = tmp_path / f"{turn}"
        notes.mkdir()

        def work(worker: int, turn: int = turn, gate: Gate = gate, notes: Path = notes) -> None:
            fault()
            gate.enter()
            with (notes / str(worker)).open("w") as acks:
                for n in range(1000):
                    publish(Registry(registry.root), f"{turn}.{worker}.{n}", "production")
                    print(f"{turn}.{worker}.{n}", file=acks, flush=True)

        children = [fork(partial(work, w)) for w in range(1, 5)]
        gate.open()
        for worker, child in enumerate(children, start=1):
            # A random moment: after one to three acknowledgements of this worker, plus up to about a millisecond.
            enough = chance.randrange(1, 4)
            ack = notes / str(worker)
            while not ack.exists() or ack.read_text().count("\n") < enough:
                threading.Event().wait(0.0005)
            for _ in range(chance.randrange(20_000)):
                pass
            os.kill(child, signal.SIGKILL)
            assert wait(child) == -signal.SIGKILL
        for ack in notes.iterdir():
            done |= set(ack.read_text().split("\n")[:-1])
        report = registry.verify()
        assert report.ok, report.problems
        assert done <= {entry.tag for entry in registry.list()}
    final = publish(registry, "99.0.0", "production")
    assert registry.resolve("trec:production") == final
    assert registry.verify().ok
    return len(done)


# A collector


def race_collector(
    tmp_path: Path, registry: Registry, *, grace: float, publishers: int, publishes: int
) -> int:
    """Publish and withdraw while gc runs; check that nothing is lost, return the number of collections."""
    publish(registry, "99.0.0", "production")
    stop, count, gate = tmp_path / "stop", tmp_path / "count", Gate()

    def work(worker: int) -> None:
        gate.enter()
        for n in range(publishes):
            publish(Registry(registry.root), f"{worker}.{n}.0")
            if n % 2:
                registry.withdraw("trec", f"{worker}.{n}.0")

    def sweep() -> None:
        gate.enter()
        runs = 0
        while not stop.exists():
            registry.gc(grace=grace)
            runs += 1
        count.write_text(str(runs))

    sweeper = fork(sweep)
    children = [fork(partial(work, w)) for w in range(publishers)]
    gate.open()
    codes = [wait(child) for child in children]
    stop.touch()
    assert codes == [0] * publishers
    assert wait(sweeper) == 0
    expected = {f"{w}.{n}.0" for w in range(publishers) for n in range(0, publishes, 2)}
    expected |= {"99.0.0"}
    assert {entry.tag for entry in registry.list() if entry.kind == "version"} == expected
    registry.gc(grace=0)
    report = registry.verify()
    assert report.ok, report.problems
    for version in expected:
        assert registry.load(f"trec:{version}").files == model_files(version)
    return int(count.read_text())


# A foreign reader


def move_while_skopeo_reads(tmp_path: Path, registry: Registry, *, reads: int) -> int:
    """Move an alias back and forth while skopeo reads it; check every read, return the number of moves."""
    pins = [publish(registry, "1.0.0", "production"), publish(registry, "1.1.0")]
    stop, count = tmp_path / "stop", tmp_path / "count"

    def move() -> None:
        moves = 0
        while not stop.exists():
            registry.set_alias("trec", "production", pins[(moves + 1) % 2].digest)
            moves += 1
        count.write_text(str(moves))

    mover = fork(move)
    seen = set()
    for _ in range(reads):
        raw = subprocess.run(
            ["skopeo", "inspect", "--raw", f"oci:{registry.root}/trec:production"],
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        seen.add(f"sha256:{hashlib.sha256(raw).hexdigest()}")
    stop.touch()
    assert wait(mover) == 0
    assert seen == {pin.digest for pin in pins}
    assert registry.verify().ok
    return int(count.read_text())
