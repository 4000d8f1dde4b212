"""Hostile inputs: each is answered record by record or quarantined, and the next input is answered."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from daemon_lives import Hook, Nursery, calls_of
from daemon_support import content, records, spool_of

from spikewatch.daemon.spool.folder import FOLDERS

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "Who wrote Hamlet ?"
LINES = {
    "deep": '{"text":' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "digits": '{"text":"who","id":' + "9" * 5_000 + "}",
    "digits elsewhere": '{"text":"who","other":' + "9" * 5_000 + "}",
    "NaN": '{"text":NaN}',
    "NaN as id": '{"text":"who","id":NaN}',
    "half a pair": '{"text":"\\ud800"}',
    "half a pair as id": '{"text":"who","id":"\\udc00"}',
    "NUL": '{"text":"who\\u0000wrote"}',
    "twice": '{"text":"no","text":"who wrote hamlet"}',
    "path as id": '{"text":"who","id":"../../etc/passwd"}',
}
READABLE = {"NUL", "twice", "path as id", "half a pair as id"}


def test_attacks_in_json_cost_one_record_each(spool: Path, lives: Nursery) -> None:
    lines = [line for attack in LINES.values() for line in (attack, f'{{"text":"{GOOD}"}}')]
    (spool / "in" / "attack.jsonl").write_text("\n".join(lines))
    assert lives.live(spool) == 0, lives.said()
    found = records(spool / "out" / "attack.jsonl.jsonl")
    assert len(found) == len(lines)
    assert {r["status"] for r in found[1::2]} == {"ok"}
    assert {
        name for name, r in zip(LINES, found[::2], strict=True) if r["status"] == "ok"
    } == READABLE
    assert found[2 * list(LINES).index("twice")]["text"] == "who wrote hamlet"
    assert content(spool) - {"status.json"} == {*FOLDERS, "lock"}


@pytest.mark.parametrize(
    "name",
    [
        "two\nlines.txt", "-rf.txt", "a..\\..\\etc.txt", "a...txt.txt", "\u202egpj.txt", "\x1b[2J\x07.txt", "$(id).txt",
        os.fsdecode(b"caf\xe9\xff.txt"), "%2e%2e%2f.txt", "ä" * 125 + ".txt", "x" * 251 + ".txt", " .txt",
        "a.txt.error.json.txt", "lock.txt", "CON.txt",
        os.fsdecode(("\N{CYRILLIC CAPITAL LETTER ZHE}" * 240).encode("cp866") + b".txt"),  # as old archives have them
        os.fsdecode(b"\xbf" * 251 + b".txt"),
    ],
)  # fmt: skip
def test_names_that_are_made_to_harm_are_names_like_any_other(
    memory: Path, lives: Nursery, name: str
) -> None:
    spool = spool_of(memory / os.urandom(6).hex())
    (spool / "in" / name).write_text(GOOD)
    assert lives.live(spool) == 0, lives.said()
    assert content(spool / "done") == {name}
    (result,) = (n for n in content(spool / "out") if n.endswith(".jsonl"))
    assert records(spool / "out" / result)[0]["status"] == "ok"
    (done,) = lives.events("request.done")
    assert done["file"].isprintable()
    assert content(spool) - {"status.json"} == {*FOLDERS, "lock"}


def test_a_second_failed_sync_in_a_row_ends_the_daemon_and_keeps_every_input(
    spool: Path, lives: Nursery
) -> None:
    """After the first failure the inputs are answered again; a third process finds every input."""
    (spool / "in" / "a.txt").write_text(GOOD)
    trace = spool.parent / "trace"
    copy = spool_of(spool.parent / "copy")
    (copy / "in" / "a.txt").write_text(GOOD)
    assert lives.live(copy, hook=Hook(trace=str(trace))) == 0
    sync = 1 + [c.split()[0] for c in calls_of(trace)].index("fsync")
    hook = Hook(fault_at=sync, fault_count=10_000, fault=errno.EIO)
    lives.start(spool, hook=hook)
    assert lives.exit_code() == os.EX_TEMPFAIL
    assert lives.said() == (
        f"spikewatchd: spool {spool}: the disk failed at 2 syncs in a row; every input is kept; "
        "check the disk and start again\n"
    )
    assert content(spool / "failed") == content(spool / "done") == set()
    assert (content(spool / "in") | content(spool / "work")) & {"a.txt"}
    assert lives.live(spool) == 0
    assert content(spool / "done") == {"a.txt"}


def test_one_failed_sync_is_made_good_by_answering_anew(spool: Path, lives: Nursery) -> None:
    trace = spool.parent / "trace"
    copy = spool_of(spool.parent / "copy")
    for each in (copy, spool):
        (each / "in" / "a.txt").write_text(GOOD)
    assert lives.live(copy, hook=Hook(trace=str(trace))) == 0
    syncs = [n for n, call in enumerate(calls_of(trace), 1) if call.startswith("fsync /tmp/")]
    assert lives.live(spool, hook=Hook(fault_at=syncs[0], fault=errno.EIO)) == 0
    assert [e["code"] for e in lives.events("request.retry")] == ["EIO"]
    assert content(spool / "done") == {"a.txt"}
