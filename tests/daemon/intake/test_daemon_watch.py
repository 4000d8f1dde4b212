"""The watcher and the bell: real file events, and what they wake."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from daemon_support import until

from spikewatch.daemon.bell import Bell
from spikewatch.daemon.intake.watch import LIBRARY_LOG, Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bell() -> Iterator[Bell]:
    made = Bell()
    yield made
    made.close()


@pytest.fixture
def watcher(spool: Path, bell: Bell) -> Iterator[Watcher]:
    made = Watcher(spool / "in", bell)
    made.start()
    yield made
    made.stop()


def seen_of(watcher: Watcher, name: str, bell: Bell) -> None:
    """Wait until the watcher has seen a name, woken only by the bell."""
    seen: set[str] = set()

    def arrived() -> bool:
        bell.wait(1.0)
        seen.update(watcher.take()[0])
        return name in seen

    until(arrived, f"an event for {name!r} (seen: {seen})")


@pytest.mark.parametrize("name", ["a.txt", "two\nlines.txt", os.fsdecode(b"caf\xe9.txt")])
@pytest.mark.parametrize("how", ["write", "rename", "link", "symlink", "fifo"])
def test_every_way_to_arrive_is_an_event(
    watcher: Watcher, bell: Bell, spool: Path, how: str, name: str
) -> None:
    source, target = spool / "tmp" / "source", spool / "in" / name
    source.write_text("who")
    match how:
        case "write":
            target.write_text("who")
        case "rename":
            source.rename(target)
        case "link":
            os.link(source, target)
        case "symlink":
            target.symlink_to(source)
        case _:
            os.mkfifo(target)
    seen_of(watcher, name, bell)


def test_a_rename_within_the_inbox_rings_and_reports_both_names(
    watcher: Watcher, bell: Bell, spool: Path
) -> None:
    (spool / "tmp" / "source").write_text("who")
    os.link(spool / "tmp" / "source", spool / "in" / "a.part")  # a single event
    seen_of(watcher, "a.part", bell)
    (spool / "in" / "a.part").rename(spool / "in" / "a.txt")
    assert bell.wait(30.0)
    assert watcher.take()[0] == {"a.part", "a.txt"}


def test_the_daemons_own_reads_links_and_unlinks_cause_no_event(
    watcher: Watcher, bell: Bell, spool: Path
) -> None:
    path = spool / "in" / "a.txt"
    path.write_text("who")
    seen_of(watcher, "a.txt", bell)
    path.read_text()
    os.link(path, spool / "work" / "a.txt")
    path.unlink()
    (spool / "in" / "last.txt").write_text("who")
    seen: set[str] = set()

    def last() -> bool:
        seen.update(watcher.take()[0])
        return "last.txt" in seen

    until(last, "last.txt")
    # The event of the first close may arrive late; reading, linking and unlinking cause none.
    assert seen <= {"a.txt", "last.txt"}


def test_an_overflow_of_the_librarys_queue_is_reported(watcher: Watcher, bell: Bell) -> None:
    logging.getLogger(LIBRARY_LOG).warning("inotify event queue overflowed")
    bell.wait(10.0)
    assert watcher.take() == (set(), True)
    assert watcher.take() == (set(), False)


def test_a_stopped_watcher_is_not_alive_and_can_start_again(watcher: Watcher) -> None:
    assert watcher.alive
    watcher.stop()
    assert not watcher.alive
    watcher.start()
    assert watcher.alive


def test_a_bell_that_rang_before_ends_one_wait_at_once(bell: Bell) -> None:
    for _ in range(100_000):  # more than a pipe holds
        bell.ring()
    assert bell.wait(10.0)
    assert not bell.wait(0.0)
