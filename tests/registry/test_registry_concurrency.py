"""Many processes at once: no publish is lost, no reader sees half a change.

With the lock, with a lock that does nothing (as on some network file systems), and, as a control,
with the exclusive link taken away as well: that one must lose publishes, or this test is blind.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import Gate, fork, model_files, publish, wait

from spikewatch.registry import Registry, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 8
PUBLISHES = 10


def no_lock(*_: object) -> None:
    """Stand in for flock where it lies."""


def claim_without_exclusion(source: Path, target: Path, **_: object) -> None:
    """Stand in for link: an atomic rename, as a simpler design would use."""
    copy = Path(f"{source}.{uuid.uuid4().hex}")
    shutil.copyfile(source, copy)
    os.replace(copy, target)  # noqa: PTH105 -- the twin of the call it stands in for


# What a worker does to itself, being a process of its own.


def fault_none() -> None:
    """Work as it should."""


def fault_lock() -> None:
    pytest.MonkeyPatch().setattr(fcntl, "flock", no_lock)


def fault_lock_and_claim() -> None:
    fault_lock()
    pytest.MonkeyPatch().setattr(os, "link", claim_without_exclusion)


def run_workers(registry: Registry, acks: Path, fault: Callable[[], None]) -> list[int]:
    """Publish from several processes at once, each with alias moves; give their exit codes."""
    gate = Gate()

    def work(worker: int) -> None:
        fault()
        gate.enter()
        with (acks / str(worker)).open("w") as file:
            for n in range(PUBLISHES):
                version = f"{worker}.{n}.0"
                pin = publish(Registry(registry.root), version)
                print(version, file=file, flush=True)
                registry.set_alias("trec", "production", str(pin), reason=version)
                registry.set_alias("trec", f"w{worker}", version)

    children = [fork(partial(work, w)) for w in range(WORKERS)]
    gate.open()
    return [wait(child) for child in children]


def read_until(registry: Registry, stop: Path, count: Path) -> None:
    """Read everything a reader can, over and over, until told to stop."""
    reads = 0
    while not stop.exists():
        # As a foreign tool reads it: the index alone, and what it names.
        index = json.loads((registry.root / "trec" / "index.json").read_bytes())
        for entry in index["manifests"]:
            name = entry["digest"].removeprefix("sha256:")
            blob = registry.root / "trec" / "blobs" / "sha256" / name
            assert blob.stat().st_size == entry["size"]
        # And as ours.
        pin = registry.resolve("trec:production")
        model = registry.load("trec:production")
        assert model.files == model_files(str(model.pin.version))
        assert registry.load(str(pin)).pin == pin
        reads += 1
    count.write_text(str(reads))


def acknowledged(acks: Path) -> set[str]:
    return {line for file in acks.iterdir() for line in file.read_text().split()}


@pytest.mark.parametrize("fault", [fault_none, fault_lock])
def test_no_publish_is_lost_and_no_reader_sees_half_a_change(
    tmp_path: Path, registry: Registry, fault: Callable[[], None]
) -> None:
    publish(registry, "99.0.0", "production")
    acks = tmp_path / "acks"
    acks.mkdir()
    stop, count = tmp_path / "stop", tmp_path / "count"
    reader = fork(lambda: read_until(registry, stop, count))
    codes = run_workers(registry, acks, fault)
    stop.touch()
    assert codes == [0] * WORKERS
    assert wait(reader) == 0
    assert int(count.read_text()) > 0
    expected = {f"{worker}.{n}.0" for worker in range(WORKERS) for n in range(PUBLISHES)}
    assert acknowledged(acks) == expected
    entries = registry.list()
    versions = {entry.tag for entry in entries if entry.kind == "version"}
    assert versions == expected | {"99.0.0"}
    aliases = {entry.tag: entry.version for entry in entries if entry.kind == "alias"}
    assert aliases.pop("production") in expected
    assert aliases == {f"w{worker}": f"{worker}.{PUBLISHES - 1}.0" for worker in range(WORKERS)}
    report = registry.verify()
    assert report.ok, report.problems
    assert report.notes == ()  # the index is not behind: whoever swapped last swapped in the newest
    journal = list((registry.root / "trec" / ".journal").glob("*.json"))
    assert len(journal) == 2 + 3 * WORKERS * PUBLISHES
    index: dict[str, Any] = json.loads((registry.root / "trec" / "index.json").read_bytes())
    assert index["annotations"]["org.spikewatch.generation"] == str(len(journal))


def test_control_without_the_claim_publishes_are_lost(tmp_path: Path, registry: Registry) -> None:
    publish(registry, "99.0.0", "production")
    acks = tmp_path / "acks"
    acks.mkdir()
    run_workers(registry, acks, fault_lock_and_claim)
    journal = (registry.root / "trec" / ".journal").glob("*.json")
    kept = {json.loads(path.read_bytes())["ref"] for path in journal}
    lost = acknowledged(acks) - kept
    assert lost


@pytest.mark.parametrize("fault", [fault_none, fault_lock])
def test_one_of_many_different_publishes_of_a_version_wins(
    tmp_path: Path, registry: Registry, fault: Callable[[], None]
) -> None:
    gate = Gate()

    def work(worker: int) -> None:
        fault()
        gate.enter()
        try:
            registry.publish("trec", "1.0.0", model_files(str(worker)), created=None)
        except RegistryError as e:
            assert "is published as" in str(e)
        else:
            (tmp_path / f"won-{worker}").touch()

    children = [fork(partial(work, w)) for w in range(WORKERS)]
    gate.open()
    assert [wait(child) for child in children] == [0] * WORKERS
    (winner,) = tmp_path.glob("won-*")
    assert registry.load("trec:1.0.0").files == model_files(winner.name.removeprefix("won-"))
    assert registry.verify().ok


def test_one_of_many_compare_and_sets_wins(tmp_path: Path, registry: Registry) -> None:
    start = publish(registry, "9.0.0", "production")
    for worker in range(WORKERS):
        publish(registry, f"{worker}.0.0")
    gate = Gate()

    def work(worker: int) -> None:
        gate.enter()
        try:
            registry.set_alias("trec", "production", f"{worker}.0.0", expect=start.digest)
        except RegistryError as e:
            assert "as expected" in str(e)
        else:
            (tmp_path / f"won-{worker}").touch()

    children = [fork(partial(work, w)) for w in range(WORKERS)]
    gate.open()
    assert [wait(child) for child in children] == [0] * WORKERS
    (winner,) = tmp_path.glob("won-*")
    version = registry.resolve("trec:production").version
    assert version == f"{winner.name.removeprefix('won-')}.0.0"


def test_many_first_publishes_of_a_model_make_one_layout(
    tmp_path: Path, registry: Registry
) -> None:
    acks = tmp_path / "acks"
    acks.mkdir()
    assert run_workers(registry, acks, fault_none) == [0] * WORKERS
    assert [path.name for path in registry.root.iterdir()] == ["trec"]
    assert registry.verify().ok


@pytest.mark.parametrize(("call", "target"), [("link", "00000002.json"), ("replace", "index.json")])
def test_a_writer_overtaken_without_a_lock_still_ends_at_the_newest_state(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, call: str, target: str
) -> None:
    """Another one commits just before this one claims its entry, or puts an older index over it."""
    publish(registry, "1.0.0")
    monkeypatch.setattr(fcntl, "flock", no_lock)
    real = getattr(os, call)

    def overtaken(source: Path, destination: Path, **kwargs: Any) -> None:
        if Path(destination).name == target:
            monkeypatch.setattr(os, call, real)
            publish(Registry(registry.root), "1.1.0")
        real(source, destination, **kwargs)

    monkeypatch.setattr(os, call, overtaken)
    publish(registry, "1.2.0")
    assert [entry.tag for entry in registry.list()] == ["1.0.0", "1.1.0", "1.2.0"]
    report = registry.verify()
    assert report.ok
    assert report.notes == ()  # the index is not behind
