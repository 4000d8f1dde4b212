"""The limit on results in out/ that nobody has fetched yet."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon_support import Bench, content

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import pytest

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def fetch(hand: Bench, results: int) -> None:
    """Remove results, as a consumer does."""
    for path in sorted((hand.path / "out").glob("*.jsonl"))[:results]:
        path.unlink()


def test_claims_stop_at_the_limit_and_resume_below_nine_tenths_of_it(
    make_bench: MakeBench,
) -> None:
    with make_bench(max_out_files=10) as hand:
        for i in range(12):
            hand.drop(f"{i:02}.txt", GOOD)
        for _ in range(4):
            hand.turn(passed_s=1.0)
        assert len(content(hand.path / "in")) == 2, "as many results as the limit, not one more"
        assert not hand.service.idle
        assert 0 < hand.service.nap_s(hand.time.now) <= 1.0, "it neither spins nor oversleeps"
        fetch(hand, 1)
        hand.turn(passed_s=2.0)
        assert len(content(hand.path / "in")) == 2, "nine tenths are not below nine tenths"
        fetch(hand, 1)
        hand.run()
        assert content(hand.path / "in") == set()
        assert [(e["event"], e["results"]) for e in hand.events() if e["event"][:3] == "out"] == [
            ("out.full", 10),
            ("out.ok", 8),
        ]


def test_claims_resume_when_a_reload_removes_the_limit(make_bench: MakeBench) -> None:
    with make_bench(max_out_files=1) as hand:
        for name in ("a.txt", "b.txt"):
            hand.drop(name, GOOD)
            hand.turn(passed_s=2.0)
        hand.turn(passed_s=2.0)
        assert hand.events("out.full")
        assert len(content(hand.path / "in")) == 1
        hand.settings.replace(replace(hand.settings(), max_out_files=0))
        hand.run()
        assert content(hand.path / "in") == set()
        assert hand.events("out.ok")


def test_without_a_limit_results_are_not_counted(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, scanned = os.scandir, set()

    def watched(folder: int) -> Any:
        scanned.add(Path(f"/proc/self/fd/{folder}").readlink().name)
        return real(folder)

    monkeypatch.setattr(os, "scandir", watched)
    for i in range(20):
        hand.drop(f"{i}.txt", GOOD)
    hand.run()
    hand.turn(passed_s=2.0)
    monkeypatch.undo()
    assert content(hand.path / "in") == set()
    assert "in" in scanned
    assert "out" not in scanned
