"""A limit on the results that nobody has fetched yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from daemon_support import Bench, content

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def fetch(hand: Bench, results: int) -> None:
    """Take results away, as a consumer does."""
    for path in sorted((hand.path / "out").glob("*.jsonl"))[:results]:
        path.unlink()


def test_claims_stop_at_so_many_results_and_begin_again_below_nine_tenths(
    make_bench: MakeBench,
) -> None:
    with make_bench(max_out_files=10) as hand:
        for i in range(12):
            hand.drop(f"{i:02}.txt", GOOD)
        for _ in range(4):
            hand.turn(passed_s=1.0)
        assert len(content(hand.path / "in")) == 2, "not one more than the limit"
        assert not hand.service.idle
        assert 0 < hand.service.nap_s(hand.time.now) <= 1.0, "it neither spins nor oversleeps"
        fetch(hand, 1)
        hand.turn(passed_s=2.0)
        assert len(content(hand.path / "in")) == 2, "nine tenths are not fewer"
        fetch(hand, 1)
        hand.run()
        assert content(hand.path / "in") == set()
        assert [(e["event"], e["results"]) for e in hand.events() if e["event"][:3] == "out"] == [
            ("out.full", 10),
            ("out.ok", 8),
        ]


def test_a_limit_that_is_taken_away_holds_nothing_back(make_bench: MakeBench) -> None:
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


def test_without_a_limit_nothing_is_counted(hand: Bench) -> None:
    for i in range(20):
        hand.drop(f"{i}.txt", GOOD)
    hand.run()
    assert content(hand.path / "in") == set()
    assert not hand.events("out.full")
