"""What a library raises, or dies of, while it handles one input costs that input alone."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MODEL, Bench, check_log, content, failed

from spikewatch.daemon.answering import input_file
from spikewatch.daemon.files import _calls
from spikewatch.daemon.spool import machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GOOD = "Who wrote Hamlet ?\n"
BAD = '{"text": "who"}\n'


class PanicException(BaseException):
    """What compiled libraries raise."""


def drop_all(hand: Bench) -> None:
    """Drop a bad input between two good ones, so that they share a batch."""
    for name, data in {"a.txt": GOOD, "bad.jsonl": BAD, "c.txt": GOOD}.items():
        hand.drop(name, data)


def others_answered(hand: Bench) -> None:
    assert content(hand.path / "done") == {"a.txt", "c.txt"}
    assert {e["file"] for e in hand.events("request.retry")} <= {"bad.jsonl"}
    assert all(e["attempt"] == 1 for e in hand.events("request.done"))
    assert not hand.events("daemon.fault")


def raise_on_reading(
    monkeypatch: pytest.MonkeyPatch, raised: BaseException, *, after: int = 0
) -> None:
    """Let the reader of every bad input raise, behind so many blocks of records."""
    real = input_file.begun

    def begun(*args: Any, name: str, **kwargs: Any) -> Any:
        layout, blocks = real(*args, name=name, **kwargs)
        if not name.startswith("bad"):
            return layout, blocks

        def broken() -> Any:
            for _ in range(after):
                yield next(blocks)
            raise raised

        return layout, broken()

    monkeypatch.setattr(input_file, "begun", begun)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    "raised",
    [MemoryError(), PanicException("retry limit\nover"), RecursionError("deep"), SystemExit(3)],
    ids=lambda e: type(e).__name__,
)
def test_an_input_whose_reading_raises_is_put_aside_alone(
    hand: Bench, monkeypatch: pytest.MonkeyPatch, raised: BaseException, after: int
) -> None:
    raise_on_reading(monkeypatch, raised, after=after)
    drop_all(hand)
    hand.run()
    others_answered(hand)
    report = failed(hand, "bad.jsonl")
    assert (report["code"], report["stage"], report["attempts"]) == ("reader", "read", 3)
    said = f": {' '.join(str(raised).split())}" if str(raised) else ""
    assert report["message"] == f"{type(raised).__name__}{said}"
    assert content(hand.path / "work") == set()


def test_a_panic_in_the_simulator_is_put_aside_alone(hand: Bench) -> None:
    def trap(texts: Sequence[str]) -> None:
        if "who" in texts:
            raise PanicException("a pattern overran its limit")

    hand.classifier.trap = trap
    drop_all(hand)
    hand.run()
    assert content(hand.path / "done") == {"a.txt", "c.txt"}
    report = failed(hand, "bad.jsonl")
    assert (report["code"], report["stage"]) == ("simulator", "simulate")
    assert report["message"] == "PanicException: a pattern overran its limit"


def test_a_machine_without_memory_counts_against_nobody(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on_reading(monkeypatch, MemoryError())
    monkeypatch.setattr(machine, "has_memory", lambda: False)
    drop_all(hand)
    for _ in range(10):
        hand.turn(passed_s=40.0)
    others_answered(hand)
    assert {e["code"] for e in hand.events("request.retry")} == {"ENOMEM"}
    assert content(hand.path / "work") - {".trial.json"} == {"bad.jsonl"}
    monkeypatch.undo()
    hand.turn(passed_s=40.0)
    assert content(hand.path / "done") == {"a.txt", "bad.jsonl", "c.txt"}


def test_an_input_on_a_bad_sector_waits_alone(hand: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_on_reading(monkeypatch, OSError(errno.EIO, "Input/output error"))
    drop_all(hand)
    for _ in range(10):
        hand.turn(passed_s=40.0)
    others_answered(hand)
    assert content(hand.path / "work") - {".trial.json"} == {"bad.jsonl"}
    assert content(hand.path / "failed") == set()


@pytest.mark.parametrize("raised", [None, ValueError("name")])
def test_an_input_whose_commit_fails_each_time_keeps_nobody_from_being_settled(
    hand: Bench, monkeypatch: pytest.MonkeyPatch, raised: Exception | None
) -> None:
    real = _calls.link_open_all

    def faulty(fds: Any, target: int, names: Sequence[str]) -> list[int]:
        bad = [name.startswith("bad") for name in names]
        if raised is not None and any(bad):
            raise raised
        made = iter(
            real(
                [f for f, b in zip(fds, bad, strict=True) if not b],
                target,
                [n for n in names if n[:3] != "bad"],
            )
        )
        return [errno.EPERM if b else next(made) for b in bad]

    monkeypatch.setattr(_calls, "link_open_all", faulty)
    drop_all(hand)
    for i in range(10):
        hand.turn(passed_s=40.0)
        hand.drop(f"later-{i}.txt", GOOD)
    hand.turn(passed_s=40.0)
    assert content(hand.path / "done") == {"a.txt", "c.txt", *(f"later-{i}.txt" for i in range(10))}
    assert content(hand.path / "work") - {".trial.json"} == {"bad.jsonl"}
    assert not hand.events("daemon.fault")
    (stuck,) = hand.events("request.stuck")
    assert stuck["code"] == ("EPERM" if raised is None else "settling")
    monkeypatch.undo()
    hand.turn(passed_s=40.0)
    assert "bad.jsonl" in content(hand.path / "done")


DYING = """
import os, signal, sys
from spikewatch.daemon import cli
from spikewatch.daemon.answering import input_file
real = input_file.begun
def begun(*args, name, **kwargs):
    if name == "bad.jsonl":
        {end}
    return real(*args, name=name, **kwargs)
input_file.begun = begun
cli.main()
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(137)", 137),
    ],
)
def test_an_input_whose_reading_ends_the_process_becomes_poison(
    spool: Path, registry: Path, end: str, code: int
) -> None:
    for name, data in {"a.txt": GOOD, "bad.jsonl": BAD, "c.txt": GOOD}.items():
        (spool / "in" / name).write_text(data)
    command = [sys.executable, "-c", DYING.format(end=end), "run", "--once", "--spool", str(spool)]
    command += ["--registry", str(registry), "--model", MODEL, "--log-format", "json"]
    codes = []
    with (spool / "test.log").open("wb") as log:
        while len(codes) < 8 and 0 not in codes:
            codes.append(subprocess.run(command, stdout=log, stderr=log, check=False).returncode)
    # The first one dies of a batch that others shared; after three more it is known.
    assert codes == [code] * 4 + [0]
    assert content(spool / "done") == {"a.txt", "c.txt"}
    assert content(spool / "failed") == {"bad.jsonl", "bad.jsonl.error.json"}
    assert b'"code": "poison"' in (spool / "failed" / "bad.jsonl.error.json").read_bytes()
    check_log(spool / "test.log")
