"""Cut the power at every flush of the disk: what was published before is there, and the store is whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from power_cut import Machine, Recording
from registry_support import model_files, publish

from spikewatch.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def work(registry: Registry, acknowledge: Callable[..., None]) -> None:
    """Publish versions and move an alias, and acknowledge each step."""
    publish(registry, "1.1.0", "production")
    acknowledge(versions=["1.0.0", "1.1.0"], production="1.1.0")
    publish(registry, "1.2.0")
    acknowledge(versions=["1.0.0", "1.1.0", "1.2.0"], production="1.1.0")
    registry.set_alias("trec", "production", "1.2.0")
    acknowledge(versions=["1.0.0", "1.1.0", "1.2.0"], production="1.2.0")
    registry.rollback("trec", "production")
    acknowledge(versions=["1.0.0", "1.1.0", "1.2.0"], production="1.1.0")


@pytest.mark.parametrize(
    "every_write",
    [False, pytest.param(True, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
    ids=["flushes", "writes"],
)
def test_a_power_cut_leaves_what_was_acknowledged(memory: Path, *, every_write: bool) -> None:
    acknowledged: list[dict[str, Any]] = [{"versions": ["1.0.0"], "production": "1.0.0"}]
    with Machine() as machine:
        recording = Recording(machine, memory)
        root = machine.seen(recording.point) / "models"
        publish(Registry.init(root), "1.0.0", "production")
        recording.begin()
        with machine.seen(recording.marks).open("ab", buffering=0) as marks:

            def acknowledge(**step: Any) -> None:
                acknowledged.append(step)
                marks.write(json.dumps(step).encode() + b"\n")

            work(Registry(root), acknowledge)
        recording.end()
        seen = set()
        for cut in recording.cuts(every_write=every_write):
            with machine.mounted(cut.image, memory / "after") as after:
                registry = Registry(after / "models")
                report = registry.verify()
                assert report.ok, (cut.name, report.problems)
                state = {e.tag: str(e.version) for e in registry.list()}
                n = len(cut.marks.splitlines())
                allowed = acknowledged[n : n + 2]
                versions = {v for v in state if v != "production"}
                assert versions in [set(step["versions"]) for step in allowed], cut.name
                productions = {acknowledged[n]["production"], allowed[-1]["production"]}
                assert state["production"] in productions, cut.name
                for version in versions:
                    assert registry.load(f"trec:{version}").files == model_files(version)
                publish(registry, "2.0.0", "production")
                assert registry.verify().ok
                seen.add(n)
        assert seen == set(range(len(acknowledged)))
