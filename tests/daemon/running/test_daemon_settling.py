"""Settling: in threads while other inputs are answered, and without nameless files."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import Bench, content

from spikewatch.daemon.files import _calls, draft, durable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def answer_nine(hand: Bench) -> None:
    """Drop nine inputs; check that each is answered and logged once, and is nowhere but in done/."""
    inputs = [f"{i}.txt" for i in range(9)]
    for name in inputs:
        hand.drop(name, GOOD)
    hand.run()
    assert content(hand.path / "done") == set(inputs)
    assert len(content(hand.path / "out")) == 18
    assert [content(hand.path / folder) for folder in ("in", "work", "failed")] == [set()] * 3
    logged = [e["file"] for e in hand.events("request.done") + hand.events("request.recovered")]
    assert sorted(logged) == inputs


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse nameless files, as many network file systems do."""
    monkeypatch.setattr(
        _calls, "new_files", lambda _, contents: [-errno.EOPNOTSUPP][: len(contents)]
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_fault_in_a_settling_thread_is_retried_and_loses_nothing(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real, threads, faults = durable.sync_folder, [], [2]

    def faulty(*args: Any) -> None:
        threads.append(threading.current_thread().name)
        if threads[-1].startswith("settling") and faults[0]:
            faults[0] -= 1
            raise OSError(number, os.strerror(number))
        real(*args)

    monkeypatch.setattr(durable, "sync_folder", faulty)
    with make_bench(group_files=2) as hand:
        answer_nine(hand)
        assert faults == [0]
        assert {e["code"] for e in hand.events("request.retry")} == {errno.errorcode[number]}


@pytest.mark.parametrize("step", ["link_all", "unlink_twins", "read_all"])
def test_a_fault_while_claiming_ahead_loses_and_doubles_nothing(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real, faults = getattr(_calls, step), [2]

    def faulty(*args: Any) -> Any:
        if threading.current_thread().name.startswith("claiming") and faults[0]:
            faults[0] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args)

    monkeypatch.setattr(_calls, step, faulty)
    with make_bench(group_files=2) as hand:
        answer_nine(hand)
        assert faults == [0]
        faulted = hand.events("daemon.fault") + hand.events("request.retry")
        assert {e["code"] for e in faulted} == {"EIO"}


def test_after_a_fault_at_a_failed_input_the_answered_ones_are_still_logged(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, faults = durable.sync_folder, [1]

    def faulty(fd: int, level: durable.Durability) -> None:
        if faults[0] and Path(f"/proc/self/fd/{fd}").readlink().name == "failed":
            faults[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, level)

    monkeypatch.setattr(durable, "sync_folder", faulty)
    for name, data in {"good.txt": GOOD, "bad.txt": b"\xff", "worse.txt": b"\xfe"}.items():
        hand.drop(name, data)
    hand.run()
    assert faults == [0]
    assert [e["file"] for e in hand.events("request.done")] == ["good.txt"]
    retried = [e["file"] for e in hand.events("request.retry")]
    assert len(retried) == 1  # the other one is not its neighbour's fault
    assert content(hand.path / "failed") >= {"bad.txt", "worse.txt"}
    assert content(hand.path / "work") == set()


@pytest.mark.parametrize("hurry", [False, True])
def test_groups_in_the_threads_are_settled_and_logged_before_the_service_ends(
    make_bench: MakeBench, hurry: bool
) -> None:
    with make_bench(group_files=2) as hand:
        for i in range(6):
            hand.drop(f"{i}.txt", GOOD)
        hand.turn()  # answers two and claims two ahead
        hand.time.over = hurry
        hand.service.finish()
        hand.service.close()
        ended = 2 if hurry else 4
        assert len(hand.events("request.done")) == len(content(hand.path / "done")) == ended
        assert len(content(hand.path / "work")) == 4 - ended
        assert len(content(hand.path / "in")) == 2


@pytest.mark.usefixtures("named")
def test_without_nameless_files_results_are_the_same_and_nothing_is_left(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [2]
    real = durable.sync_files

    def full(*args: Any, **kwargs: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args, **kwargs)

    monkeypatch.setattr(durable, "sync_files", full)
    hand.drop("a.txt", GOOD)
    hand.drop("b.txt", b"\xff")
    hand.turn()
    assert content(hand.path / "tmp") == set()
    hand.run()
    (record,) = hand.out("a.txt.jsonl")
    assert (record["text"], record["status"]) == (GOOD, "ok")
    assert content(hand.path / "out") == {"a.txt.jsonl", "a.txt.summary.json"}
    assert content(hand.path / "failed") == {"b.txt", "b.txt.error.json"}
    assert content(hand.path / "tmp") == content(hand.path / "work") == set()


@pytest.mark.usefixtures("named")
def test_a_named_draft_that_cannot_be_written_is_removed(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = durable.write_all, [1]

    def full(fd: int, data: bytes) -> None:
        if data and left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, data)

    monkeypatch.setattr(durable, "write_all", full)
    hand.drop("a.txt", GOOD)
    hand.turn()
    assert left == [0]
    assert content(hand.path / "tmp") == set()
    hand.run()
    assert content(hand.path / "done") == {"a.txt"}


@pytest.mark.parametrize("nameless", [True, False])
def test_a_draft_never_overwrites_a_file(
    hand: Bench, nameless: bool, request: pytest.FixtureRequest
) -> None:
    if not nameless:
        request.getfixturevalue("named")
    folder = os.open(hand.path / "out", durable.FOLDER_FLAGS)
    try:
        (made,) = draft.Draft.written(folder, [b"on"], ["temporary"])
        made.write(b"e")
        assert content(hand.path / "out") == (set() if nameless else {"temporary"})
        made.place(folder, "final")
        (second,) = draft.Draft.written(folder, [b"two"], ["temporary"])
        with pytest.raises(FileExistsError):
            second.place(folder, "final")
        assert second.digest() != made.digest()
        made.close()
        second.close()
        assert content(hand.path / "out") == {"final"}
        assert (hand.path / "out" / "final").read_bytes() == b"one"
    finally:
        os.close(folder)
