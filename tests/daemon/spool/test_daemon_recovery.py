"""How a start completes every state that the end of a process can leave behind."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MANY_CHANGES, Bench, bench, check_oracle, content, spool_of

from spikewatch.daemon.files import _calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

GOOD = "Who wrote Hamlet ?\nhow far is the moon ?\n"


@pytest.fixture
def answered(tmp_path: Path, registry: Path) -> dict[str, bytes]:
    """Answer a.txt undisturbed; return result and summary by suffix."""
    path = spool_of(tmp_path / "clean")
    with bench(path, registry) as hand:
        hand.drop("a.txt", GOOD)
        hand.run()
    return {
        suffix: (path / "out" / f"a.txt{suffix}").read_bytes()
        for suffix in (".jsonl", ".summary.json")
    }


def claim(spool: Path) -> Path:
    path = spool / "work" / "a.txt"
    path.write_text(GOOD)
    return path


def commit(spool: Path, answered: dict[str, bytes]) -> None:
    for suffix, data in answered.items():
        (spool / "out" / f"a.txt{suffix}").write_bytes(data)


def settled(spool: Path, answered: dict[str, bytes]) -> None:
    check_oracle(spool, {"a.txt": GOOD.encode()}, {"a.txt": answered[".jsonl"]})


def states(hand: Bench) -> list[str]:
    return [e["state"] for e in hand.events("request.recovered")]


def test_a_claimed_input_is_answered(
    spool: Path, registry: Path, answered: dict[str, bytes]
) -> None:
    claim(spool)
    (spool / "tmp" / "half.jsonl").write_text('{"id":1')
    with bench(spool, registry) as hand:
        hand.run()
        assert states(hand) == ["claimed"]
        assert len(hand.events("request.done")) == 1
    settled(spool, answered)


def test_an_input_that_is_claimed_and_still_in_the_inbox_is_answered_once(
    spool: Path, registry: Path, answered: dict[str, bytes]
) -> None:
    os.link(claim(spool), spool / "in" / "a.txt")
    with bench(spool, registry) as hand:
        hand.run()
        assert states(hand) == ["half_claimed"]
        assert len(hand.events("request.done")) == 1
    settled(spool, answered)


def test_an_answered_input_in_work_is_moved_and_not_answered_again(
    spool: Path, registry: Path, answered: dict[str, bytes]
) -> None:
    claim(spool)
    commit(spool, answered)
    with bench(spool, registry) as hand:
        hand.run()
        assert states(hand) == ["answered"]
        assert hand.classifier.calls == []
    settled(spool, answered)


def test_an_input_in_done_and_in_work_is_removed_from_work(
    spool: Path, registry: Path, answered: dict[str, bytes]
) -> None:
    os.link(claim(spool), spool / "done" / "a.txt")
    commit(spool, answered)
    with bench(spool, registry) as hand:
        hand.run()
        assert states(hand) == ["finished"]
        assert hand.classifier.calls == []
    settled(spool, answered)


def test_an_input_whose_summary_was_taken_is_moved_to_done(
    spool: Path, registry: Path, answered: dict[str, bytes]
) -> None:
    """A reader took the summary, so the result is recognised by its bytes."""
    claim(spool)
    (spool / "out" / "a.txt.jsonl").write_bytes(answered[".jsonl"])
    with bench(spool, registry) as hand:
        hand.run()
    assert content(spool / "done") == {"a.txt"}
    assert content(spool / "out") == {"a.txt.jsonl"}


def test_a_summary_without_its_result_is_replaced(
    spool: Path, registry: Path, answered: dict[str, bytes]
) -> None:
    """The process ended between the two links of a commit."""
    claim(spool)
    (spool / "out" / "a.txt.summary.json").write_bytes(answered[".summary.json"])
    with bench(spool, registry) as hand:
        hand.run()
    settled(spool, answered)


def test_an_interrupted_quarantine_is_completed(spool: Path, registry: Path) -> None:
    bad = spool / "work" / "bad.txt"
    bad.write_bytes(b"\xff")
    os.link(bad, spool / "failed" / "bad.txt")
    (spool / "failed" / "bad.txt.error.json").write_text("{}")
    with bench(spool, registry) as hand:
        hand.run()
        assert states(hand) == ["quarantined"]
    assert content(spool / "work") == set()


def test_an_input_that_reappears_after_a_power_cut_is_not_answered_again(
    spool: Path, registry: Path
) -> None:
    """The unlink in in/ never reached the disk, so the input is both there and in done/."""
    with bench(spool, registry) as hand:
        hand.drop("a.txt", GOOD)
        hand.run()
        os.link(spool / "done" / "a.txt", spool / "in" / "a.txt")
        hand.watcher.seen.add("a.txt")
        hand.run()
        assert len(hand.classifier.calls) == 1
    assert content(spool / "in") == content(spool / "work") == set()
    assert content(spool / "done") == {"a.txt"}


def test_a_start_keeps_the_files_that_producers_are_writing(spool: Path, registry: Path) -> None:
    fresh, old = spool / "tmp" / "put-1-fresh", spool / "tmp" / "put-1-old"
    for path in (fresh, old):
        path.write_text(GOOD)
    long_ago = time.time() - 37 * 3600
    os.utime(old, (long_ago, long_ago))
    (spool / "tmp" / "rest").write_text("")
    with bench(spool, registry):
        assert content(spool / "tmp") == {"put-1-fresh"}


class Killed(BaseException):
    """Raised where the process is to end."""


class Killer:
    """Ends the process at its n-th change of the file system; neither that change nor any later one happens."""

    def __init__(self) -> None:
        self._left = -1
        self.calls: list[str] = []

    def arm(self, left: int) -> list[str]:
        """Allow so many changes, any number if negative; return the list to which they will be added."""
        self._left, self.calls = left, []
        return self.calls

    def one(self, name: str) -> Callable[..., Any]:
        """Return a function of `os` that counts its calls."""
        real = getattr(os, name)

        def deadly(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                self._count(name)
            return real(*args, **kwargs)

        return deadly

    def many(self, name: str) -> Callable[..., list[int]]:
        """Return a function of `_calls` that counts each of the calls that it makes for many names."""
        real = getattr(_calls, name)

        def deadly(*args: Any) -> list[int]:
            found: list[int] = []
            for each in zip(*(arg for arg in args if not isinstance(arg, int)), strict=True):
                self._count(name)
                lists = iter(each)
                found += real(*(a if isinstance(a, int) else [next(lists)] for a in args))
            return found

        return deadly

    def _count(self, name: str) -> None:
        if self._left < 0:
            return
        self.calls.append(name)
        if len(self.calls) > self._left:
            raise Killed(name)


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """Return `Killer.arm`."""
    killer = Killer()
    for name in ("link", "unlink", "rename", "fsync", "write", "pwrite", "open"):
        monkeypatch.setattr(os, name, killer.one(name))
    for name in MANY_CHANGES:
        monkeypatch.setattr(_calls, name, killer.many(name))
    yield killer.arm
    killer.arm(-1)


def die_at(hand: Bench, text: str, kill_at: Callable[[int], list[str]]) -> None:
    """End the process in the simulator when a batch holds this text."""

    def trap(texts: Sequence[str]) -> None:
        if text in texts:
            kill_at(0)
            raise Killed

    hand.classifier.trap = trap


@pytest.mark.parametrize(("neighbours", "deaths"), [(0, 3), (2, 4)])
def test_an_input_that_ends_the_process_is_quarantined_and_its_neighbours_are_answered(
    spool: Path, registry: Path, kill_at: Callable[[int], list[str]], neighbours: int, deaths: int
) -> None:
    """Three claims in which it was alone count against it; a claim shared with others counts against none of them."""
    for i in range(neighbours):
        (spool / "in" / f"{i}.txt").write_text(GOOD)
    (spool / "in" / "bad.txt").write_text("who\n" * 50 + "poison moon")
    for _ in range(deaths):
        with bench(spool, registry) as hand:
            die_at(hand, "poison moon", kill_at)
            with pytest.raises(Killed):
                hand.run()
            kill_at(-1)
    with bench(spool, registry) as hand:
        hand.run()
    assert len(content(spool / "done")) == neighbours
    assert content(spool / "failed") == {"bad.txt", "bad.txt.error.json"}
    report = json.loads((spool / "failed" / "bad.txt.error.json").read_text())
    assert (report["code"], report["stage"], report["attempts"]) == ("poison", "simulate", 3)
    assert content(spool / "work") == set()


def test_an_input_interrupted_at_another_question_each_time_is_answered(
    spool: Path, registry: Path, kill_at: Callable[[int], list[str]]
) -> None:
    """A machine that is switched off at random interrupts the same large input each time, at another question."""
    questions = [f"{'moon ' * (i + 1)}" for i in range(100)]
    (spool / "in" / "large.txt").write_text("\n".join(questions))
    for text in questions[5::17]:
        with bench(spool, registry) as hand:
            die_at(hand, text, kill_at)
            with pytest.raises(Killed):
                hand.run()
            kill_at(-1)
    with bench(spool, registry) as hand:
        hand.run()
    assert content(spool / "done") == {"large.txt"}
    assert content(spool / "failed") == set()
