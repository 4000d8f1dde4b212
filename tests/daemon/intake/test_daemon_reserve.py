"""When the disk has too little free space, and when claiming resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import Bench, content

from spikewatch.daemon.intake.room import Reserve
from spikewatch.daemon.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"
BLOCK = 4096
MIB = 1 << 20
GIB = 1 << 30


def disk(total: int, free: int, files: int = 1_000_000, files_free: int = 900_000) -> Any:
    """Return the figures of a file system of so many bytes and inodes."""
    blocks = (BLOCK, BLOCK, total // BLOCK, free // BLOCK, free // BLOCK)
    return os.statvfs_result((*blocks, files, files_free, files_free, 0, 255))


@pytest.mark.parametrize(
    ("system", "settings", "least"),
    [
        pytest.param(disk(10 * GIB, GIB), {}, (GIB // 2, 10_000), id="a share"),
        pytest.param(disk(4000 * GIB, GIB), {}, (GIB, 10_000), id="a large disk"),
        pytest.param(disk(64 * MIB, MIB, 1000, 9), {}, (16 * MIB, 256), id="a small disk"),
        pytest.param(
            disk(4000 * GIB, GIB), {"min_free_bytes": 2 * GIB}, (2 * GIB, 10_000), id="an amount"
        ),
        pytest.param(disk(10 * GIB, GIB), {"min_free_percent": 0}, (16 * MIB, 256), id="no share"),
        pytest.param(
            disk(10 * GIB, 0), {"min_free_bytes": 0, "min_free_inodes": 0}, (0, 0), id="no check"
        ),
        pytest.param(disk(10 * GIB, GIB, 0, 0), {}, (GIB // 2, 0), id="uncounted inodes"),
    ],
)
def test_the_reserve_is_the_larger_of_amount_and_bounded_share(
    system: os.statvfs_result, settings: dict[str, Any], least: tuple[int, int]
) -> None:
    reserve = Reserve.of(system, Settings(spool=Path("x"), **settings))
    assert (reserve.least_bytes, reserve.least_inodes) == least


def test_a_small_free_share_of_a_large_disk_is_enough() -> None:
    system = disk(4000 * GIB, 100 * GIB, 200_000_000, 20_000)
    assert Reserve.of(system, Settings(spool=Path("x"))).met()


@pytest.mark.parametrize(
    ("low", "between", "enough"),
    [
        pytest.param((GIB // 2 - BLOCK, 900), (GIB // 2 + BLOCK, 900), (GIB * 6 // 10 + BLOCK, 900), id="bytes"),
        pytest.param((GIB, 255), (GIB, 307), (GIB, 308), id="inodes"),
    ],
)  # fmt: skip
def test_claims_stop_below_the_reserve_and_resume_a_fifth_above_it(
    make_bench: MakeBench,
    monkeypatch: pytest.MonkeyPatch,
    low: tuple[int, int],
    between: tuple[int, int],
    enough: tuple[int, int],
) -> None:
    def have(free: int, inodes: int) -> None:
        monkeypatch.setattr(os, "fstatvfs", lambda _: disk(10 * GIB, free, 1000, inodes))

    have(*between)
    with make_bench() as hand:
        hand.drop("a.txt", GOOD)
        hand.run()
        assert content(hand.path / "done") == {"a.txt"}, "above the reserve, claims continue"
        have(*low)
        hand.turn(passed_s=2.0)
        hand.drop("b.txt", GOOD)
        have(*between)
        hand.turn(passed_s=2.0)
        hand.turn(passed_s=2.0)
        assert content(hand.path / "in") == {"b.txt"}
        have(*enough)
        hand.run()
        assert content(hand.path / "done") == {"a.txt", "b.txt"}
        said = [e for e in hand.events() if e["event"].startswith("disk")]
        assert [e["event"] for e in said] == ["disk.low", "disk.ok"]
        assert [(e["free_bytes"] // BLOCK, e["free_inodes"]) for e in said] == [
            (free // BLOCK, inodes) for free, inodes in (low, enough)
        ]
        assert {(e["min_free_bytes"], e["min_free_inodes"]) for e in said} == {(GIB // 2, 256)}
