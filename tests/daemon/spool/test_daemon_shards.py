"""Shards: several daemons on one spool, and the daemons that are refused."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import Daemon, content, program, records, until

from spikewatch.daemon.spool.shards import Shard

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "Who wrote Hamlet ?\n"


def share(spool: Path, registry: Path, shard: str, *options: str) -> Daemon:
    """Start the daemon of a shard, with a log of its own."""
    log = f"{shard.replace('/', '-')}.log"
    return Daemon(spool, registry, "--shard", shard, *options, log=log)


def drop(spool: Path, name: str, text: str = GOOD) -> None:
    hidden = spool / "tmp" / "put-test"
    hidden.write_text(text)
    hidden.rename(spool / "in" / name)


def mine(shard: str, count: int) -> list[str]:
    """Return names that belong to a shard."""
    its = Shard.parse(shard)
    assert its is not None
    return [name for i in range(100 * count) if its.takes(name := f"{i}.txt")][:count]


def status(spool: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program("status", "--spool", spool, "--json").stdout)
    return found


def test_every_name_falls_to_exactly_one_shard_and_none_is_left_out() -> None:
    names = [f"{i}.txt" for i in range(3000)] + [os.fsdecode(b"\xff.txt"), "a\nb.txt"]
    for of in (1, 2, 3, 7, 64):
        shards = [Shard(number=i, of=of) for i in range(1, of + 1)]
        taken = [[shard.number for shard in shards if shard.takes(name)] for name in names]
        assert all(len(each) == 1 for each in taken)
        shares = Counter(number for (number,) in taken)
        assert len(shares) == of
        assert max(shares.values()) < 2 * len(names) / of


def test_shards_answer_every_file_once_and_each_its_own(spool: Path, registry: Path) -> None:
    with share(spool, registry, "1/2").ready() as one, share(spool, registry, "2/2").ready() as two:
        for i in range(100):
            drop(spool, f"{i}.txt")
        until(lambda: len(content(spool / "done")) == 100, "all")
        found = status(spool)
        assert found["shards"] == {"1": one.process.pid, "2": two.process.pid}
        for shard, daemon in (("1/2", one), ("2/2", two)):
            done = program("reload", "--spool", spool, "--shard", shard)
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith(f"process {daemon.process.pid}: ")
        unclear = program("reload", "--spool", spool)
        assert unclear.returncode == 2
        assert "choose one with --shard I/N" in unclear.stderr
        assert (one.stop(), two.stop()) == (0, 0)
        answered = [{e["file"] for e in daemon.events("request.done")} for daemon in (one, two)]
    assert len(answered[0]) + len(answered[1]) == 100
    assert answered[0] == set(mine("1/2", 100)) & {f"{i}.txt" for i in range(100)}
    assert len(content(spool / "out")) == 200
    assert status(spool)["shards"] == {"1": None, "2": None}


def test_whoever_would_share_wrongly_is_refused_with_who_is_there(
    spool: Path, registry: Path
) -> None:
    def refused(*options: str) -> str:
        with Daemon(spool, registry, *options, log="refused.log") as daemon:
            code, error = daemon.end()
        assert code == 2
        return error.removeprefix(f"spikewatchd: spool {spool}: ")

    with share(spool, registry, "1/2").ready() as one:
        pid = one.process.pid
        assert refused("--shard", "1/2") == f"shard 1/2 in use by process {pid}\n"
        by = f"in use by 2 shards, processes {pid}\n"
        assert refused("--shard", "1/3") == by
        assert refused() == by
        assert one.stop() == 0
    with Daemon(spool, registry).ready() as alone:
        assert refused("--shard", "1/2") == f"in use by process {alone.process.pid}\n"
        assert alone.stop() == 0
    with share(spool, registry, "1/3", "--once") as other:
        assert other.end() == (0, "")


def killed_with_a_claim(spool: Path, registry: Path, shard: str, names: list[str]) -> str:
    """Kill a daemon while it has one of these inputs in hand; return which.

    It answers an input in half a second; a busy machine may not let the test run within it, and the next one counts.
    """
    for name in names:
        with Daemon(spool, registry, "--shard", shard).ready() as daemon:
            drop(spool, name, GOOD * 40_000)
            its = Shard.parse(shard)
            work = spool / "work" / ("" if its is None else its.folder)
            until(lambda: name in content(work) | content(spool / "done"), "the claim")  # noqa: B023 - called here
            daemon.stop(signal.SIGKILL)
        if name in content(work) - content(spool / "done"):
            return name
    raise AssertionError(f"answered before they could be killed: {names}")


def test_the_work_of_a_dead_shard_waits_for_its_lock(spool: Path, registry: Path) -> None:
    with share(spool, registry, "1/2").ready() as one:
        name = killed_with_a_claim(spool, registry, "2/2", mine("2/2", 9))
        work = spool / "work" / ".shard-2-of-2"
        (other,) = mine("1/2", 1)
        drop(spool, other)
        one.wait_for("request.done", file=other)
        assert name in content(work)
        assert status(spool)["folders"]["work"]["files"] == 1
        with share(spool, registry, "2/2", "--once") as again:
            assert again.end() == (0, "")
            assert again.events("request.recovered")[0]["file"] == name
        assert one.stop() == 0
    assert len(records(spool / "out" / f"{name}.jsonl")) == 40_000


@pytest.mark.parametrize(("before", "after"), [("2/2", ""), ("2/2", "1/1"), ("", "1/1")])
def test_what_daemons_of_another_layout_had_in_hand_goes_back_and_is_answered(
    spool: Path, registry: Path, before: str, after: str
) -> None:
    name = killed_with_a_claim(spool, registry, before, mine("2/2", 9))
    with Daemon(spool, registry, "--shard", after, "--once") as daemon:
        assert daemon.end() == (0, "")
    assert name in content(spool / "done")
    assert len(records(spool / "out" / f"{name}.jsonl")) == 40_000
    left = [path for folder in ("in", "work", "tmp") for path in (spool / folder).rglob("*")]
    assert [path for path in left if path.is_file() and not path.name.startswith(".")] == []
