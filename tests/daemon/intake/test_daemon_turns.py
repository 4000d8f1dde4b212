"""No input starves: neither new ones nor those that wait in work/ to be tried again."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from daemon_support import Bench, content

from spikewatch.daemon.files import durable
from spikewatch.daemon.intake import inbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def test_a_turn_answers_as_many_new_inputs_as_waiting_ones(
    make_bench: MakeBench, spool: Path
) -> None:
    for i in range(4):
        (spool / "work" / f"old-{i}.txt").write_text(GOOD)
    with make_bench(group_files=1) as hand:
        for i in range(8):
            hand.drop(f"new-{i}.txt", GOOD)
        hand.run()
        done = [event["file"][:3] for event in hand.events("request.done")]
        assert done == ["new", "old"] * 4 + ["new"] * 4


def test_of_a_flood_of_files_few_names_are_in_memory_and_all_are_answered(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "WINDOW", 5)
    held: WeakSet[inbox.Candidate] = WeakSet()

    class Tracked(inbox.Candidate):  # without slots, so that it can be weakly referenced
        __eq__, __hash__ = object.__eq__, object.__hash__

        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            held.add(self)

    monkeypatch.setattr(inbox, "Candidate", Tracked)
    with make_bench(group_files=2) as hand:
        for i in range(23):
            hand.drop(f"{i}.txt", GOOD)
        for _ in range(30):
            hand.turn(passed_s=0.1)
            assert len(held) <= 5
        hand.run()
        assert len(content(hand.path / "done")) == len(hand.events("request.done")) == 23
        assert hand.events("watch.rescan") == []  # no event was missed


def test_waiting_inputs_that_fail_each_time_do_not_keep_out_the_others(
    make_bench: MakeBench, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, listing = durable.open_input, durable.listing

    def broken(folder: int, name: str) -> int | None:
        if name.startswith("bad"):
            raise OSError(errno.EIO, "Input/output error")
        return real(folder, name)

    for name in ("bad-1.txt", "bad-2.txt", "good-1.txt", "good-2.txt"):
        (spool / "work" / name).write_text(
            "\n".join([GOOD] * 300)
        )  # too large to be read together with others
    monkeypatch.setattr(durable, "open_input", broken)
    monkeypatch.setattr(
        durable, "listing", lambda folder: sorted(listing(folder))
    )  # the bad ones come first
    with make_bench(group_files=1, retry_first_s=0.5, retry_last_s=0.5) as hand:
        for _ in range(8):
            hand.turn(passed_s=1.0)
        hand.service.finish()
        assert content(hand.path / "done") == {"good-1.txt", "good-2.txt"}
        assert len(hand.events("request.retry")) >= 4
