"""Many processes at once: no publish is lost, no reader sees half a change.

Each scenario runs with the lock, and with a lock that does nothing, as on some network file systems. A control takes
away the exclusive link as well: it must lose publishes, or these tests could not detect a loss.
"""

from __future__ import annotations

import fcntl
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import Gate, fork, model_files, publish, wait
from scenarios import (
    fault_lock,
    fault_none,
    lose_without_claim,
    no_lock,
    publish_from_many,
    run_workers,
)

from spikewatch.registry import Registry, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 8
PUBLISHES = 20


@pytest.mark.timeout(
    600
)  # without the lock on a busy machine, most attempts lose the race and start again
@pytest.mark.parametrize("fault", [fault_none, fault_lock])
def test_no_publish_is_lost_and_no_reader_sees_half_a_change(
    memory: Path, fault: Callable[[], None]
) -> None:
    registry = Registry.init(memory / "models")
    found = publish_from_many(memory, registry, fault, workers=WORKERS, publishes=PUBLISHES)
    assert (found.acknowledged, found.lost) == (WORKERS * PUBLISHES, 0)
    assert found.reads > 0


def test_control_publishes_are_lost_without_the_exclusive_link(
    tmp_path: Path, registry: Registry
) -> None:
    found = lose_without_claim(tmp_path, registry, workers=WORKERS, publishes=PUBLISHES)
    assert found.lost > 0


@pytest.mark.parametrize("fault", [fault_none, fault_lock])
def test_exactly_one_of_many_different_publishes_of_a_version_succeeds(
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


def test_exactly_one_of_many_compare_and_sets_succeeds(tmp_path: Path, registry: Registry) -> None:
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


def test_simultaneous_first_publishes_create_one_layout(tmp_path: Path, registry: Registry) -> None:
    codes = run_workers(registry, tmp_path / "acks", fault_none, workers=WORKERS, publishes=5)
    assert codes == [0] * WORKERS
    assert [path.name for path in registry.root.iterdir()] == ["trec"]
    assert registry.verify().ok


@pytest.mark.parametrize(("call", "target"), [("link", "00000002.json"), ("replace", "index.json")])
def test_a_writer_overtaken_without_a_lock_leaves_the_newest_state(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, call: str, target: str
) -> None:
    """Let another writer commit just before this one links its entry, or just before it installs its index."""
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
