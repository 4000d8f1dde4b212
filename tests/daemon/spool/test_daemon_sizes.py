"""Inputs that are larger than anybody may read: each costs itself alone, and nothing else waits while it is read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from typing import TYPE_CHECKING

import pytest
from daemon_support import Bench, content, failed

from spikewatch.daemon.files import durable
from spikewatch.daemon.spool.published import SUSPECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?\n"
HUGE = 2 << 40
"""Bytes that take an hour to read, and none of the disk."""


def sparse(path: Path, size: int = HUGE) -> None:
    path.touch()
    os.truncate(path, size)


def drop_sparse(hand: Bench, name: str, data: bytes = b"", size: int = HUGE) -> None:
    hidden = hand.path / "tmp" / "put-sparse"
    hidden.write_bytes(data)
    os.truncate(hidden, size)
    hidden.rename(hand.path / "in" / name)
    hand.watcher.seen.add(name)


def test_a_huge_file_under_the_name_of_an_answered_one_is_not_read(hand: Bench) -> None:
    hand.drop("a.txt", GOOD)
    hand.run()
    drop_sparse(hand, "a.txt")
    hand.drop("b.txt", GOOD)
    hand.run()
    report = failed(hand, "a.txt")
    assert (report["code"], report["sha256"]) == ("too_large", None)
    assert report["message"] == f"its file has {HUGE} bytes; max_input_bytes allows {64 << 30}"
    assert content(hand.path / "done") == {"a.txt", "b.txt"}


def test_a_start_does_not_read_a_huge_file_that_an_earlier_process_claimed(
    spool: Path, make_bench: MakeBench
) -> None:
    with make_bench() as hand:
        hand.drop("a.txt", GOOD)
        hand.run()
    sparse(spool / "work" / "a.txt")
    (spool / "in" / "b.txt").write_text(GOOD)
    with make_bench() as hand:
        hand.run()
        assert failed(hand, "a.txt")["code"] == "too_large"
    assert content(spool / "done") == {"a.txt", "b.txt"}


def test_a_reader_that_took_the_summary_makes_nobody_read_a_huge_result(
    spool: Path, make_bench: MakeBench
) -> None:
    """Without summaries, results are compared by their bytes, and first by their sizes."""
    sparse(spool / "out" / "a.txt.jsonl")
    sparse(spool / "done" / "a.txt")
    (spool / "in" / "a.txt").write_text(GOOD)
    with make_bench() as hand:
        hand.run()
        (done,) = hand.events("request.done")
    assert done["result"] != "a.txt.jsonl"
    assert len(content(spool / "done")) == 2


@pytest.mark.parametrize("packed", ["q.txt.gz", "q.txt.bz2", "q.txt.xz"])
def test_zeros_behind_a_compressed_file_count_as_its_bytes(
    make_bench: MakeBench, packed: str
) -> None:

    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packed[6:]]
    with make_bench(max_input_bytes=1 << 20) as hand:
        drop_sparse(hand, packed, pack(GOOD.encode()), size=1 << 20)
        hand.run()
        assert content(hand.path / "done") == {packed}  # a tape's padding
        drop_sparse(hand, f"more-{packed}", pack(GOOD.encode()), size=1 << 30)
        hand.run()
        assert failed(hand, f"more-{packed}")["code"] == "too_large"


def test_large_inputs_are_answered_once_whatever_result_their_name_has(hand: Bench) -> None:
    """A large input is hashed on suspicion only if it has the size of the answered one; the commit knows all."""
    large = GOOD * (SUSPECT_BYTES // len(GOOD) + 1)
    longer = large + "how far is the moon ?\n"
    for _ in range(2):
        for text in (large, longer):
            hand.drop("a.txt", text)
            hand.run()
    assert len(hand.events("request.duplicate")) == 1
    assert len({e["result"] for e in hand.events("request.done")}) == 2
    assert len(content(hand.path / "out")) == 4
    assert content(hand.path / "work") == content(hand.path / "failed") == set()
    assert len(content(hand.path / "done")) == 2


def test_a_digest_ends_at_its_limit(tmp_path: Path) -> None:
    sparse(tmp_path / "a", 1000)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert durable.digest(folder, "a", most=999) is None
        assert durable.digest(folder, "a", most=1000) is not None
        assert durable.digest(folder, "b", most=1000) is None
    finally:
        os.close(folder)
