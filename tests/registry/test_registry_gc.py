"""What gc removes, and what it keeps."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from registry_support import CREATED, flip, model_files, publish, snapshot
from scenarios import race_collector

from spikewatch.registry import Conflict, Corrupt, NotFound, Registry

if TYPE_CHECKING:
    from pathlib import Path


def blobs(registry: Registry) -> set[str]:
    return {path.name for path in (registry.root / "trec" / "blobs" / "sha256").iterdir()}


def age(root: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def test_gc_keeps_what_a_version_needs_and_removes_the_rest(registry: Registry) -> None:
    publish(registry, "1.0.0", "production")
    kept = blobs(registry)
    publish(registry, "1.1.0")
    gone = blobs(registry) - kept
    registry.withdraw("trec", "1.1.0")
    before = snapshot(registry.root)
    (plan,) = registry.gc(grace=0, dry_run=True)
    assert snapshot(registry.root) == before
    assert {digest.removeprefix("sha256:") for digest in plan.blobs} == gone
    assert plan.size == sum(len(before[f"trec/blobs/sha256/{name}"]) for name in gone)
    (done,) = registry.gc(grace=0)
    assert done == plan
    assert blobs(registry) == kept
    assert registry.gc(grace=0)[0].blobs == ()
    assert registry.verify().ok
    assert registry.verify().notes == ()
    assert registry.load("trec:production").files == model_files("1.0.0")


def test_gc_keeps_young_files(registry: Registry) -> None:
    publish(registry, "1.0.0")
    publish(registry, "1.1.0")
    registry.withdraw("trec", "1.1.0")
    (registry.root / "trec" / ".ingest" / "0123").touch()
    (registry.root / ".new-0123").mkdir()
    before = snapshot(registry.root)
    (found,) = registry.gc()
    assert (found.blobs, found.leftovers) == ((), 0)
    assert snapshot(registry.root) == before
    age(registry.root, 3601)
    (found,) = registry.gc()
    assert (len(found.blobs), found.leftovers) == (3, 1)
    assert not list(registry.root.glob(".new-*"))
    assert registry.verify().notes == ()


def test_gc_keeps_the_last_ten_targets_of_an_alias_for_rollback(registry: Registry) -> None:
    first = publish(registry, "1.0.0", "production")
    publish(registry, "1.1.0", "production")
    registry.withdraw("trec", "1.0.0")
    assert registry.gc(grace=0)[0].blobs == ()
    assert registry.load(str(f"trec@{first.digest}")).files == model_files("1.0.0")
    for n in range(10):
        publish(registry, f"2.{n}.0", "production")
    assert len(registry.gc(grace=0)[0].blobs) == 3
    assert registry.verify().ok


def test_gc_refuses_to_run_if_a_version_is_damaged(registry: Registry) -> None:
    pin = publish(registry, "1.0.0")
    publish(registry, "1.1.0")
    registry.withdraw("trec", "1.1.0")
    flip(registry.root / "trec" / "blobs" / "sha256" / pin.digest.removeprefix("sha256:"))
    before = snapshot(registry.root)
    with pytest.raises(Corrupt, match=r"^trec: blob sha256:"):
        registry.gc(grace=0)
    assert snapshot(registry.root) == before


def test_only_the_named_model_is_collected(registry: Registry) -> None:
    for name in ("trec", "area"):
        publish(registry, "1.0.0", name=name)
        registry.withdraw(name, "1.0.0")
    assert [each.model for each in registry.gc("area", grace=0)] == ["area"]
    assert blobs(registry)
    with pytest.raises(NotFound, match="no model 'qa'"):
        registry.gc("qa")


@pytest.mark.parametrize("seed", range(6))
def test_live_versions_can_be_loaded_after_random_operations(registry: Registry, seed: int) -> None:
    """Run random operations, and compare the registry with a simple model of it after each."""
    chance = random.Random(seed)
    versions: set[str] = set()
    aliases: dict[str, str] = {}
    publish(registry, "0.0.0")
    versions.add("0.0.0")
    for step in range(60):
        operation = chance.choice(
            ["publish", "alias", "alias", "rollback", "remove", "withdraw", "gc"]
        )
        version, alias = f"1.{chance.randrange(8)}.0", chance.choice(["production", "canary"])
        try:
            if operation == "publish":
                publish(registry, version)
                versions.add(version)
            elif operation == "alias":
                registry.set_alias("trec", alias, version)
                aliases[alias] = version
            elif operation == "rollback":
                aliases[alias] = str(registry.rollback("trec", alias).version)
            elif operation == "remove":
                registry.remove_alias("trec", alias)
                del aliases[alias]
            elif operation == "withdraw":
                registry.withdraw("trec", version)
                versions.discard(version)
            else:
                registry.gc(grace=0)
        except (NotFound, Conflict):
            pass
        tags = {entry.tag: entry.version for entry in registry.list()}
        assert tags == {v: v for v in versions} | aliases, (step, operation)
        for tag, target in tags.items():
            assert registry.load(f"trec:{tag}").files == model_files(str(target))
    assert registry.verify().ok


@pytest.mark.parametrize("grace", [0.0, 60.0])
def test_publishers_race_a_collector_and_lose_nothing(memory: Path, grace: float) -> None:
    registry = Registry.init(memory / "models")
    assert race_collector(memory, registry, grace=grace, publishers=4, publishes=25) > 0


def test_a_blob_of_two_versions_stays_while_one_of_them_needs_it(registry: Registry) -> None:
    """Use the same bytes as weights in one version and as text in the other: only the digest counts."""
    data = b"[1, 2]"
    registry.publish("trec", "1.0.0", {"a.safetensors": data}, created=CREATED)
    registry.publish("trec", "1.1.0", {"a.txt": data}, created=CREATED)
    registry.withdraw("trec", "1.0.0")
    registry.gc(grace=0)
    assert registry.load("trec:1.1.0").files == {"a.txt": data}
    with pytest.raises(NotFound, match="is withdrawn"):
        registry.load("trec:1.0.0")
