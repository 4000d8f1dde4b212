"""Inputs that cannot be moved, or no further: each waits alone, with its reason, and keeps nobody else waiting."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from daemon_lives import Nursery
from daemon_namespace import island, within
from daemon_support import Bench, content, program, until

from spikewatch.daemon.files import _calls
from spikewatch.daemon.intake import refused
from spikewatch.daemon.spool import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?\n"
NOBODY = 65534
SOON = {"scan_s": 0.05, "settle_s": 0.01}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of others need root")


@contextmanager
def attribute(path: Path, letter: str) -> Iterator[None]:
    """Make a file immutable (i) or append-only (a)."""
    if not shutil.which("chattr"):
        pytest.skip("no chattr")
    if subprocess.run(["chattr", f"+{letter}", path], capture_output=True, check=False).returncode:
        pytest.skip("no attributes here")
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{letter}", path], check=False)


def others_are_answered(spool: Path, lives: Nursery, code: str) -> None:
    """Two starts in a row report one stuck input and answer the others, before and after it is found to be stuck."""
    for life in range(2):
        (spool / "in" / f"before-{life}.txt").write_text(GOOD)
        lives.start(spool, **SOON)
        said = lives.wait_for("request.stuck", file="stuck.txt", code=code)
        assert "cannot be" in said["message"]
        (spool / "in" / f"after-{life}.txt").write_text(GOOD)
        lives.wait_for("request.done", file=f"after-{life}.txt")
        lives.wait_for("request.done", file=f"before-{life}.txt")
        assert len(lives.events("request.stuck")) == 1
        assert not lives.events("daemon.fault")
    assert "stuck.txt" in content(spool / "in")


@as_root
@pytest.mark.parametrize("letter", ["i", "a"])
def test_an_immutable_or_append_only_file_waits_in_the_inbox(
    spool: Path, lives: Nursery, letter: str
) -> None:
    path = spool / "in" / "stuck.txt"
    path.write_text(GOOD)
    with attribute(path, letter):
        others_are_answered(spool, lives, "EPERM")
        document = until(lambda: stuck_in_status(spool), "the status names it")
        assert document["stuck"] == {"files": 1}
        assert document["state"] == "degraded"
        assert "stuck: stuck.txt: EPERM" in program("status", "--spool", spool, "--json").stdout
    lives.wait_for("request.unstuck", file="stuck.txt")
    lives.wait_for("request.done", file="stuck.txt")
    lives.end()
    assert content(spool / "in") == content(spool / "work") - {".trial.json"} == set()


def stuck_in_status(spool: Path) -> Any:
    """Return the status document once it counts a stuck input."""
    if not (spool / "status.json").exists():
        return None
    document = json.loads((spool / "status.json").read_bytes())
    return document if document["stuck"]["files"] else None


@as_root
def test_once_ends_although_an_input_is_stuck(spool: Path, lives: Nursery) -> None:
    path = spool / "in" / "stuck.txt"
    for name in ("stuck.txt", "a.txt"):
        (spool / "in" / name).write_text(GOOD)
    with attribute(path, "i"):
        assert lives.live(spool) == 0
    assert content(spool / "done") == {"a.txt"}
    assert lives.live(spool) == 0
    assert content(spool / "done") == {"a.txt", "stuck.txt"}


def test_a_mounted_file_waits_in_the_inbox(registry: Path, tmp_path: Path) -> None:
    with island(registry, tmp_path / "island", "size=64m") as (lives, inside):
        outside = tmp_path / "island" / "spool"
        spool = inside / "spool"
        assert lives.live(outside) == 0
        (spool / "in" / "stuck.txt").touch()
        (inside / "mounted.txt").write_text(GOOD)
        source, target = (
            tmp_path / "island" / "mounted.txt",
            outside / "in" / "stuck.txt",
        )
        within(lives, "mount", "--bind", source, target)
        (spool / "in" / "a.txt").write_text(GOOD)
        lives.start(outside, **SOON)
        lives.wait_for("request.stuck", file="stuck.txt", code="EBUSY")
        (spool / "in" / "b.txt").write_text(GOOD)
        lives.wait_for("request.done", file="a.txt")
        lives.wait_for("request.done", file="b.txt")
        within(lives, "umount", "--lazy", target)
        (inside / "mounted.txt").rename(spool / "in" / "stuck.txt")
        lives.wait_for("request.done", file="stuck.txt")
        lives.end()


@as_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv")
@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_a_file_in_a_sticky_folder_of_somebody_else_waits(
    spool: Path, registry: Path, tmp_path: Path, mode: int
) -> None:
    """The kernel refuses to link what the daemon may not write, and to unlink what it could link."""
    inbox = spool / "in"
    path = inbox / "stuck.txt"
    path.write_text(GOOD)
    path.chmod(mode)
    inbox.chmod(0o1777)
    for each in (path, inbox):
        shutil.chown(each, NOBODY, NOBODY)
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    with Nursery(registry, tmp_path / "powerless.log", prefix=powerless) as lives:
        others_are_answered(spool, lives, "EPERM")
        assert content(spool / "out") & {"stuck.txt.jsonl"} == set()
        path.unlink()
        lives.wait_for("request.unstuck", file="stuck.txt")
        lives.end()
        assert lives.live(spool) == 0
    assert content(inbox) == content(spool / "work") - {".trial.json"} == set()


def test_an_input_at_the_limit_of_hard_links_is_moved_by_renames(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 65,000 on ext4; here, no file may have a second one."""
    many, one = _calls.link_all, os.link

    def link_all(source: int, names: Sequence[str], target: int, _: Sequence[str]) -> list[int]:
        names = list(names)
        free = [name for name in names if not name.startswith("full")]
        made = iter(many(source, free, target, free))
        return [errno.EMLINK if name.startswith("full") else next(made) for name in names]

    def link(source: str, target: str, **where: Any) -> None:
        if source.startswith("full"):
            raise OSError(errno.EMLINK, "Too many links", source)
        one(source, target, **where)

    monkeypatch.setattr(_calls, "link_all", link_all)
    monkeypatch.setattr(os, "link", link)
    names = ("full.txt", "a.txt")
    for _ in range(2):  # the second time, they are duplicates
        for name in names:
            hand.drop(name, GOOD)
        hand.drop("full-bad.txt", b"\xff")
        hand.run()
    assert content(hand.path / "done") == set(names)
    assert len(hand.events("request.done")) == len(hand.events("request.duplicate")) == 2
    assert "full-bad.txt" in content(hand.path / "failed")
    assert content(hand.path / "in") == content(hand.path / "work") == set()
    assert not hand.events("request.retry") + hand.events("daemon.fault")


