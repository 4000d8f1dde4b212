"""Real file events, and what happens to files when there are too many events, or none."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from daemon_namespace import island, within
from daemon_support import content, records, spool_of, until

if TYPE_CHECKING:
    from pathlib import Path

    from daemon_lives import Nursery

GOOD = "Who wrote Hamlet ?\n"
DROPS = 20_000
"""More than the 16,384 events that the kernel queues for a watcher."""


def answered(spool: Path) -> set[str]:
    return {
        name.removesuffix(".jsonl") for name in content(spool / "out") if name.endswith(".jsonl")
    }


@pytest.mark.timeout(300)
def test_files_that_are_dropped_while_the_daemon_is_stopped_are_all_answered(
    memory: Path, lives: Nursery
) -> None:
    """The kernel drops events; the daemon logs the overflow, and a scan finds every file."""
    spool = spool_of(memory / "stopped")
    pid = lives.start(spool)
    lives.wait_for("daemon.ready")
    os.kill(pid, signal.SIGSTOP)
    names = {f"{i}.txt" for i in range(DROPS)}
    for name in names:
        (spool / "in" / name).write_text(GOOD)
    os.kill(pid, signal.SIGCONT)
    until(lambda: len(content(spool / "done")) == DROPS, "all", patience_s=240, every_s=0.5)
    lives.wait_for("watch.overflow")
    os.kill(pid, signal.SIGTERM)
    assert lives.exit_code() == 0
    assert content(spool / "done") == answered(spool) == names
    assert sorted(e["file"] for e in lives.events("request.done")) == sorted(names)
    assert content(spool / "in") == content(spool / "work") == content(spool / "tmp") == set()
    assert content(spool / "failed") == set()


def test_a_replaced_inbox_is_noticed_and_the_new_one_is_watched(
    spool: Path, lives: Nursery
) -> None:
    """The kernel reports nothing: its watch stays on the old folder."""
    lives.start(spool)
    lives.wait_for("daemon.ready")
    (spool / "in").rename(spool / "old")
    (spool / "in").mkdir()
    lives.wait_for("watch.restarted", reason="in/ was replaced by another folder")
    (spool / "in" / "a.txt").write_text(GOOD)
    lives.wait_for("request.done", file="a.txt")
    (spool / "old" / "b.txt").write_text(GOOD)
    (spool / "in" / "c.txt").write_text(GOOD)
    lives.wait_for("request.done", file="c.txt")
    assert content(spool / "old") == {"b.txt"}


def test_an_inbox_that_disappears_and_returns_is_logged_once(spool: Path, lives: Nursery) -> None:
    lives.start(spool, scan_s=0.05)
    lives.wait_for("daemon.ready")
    (spool / "in").rename(spool / "away")
    lives.wait_for("watch.failed", code="ENOENT")
    (spool / "away" / "a.txt").write_text(GOOD)
    (spool / "away").rename(spool / "in")
    lives.wait_for("request.done", file="a.txt")
    assert len(lives.events("watch.failed")) == 1


def test_an_unmounted_spool_is_noticed_and_another_one_in_its_place_ends_the_daemon(
    registry: Path, tmp_path: Path
) -> None:
    point = tmp_path / "disk"
    with island(registry, point, "size=4m") as (lives, inside):
        lives.start(point / "spool", min_free_bytes=0)
        lives.wait_for("daemon.ready")
        (inside / "spool" / "in" / "a.txt").write_text(GOOD)
        lives.wait_for("request.done", file="a.txt")
        assert len(records(inside / "spool" / "out" / "a.txt.jsonl")) == 1
        within(lives, "umount", "-l", point)
        lives.wait_for("watch.failed", code="ENOENT")
        within(lives, "mount", "-t", "tmpfs", "none", point)
        spool_of(inside / "spool")
        assert lives.exit_code() == os.EX_TEMPFAIL
        assert "another spool has taken its place" in lives.said()
        (inside / "spool" / "in" / "b.txt").write_text(GOOD)
        assert lives.live(point / "spool", min_free_bytes=0) == 0
        assert content(inside / "spool" / "done") == {"b.txt"}


def test_a_bind_mount_inside_the_spool_is_refused(registry: Path, tmp_path: Path) -> None:
    """The file system is the same, but hard links do not work across mounts."""
    point = tmp_path / "disk"
    with island(registry, point, "size=4m") as (lives, inside):
        spool_of(inside / "spool")
        (inside / "elsewhere").mkdir()
        within(lives, "mount", "--bind", point / "elsewhere", point / "spool" / "in")
        assert lives.live(point / "spool", min_free_bytes=0) == 2
        assert lives.said() == (
            f"spikewatchd: spool {point / 'spool'}: its folders are on 2 file systems; hard links need a single one\n"
        )
