"""Small inputs do not wait for a large one, whatever it holds, and the large one is answered as if it were alone."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import Bench, Time, content, failed, records
from support import tiny_model_files

from spikewatch.daemon.answering import input_file, pipeline
from spikewatch.daemon.answering.sliced import LARGE_BYTES, MOST_LARGE
from spikewatch.daemon.heartbeats import Heartbeats
from spikewatch.daemon.intake import inbox
from spikewatch.daemon.models.served import ServedModel
from spikewatch.simcore import Classifier
from spikewatch.simcore.question_files.gunzip import PACKED_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"
OTHER = f"other:1.0.0@sha256:{'0' * 64}"
LARGE = f"{GOOD}\n" * (LARGE_BYTES // len(GOOD))


def slow(hand: Bench) -> None:
    """Let each call of the simulator take a second."""

    def pass_time(_: Sequence[str]) -> None:
        hand.time.now += 1.0

    hand.classifier.trap = pass_time


class Ticking(Time):
    """A clock that goes on by 10 ms whenever it is read."""

    @property  # type: ignore[misc]
    def now(self) -> float:
        self.__dict__["now"] += 0.01
        return self.__dict__["now"]  # type: ignore[no-any-return]

    @now.setter
    def now(self, value: float) -> None:
        self.__dict__["now"] = value


def out(hand: Bench) -> set[str]:
    return {name for name in content(hand.path / "out") if name.endswith(".jsonl")}


def test_small_inputs_are_answered_between_the_slices_of_a_large_one(hand: Bench) -> None:
    slow(hand)
    hand.drop("large.txt", LARGE)
    for i in range(4):
        hand.turn()
        hand.drop(f"{i}.txt", GOOD)
    hand.turn()
    assert out(hand) == {f"{i}.txt.jsonl" for i in range(4)}
    assert content(hand.path / "work") == {"large.txt"}
    assert not hand.service.idle
    hand.run()
    found = hand.out("large.txt.jsonl")
    assert [r["id"] for r in found] == list(range(1, LARGE.count("\n") + 1))
    assert {r["status"] for r in found} == {"ok"}
    (done,) = [e for e in hand.events("request.done") if e["file"] == "large.txt"]
    assert done["input_sha256"] == hashlib.sha256(LARGE.encode()).hexdigest()
    assert content(hand.path / "work") == content(hand.path / "tmp") == set()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("blank.txt.gz", gzip.compress(b"\n" * 50_000_000 + b"a")),
        ("spaces.json.gz", gzip.compress(b'["a"' + b" " * 50_000_000 + b"]")),
        ("questions.txt.gz", gzip.compress(f"{GOOD}\n".encode() * 60_000)),
    ],
)
def test_a_small_file_that_unpacks_to_a_large_one_is_answered_in_slices(
    hand: Bench, name: str, data: bytes
) -> None:
    slow(hand)
    hand.time.__class__ = Ticking
    hand.drop(name, data)
    turns = 0
    while not content(hand.path / "done") & {name}:
        hand.turn()
        turns += 1
        hand.drop(f"{turns}.txt", GOOD)
        assert not content(hand.path / "failed")
    assert turns >= 4
    assert len(out(hand)) >= turns - 1


def test_the_daemon_shows_that_it_is_alive_before_each_read_of_an_input(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def read(fd: int, size: int, _read: Callable[[int, int], bytes] = os.read) -> bytes:
        if size == PACKED_BYTES:
            calls.append("read")
        return _read(fd, size)

    def beat(self: Heartbeats, part: str, _beat: Any = Heartbeats.beat) -> None:
        calls.append(part)
        _beat(self, part)

    monkeypatch.setattr(input_file.os, "read", read)
    monkeypatch.setattr(Heartbeats, "beat", beat)
    with make_bench() as hand:
        hand.drop("q.txt.gz", gzip.compress(b"a\n") + gzip.compress(b"") * 50_000)
        hand.run()
    assert calls.count("read") > 50
    assert ("read", "read") not in set(pairwise(calls))


def test_one_model_answers_a_large_input_though_others_are_swapped_in(hand: Bench) -> None:
    slow(hand)
    hand.drop("large.txt", LARGE)
    hand.turn()
    other = ServedModel(classifier=Classifier.from_files(tiny_model_files(seed=1)), pin=OTHER)
    hand.service.swap(other)
    hand.drop("small.txt", GOOD)
    hand.run()
    models = {e["file"]: e["model"] for e in hand.events("request.done")}
    assert models["small.txt"] == OTHER
    assert models["large.txt"].startswith("tiny:")
    asked = sum(len(call) for call in hand.classifier.calls)
    assert asked == LARGE.count("\n")


def test_an_orderly_stop_finishes_a_large_input_or_leaves_it_to_the_next_start(
    make_bench: MakeBench,
) -> None:
    with make_bench() as hand:
        slow(hand)
        hand.drop("a.txt", LARGE)
        hand.turn()
        hand.time.over = True
        hand.service.finish()
        assert out(hand) == set()
        assert content(hand.path / "work") == {"a.txt"}
        assert content(hand.path / "tmp") == set()
    with make_bench() as hand:
        slow(hand)
        hand.turn()
        hand.drop("b.txt", GOOD)
        hand.turn()
        assert out(hand) == {"b.txt.jsonl"}, "an input that is tried again alone is sliced, too"
        hand.service.finish()
        assert len(hand.out("a.txt.jsonl")) == LARGE.count("\n")


def test_a_fault_of_the_simulator_in_a_large_input_counts_against_it_alone(hand: Bench) -> None:
    def fail(texts: Sequence[str]) -> None:
        if len(texts) > 1 or texts[0] != GOOD:
            raise RuntimeError("a bug")

    hand.classifier.trap = fail
    hand.drop("large.txt", LARGE)
    hand.drop("small.txt", GOOD)
    hand.run()
    assert out(hand) == {"small.txt.jsonl"}
    assert failed(hand, "large.txt")["code"] == "simulator"


def test_reading_that_gives_way_after_every_block_changes_no_result(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f'{i},"{GOOD}"\n' for i in range(3000))
    table = "id,text\n" + rows
    inputs = {f"{i}.csv": table.replace("Hamlet", f"Hamlet {i}") for i in range(3)}
    inputs |= {f"{i}.txt": GOOD for i in range(3)} | {"large.csv": "id,text\n" + rows * 5}
    results = []
    for pause_s in (pipeline.READ_S, 0.0):
        monkeypatch.setattr(pipeline, "READ_S", pause_s)
        with make_bench() as hand:
            for name, data in inputs.items():
                hand.drop(name, data)
            hand.run()
            results.append({n: (hand.path / "out" / n).read_bytes() for n in out(hand)})
            for name in content(hand.path / "out"):
                (hand.path / "out" / name).unlink()
    assert len(results[0]) == len(inputs)
    assert results[0] == results[1]


def test_of_many_large_inputs_few_are_claimed_and_none_hides_a_small_one(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "WINDOW", MOST_LARGE + 4)
    slow(hand)
    many = 2 * MOST_LARGE + 10
    for i in range(many):
        hand.drop(f"{i}.txt", LARGE)
    hand.turn()
    assert len(content(hand.path / "work")) == MOST_LARGE
    hand.drop("small.txt", GOOD)
    hand.watcher.seen.clear()
    for _ in range(8):
        hand.turn(passed_s=1.0)
    assert "small.txt.jsonl" in out(hand)
    assert not hand.service.idle


def test_files_that_are_held_open_hide_no_others(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "WINDOW", 5)
    held = [(hand.path / "in" / f"held-{i}.txt").open("w") for i in range(23)]
    for i in range(7):
        hand.drop(f"good-{i}.txt", GOOD)
    hand.watcher.seen.clear()
    for _ in range(20):
        hand.turn(passed_s=1.1)
    assert out(hand) == {f"good-{i}.txt.jsonl" for i in range(7)}
    assert content(hand.path / "work") == set()
    hand.drop("late.txt", GOOD)  # announced by an event, though all places are taken
    hand.turn(passed_s=0.1)
    hand.turn(passed_s=0.1)
    assert "late.txt.jsonl" in out(hand)
    for file in held:
        file.write(GOOD)
        file.close()
    for _ in range(20):
        hand.turn(passed_s=1.1)
    assert len(out(hand)) == 31
    assert hand.service.idle


def test_a_file_that_stays_open_is_examined_less_and_less_often(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined: list[int] = []
    examine = inbox.examine

    def counted(folder: int, names: Sequence[str], *, leases: bool) -> Any:
        examined.append(len(names))
        return examine(folder, names, leases=leases)

    monkeypatch.setattr(inbox, "examine", counted)
    with (hand.path / "in" / "held.txt").open("w") as held:
        for _ in range(200):
            hand.turn(passed_s=0.05)
        assert 8 <= sum(examined) <= 30
        held.write(GOOD)
    hand.watcher.seen.add("held.txt")
    hand.turn(passed_s=0.01)
    assert out(hand) == {"held.txt.jsonl"}


def lines_of_a_megabyte(count: int, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
    for _ in range(count):
        yield begin + b"x" * 1_000_000 + end + b"\n"


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("q.txt.gz", b"", b""), ("q.jsonl.gz", b'{"text":"', b'"}'), ("q.csv.gz", b'a,"', b'"')],
)
def test_long_lines_take_no_more_memory_than_short_ones(
    spool: Path, name: str, begin: bytes, end: bytes
) -> None:
    header = b"id,text\n" if ".csv" in name else b""
    lines = header + b"".join(lines_of_a_megabyte(150, begin, end))
    (spool / "in" / name).write_bytes(gzip.compress(lines, 1))
    script = (
        "import sys; from pathlib import Path; from spikewatch.daemon import Settings, serve;"
        "serve(Settings(spool=sys.argv[1], once=True));"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, spool], capture_output=True, text=True, check=True
    )
    assert len(records(spool / "out" / f"{name}.jsonl")) == 150
    assert int(done.stdout.splitlines()[-1]) < 195_000, "KiB"