@pytest.mark.soak
def test_an_input_with_as_many_links_as_the_file_system_allows_is_answered(
    spool: Path, lives: Nursery, tmp_path: Path
) -> None:
    if os.pathconf(tmp_path, "PC_LINK_MAX") > 100_000:
        pytest.skip("the file system has no reachable limit")
    path, links = spool / "in" / "full.txt", tmp_path / "links"
    path.write_text(GOOD)
    links.mkdir()
    with suppress(OSError):
        for number in range(100_000):
            os.link(path, links / str(number))
    assert path.stat().st_nlink < 100_000
    assert lives.live(spool) == 0
    assert lives.live(spool) == 0
    assert content(spool / "done") == {"full.txt"}
    assert content(spool / "in") == content(spool / "work") == set()


def faulty_look(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make every look at a file called stuck.txt fail, as on a damaged inode."""
    real = _calls.look_all

    def look_all(folder: int, names: Sequence[str], leases: bool) -> list[Any]:
        names = list(names)
        found = real(folder, names, leases)
        return [
            (number, *facts[1:]) if name == "stuck.txt" else facts
            for name, facts in zip(names, found, strict=True)
        ]

    monkeypatch.setattr(_calls, "look_all", look_all)


@pytest.mark.parametrize("number", [errno.EIO, errno.EUCLEAN, errno.ENOTCONN])
def test_an_input_that_cannot_be_examined_waits_alone(
    hand: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    faulty_look(monkeypatch, number)
    for name in ("a.txt", "stuck.txt"):
        hand.drop(name, GOOD)
    hand.run()
    assert content(hand.path / "done") == {"a.txt"}
    assert [e["code"] for e in hand.events("request.stuck")] == [errno.errorcode[number]]
    for _ in range(5):
        hand.turn(passed_s=40.0)
    assert len(hand.events("request.stuck")) == 1
    assert not hand.events("daemon.fault")
    monkeypatch.undo()
    hand.turn(passed_s=40.0)
    hand.run()
    assert content(hand.path / "done") == {"a.txt", "stuck.txt"}
    assert len(hand.events("request.unstuck")) == 1


def test_a_fault_of_the_machine_makes_all_wait_and_none_is_stuck(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same error as above, but the machine says that it is the machine's."""
    faulty_look(monkeypatch, errno.EIO)

    def broken(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(machine, "check", broken)
    for name in ("a.txt", "stuck.txt"):
        hand.drop(name, GOOD)
    for _ in range(5):
        hand.turn(passed_s=40.0)
    assert {e["code"] for e in hand.events("daemon.fault")} == {"EIO"}
    assert not hand.events("request.stuck")
    monkeypatch.undo()
    hand.turn(passed_s=40.0)
    hand.run()
    assert content(hand.path / "done") == {"a.txt", "stuck.txt"}


def test_refused_inputs_take_bounded_memory_and_no_place_of_others(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, "MOST", 5)
    real = _calls.look_all

    def look_all(folder: int, names: Sequence[str], leases: bool) -> list[Any]:
        names = list(names)
        return [
            (errno.EIO, *facts[1:]) if name.startswith("stuck") else facts
            for name, facts in zip(names, real(folder, names, leases), strict=True)
        ]

    with make_bench() as hand:
        monkeypatch.setattr(_calls, "look_all", look_all)
        for i in range(20):
            hand.drop(f"stuck-{i}.txt", GOOD)
        for i in range(20):
            hand.drop(f"{i}.txt", GOOD)
            hand.turn(passed_s=0.5)
        assert len(content(hand.path / "done")) == 20
        monkeypatch.undo()
        for _ in range(3):
            hand.turn(passed_s=40.0)
        hand.run()
        assert len(content(hand.path / "done")) == 40


def test_an_input_that_work_does_not_give_away_keeps_no_start_from_the_others(
    spool: Path, lives: Nursery
) -> None:
    """Somebody made a claimed input immutable; its result is out, but it cannot move to done/."""
    path = spool / "work" / "stuck.txt"
    path.write_text(GOOD)
    if os.geteuid() != 0:
        pytest.skip("chattr needs root")
    with attribute(path, "i"):
        for life in range(2):
            (spool / "in" / f"{life}.txt").write_text(GOOD)
            assert lives.live(spool) == 0, lives.said()
            assert content(spool / "done") == {f"{i}.txt" for i in range(life + 1)}
            assert len(lives.events("request.stuck", file="stuck.txt")) == 1
    assert lives.live(spool) == 0
    assert content(spool / "done") == {"0.txt", "1.txt", "stuck.txt"}
    assert len(content(spool / "out")) == 6


@as_root
def test_an_input_that_another_number_of_shards_left_behind_keeps_no_daemon_from_starting(
    spool: Path, lives: Nursery
) -> None:
    left = spool / "work" / ".shard-1-of-2"
    left.mkdir()
    path = left / "stuck.txt"
    path.write_text(GOOD)
    (left / "b.txt").write_text(GOOD)
    with attribute(path, "i"):
        (spool / "in" / "a.txt").write_text(GOOD)
        assert lives.live(spool) == 0, lives.said()
        assert content(spool / "done") == {"a.txt", "b.txt"}
    assert lives.live(spool) == 0
    assert content(spool / "done") == {"a.txt", "b.txt", "stuck.txt"}
