"""The registry's promises at high counts: `pytest -m soak -s` prints the results as rows of a table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from foreign import needs
from scenarios import (
    fault_lock,
    fault_none,
    kill_publishers,
    lose_without_claim,
    move_while_skopeo_reads,
    publish_from_many,
    race_collector,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikewatch.registry import Registry

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

FAULTS = [(fault_none, "flock"), (fault_lock, "flock does nothing")]


def row(scenario: str, result: str) -> None:
    """Print a row of the table."""
    sys.stdout.write(f"\n| {scenario} | {result} |\n")


@pytest.mark.parametrize(("fault", "name"), FAULTS, ids=["flock", "no-flock"])
def test_publishers(
    tmp_path: Path, registry: Registry, fault: Callable[[], None], name: str
) -> None:
    found = publish_from_many(tmp_path, registry, fault, workers=8, publishes=40)
    assert (found.acknowledged, found.lost) == (320, 0)
    assert found.reads > 0
    row(
        f"8 processes x 40 publishes, 80 alias moves each, {name}",
        f"{found.lost} of {found.acknowledged} lost, {found.reads} reads, none torn",
    )


def test_control(tmp_path: Path, registry: Registry) -> None:
    found = lose_without_claim(tmp_path, registry, workers=8, publishes=20)
    assert found.lost > 0
    row(
        "control: 8 processes x 20 publishes, neither flock nor exclusive link",
        f"{found.lost} of {found.acknowledged} lost",
    )


@pytest.mark.parametrize(("fault", "name"), FAULTS, ids=["flock", "no-flock"])
def test_kills(tmp_path: Path, registry: Registry, fault: Callable[[], None], name: str) -> None:
    done = kill_publishers(tmp_path, registry, fault, turns=40)
    assert done >= 160
    row(f"160 publishers killed, {name}", f"all of {done} acknowledged publishes kept, clean")


@pytest.mark.parametrize("grace", [0.0, 60.0])
def test_collector(tmp_path: Path, registry: Registry, grace: float) -> None:
    collections = race_collector(tmp_path, registry, grace=grace, publishers=4, publishes=100)
    assert collections > 0
    row(
        f"4 processes x 100 publishes during gc, grace {grace:.0f} s",
        f"none lost, {collections} collections, nothing dangling",
    )


@needs("skopeo")
def test_foreign_reader(tmp_path: Path, registry: Registry) -> None:
    moves = move_while_skopeo_reads(tmp_path, registry, reads=250)
    assert moves > 0
    row("skopeo reads an alias that moves", f"250 reads, 0 failed, {moves} moves")
