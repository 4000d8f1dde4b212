"""Which files in in/ are claimed, when, and which are quarantined without being opened."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from daemon_support import Bench, content, failed, records

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def test_an_empty_file_is_claimed_only_after_a_grace_period(hand: Bench) -> None:
    hand.drop("q.txt", b"")
    hand.turn()
    hand.turn(passed_s=1.0)
    assert content(hand.path / "in") == {"q.txt"}
    (hand.path / "in" / "q.txt").write_text(GOOD)
    hand.turn(passed_s=0.5)
    assert len(hand.out("q.txt.jsonl")) == 1


def test_symlinks_fifos_and_sockets_are_quarantined_unopened(hand: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(GOOD)
    inbox = hand.path / "in"
    (inbox / "link.txt").symlink_to(secret)
    (inbox / "dangling.txt").symlink_to("nowhere")
    os.mkfifo(inbox / "fifo.txt")
    (inbox / "folder.txt").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(inbox / "socket.txt"))
    hand.drop("good.txt", GOOD)
    hand.turn(passed_s=2.0)
    hand.run()
    messages = {
        name: failed(hand, name)["message"]
        for name in ("link.txt", "dangling.txt", "fifo.txt", "socket.txt")
    }
    assert messages == {
        "link.txt": "it is a symbolic link, not a regular file",
        "dangling.txt": "it is a symbolic link, not a regular file",
        "fifo.txt": "it is a named pipe, not a regular file",
        "socket.txt": "it is a socket, not a regular file",
    }
    assert secret.read_text() == GOOD
    assert content(hand.path / "out") == {"good.txt.jsonl", "good.txt.summary.json"}
    assert [e["file"] for e in hand.events("request.ignored")] == ["folder.txt"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines.txt", "two%0Alines.txt"),
        (os.fsdecode(b"caf\xe9.txt"), "caf%E9.txt"),
        ("100%.txt", "100%25.txt"),
        ("-rf ../.txt".replace("/", "\u2215"), "-rf ..\u2215.txt"),
        ("ä" * 120 + ".txt", "ä" * 120 + ".txt"),
    ],
)
def test_odd_names_are_answered_and_printed_safely(hand: Bench, name: str, shown: str) -> None:
    hand.drop(name, GOOD)
    hand.run()
    (done,) = hand.events("request.done")
    assert done["file"] == shown
    (result,) = [n for n in content(hand.path / "out") if n.endswith(".jsonl")]
    assert len(records(hand.path / "out" / result)) == 1
    assert content(hand.path / "done") == {name}


def test_a_file_that_is_open_for_writing_is_not_claimed(hand: Bench) -> None:
    path = hand.path / "in" / "slow.txt"
    with path.open("w") as writer:
        writer.write("Who wrote ")
        writer.flush()
        for _ in range(5):
            hand.turn(passed_s=2.0)
        assert content(hand.path / "in") == {"slow.txt"}
        writer.write("Hamlet ?")
    hand.turn(passed_s=2.0)
    assert hand.out("slow.txt.jsonl")[0]["text"] == GOOD


def test_without_leases_a_file_is_claimed_when_it_has_not_changed_for_a_while(
    make_bench: MakeBench,
) -> None:
    with make_bench(network_fs=True, settle_s=1.0) as hand:
        hand.drop("q.txt", "Who wrote")
        hand.turn()
        hand.turn(passed_s=0.9)
        (hand.path / "in" / "q.txt").write_text(GOOD)
        hand.turn(passed_s=0.9)
        assert content(hand.path / "out") == set()
        hand.turn(passed_s=1.1)
        assert hand.out("q.txt.jsonl")[0]["text"] == GOOD
