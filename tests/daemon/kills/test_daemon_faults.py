"""Faults of the machine, in-process: failing calls, disks, watchers and simulator; nothing is lost."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MANY_CHANGES, Bench, Hand, content, failed

from spikewatch.daemon.files import _calls, durable
from spikewatch.daemon.files.durable import Durability

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def test_a_name_in_work_makes_its_successor_wait(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.sync_files

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "sync_files", full)
    hand.drop("a.txt", GOOD)
    hand.turn()
    hand.drop("a.txt", "how far ?")
    hand.turn()
    assert content(hand.path / "in") == content(hand.path / "work") == {"a.txt"}
    monkeypatch.setattr(durable, "sync_files", real)
    hand.run()
    assert len(content(hand.path / "out")) == 4
    assert hand.out("a.txt.jsonl")[0]["text"] == GOOD


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("victim", ["write_all", "sync_files", "open_input"])
def test_faults_of_the_machine_are_retried_and_lose_nothing(
    hand: Bench, monkeypatch: pytest.MonkeyPatch, victim: str, number: int
) -> None:
    real, left = getattr(durable, victim), [3]

    def faulty(*args: object, **kwargs: object) -> object:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(durable, victim, faulty)
    check_faults(hand, left, number, "\n".join([GOOD] * 1000))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("victim", ["look_all", *MANY_CHANGES])
def test_faults_at_one_of_many_calls_are_retried_and_lose_nothing(
    hand: Bench, monkeypatch: pytest.MonkeyPatch, victim: str, number: int
) -> None:
    real, left = getattr(_calls, victim), [1]

    def faulty(*args: Any, **kwargs: bool) -> list[Any]:
        lists = [list(a) for a in args if not isinstance(a, int)]
        if not left[0] or len(lists[0]) < 2:
            return real(*args, **kwargs)
        left[0] -= 1
        # The second call fails; the others are made.
        some = iter([all_of[:1] + all_of[2:] for all_of in lists])
        found = real(*(a if isinstance(a, int) else next(some) for a in args), **kwargs)
        if victim == "new_files":
            _calls.close_all(found[1:])
            return [found[0], -number]
        failed = (number, 0, 0, 0, 0, 0, 0) if victim == "look_all" else number
        return [found[0], failed, *found[1:]]

    monkeypatch.setattr(_calls, victim, faulty)
    told = victim != "link_open_all"  # such a name is then linked alone, at once
    check_faults(hand, left, number, GOOD, told=told)


def check_faults(
    hand: Bench, left: list[int], number: int, text: str, *, told: bool = True
) -> None:
    """Answer so many inputs that they share a sync, although some calls fail at first."""
    inputs = [f"{i}.txt" for i in range(durable.SHARED_SYNC_FILES)]
    for name in inputs:
        hand.drop(name, text)
    hand.run()
    assert left == [0]
    assert len(content(hand.path / "out")) == 2 * len(inputs)
    assert content(hand.path / "done") == set(inputs)
    assert content(hand.path / "failed") == content(hand.path / "work") == set()
    complaints = hand.events("request.retry") + hand.events("daemon.fault")
    assert {e["code"] for e in complaints} <= {errno.errorcode[number]}
    assert bool(complaints) is told


@pytest.mark.parametrize(
    ("level", "synced"),
    [
        (Durability.STRICT, {"work", "out", "done", "failed", "file"}),
        (Durability.FILE, {"file"}),
        (Durability.PROCESS, set()),
    ],
)
def test_each_durability_waits_for_what_it_says(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, level: Durability, synced: set[str]
) -> None:
    seen: set[str] = set()
    real = os.fsync

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        seen.add(path.name if path.is_dir() else "file")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with make_bench(durability=level) as hand:
        hand.drop("a.txt", GOOD)
        hand.drop("b.txt", b"\xff")
        hand.run()
        assert seen == synced
        assert content(hand.path / "done") == {"a.txt"}
        assert hand.out("a.txt.jsonl")[0]["text"] == GOOD
        assert failed(hand, "b.txt")["code"] == "bad_utf8"


def test_a_full_disk_stops_claims_until_there_is_room(make_bench: MakeBench) -> None:
    with make_bench(min_free_bytes=1 << 50) as hand:
        hand.drop("a.txt", GOOD)
        hand.turn(passed_s=2.0)
        hand.turn(passed_s=2.0)
        assert content(hand.path / "in") == {"a.txt"}
        assert [e["event"] for e in hand.events() if e["event"].startswith("disk")] == ["disk.low"]
        hand.settings.replace(replace(hand.settings(), min_free_bytes=1 << 20))
        hand.run()
        assert content(hand.path / "done") == {"a.txt"}
        assert hand.events("disk.ok")


def test_a_request_that_breaks_the_simulator_is_found_and_put_aside(hand: Bench) -> None:
    def trap(texts: object) -> None:
        if "poison moon" in texts:  # type: ignore[operator]  # texts is a list
            raise ValueError("overflow in core 0")

    hand.classifier.trap = trap
    hand.drop("good.txt", GOOD)
    hand.drop("bad.txt", "poison moon")
    hand.drop("fine.txt", GOOD)
    hand.run()
    report = failed(hand, "bad.txt")
    assert report["code"] == "simulator"
    assert (report["stage"], report["attempts"]) == ("simulate", 3)
    assert report["message"] == "ValueError: overflow in core 0"
    assert content(hand.path / "done") == {"good.txt", "fine.txt"}
    assert content(hand.path / "work") == set()


def test_lost_events_and_dead_watchers_are_made_good(hand: Bench) -> None:
    hand.drop("a.txt", GOOD)
    hand.watcher.seen.clear()
    hand.watcher.lost = True
    hand.turn()
    assert content(hand.path / "done") == {"a.txt"}
    hand.watcher.alive = False
    hand.turn(passed_s=2.0)
    assert hand.watcher.starts == 2
    names = [e["event"] for e in hand.events() if e["event"].startswith("watch")]
    assert names == ["watch.overflow", "watch.restarted", "watch.rescan"]


def test_a_replaced_inbox_is_noticed(hand: Bench) -> None:
    (hand.path / "in").rename(hand.path / "old")
    hand.turn(passed_s=2.0)
    assert hand.events("watch.failed")
    (hand.path / "in").mkdir()
    hand.drop("a.txt", GOOD)
    hand.watcher.seen.clear()
    hand.turn(passed_s=2.0)
    assert content(hand.path / "done") == {"a.txt"}


def test_without_file_events_the_scan_finds_everything(make_bench: MakeBench) -> None:
    watcher = Hand()
    watcher.fault = OSError(errno.EMFILE, "inotify instance limit reached")
    with make_bench(watcher=watcher) as hand:
        hand.drop("a.txt", GOOD)
        hand.watcher.seen.clear()
        watcher.alive = False
        hand.turn(passed_s=2.0)
        hand.turn(passed_s=2.0)
        assert content(hand.path / "done") == {"a.txt"}
        assert len(hand.events("watch.failed")) == 1
