"""A watcher without events is noticed and logged once, and the scan takes over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daemon_support import Bench, content, until

from spikewatch.daemon.bell import Bell
from spikewatch.daemon.files import durable
from spikewatch.daemon.intake.arrivals import BLIND_SCAN_S
from spikewatch.daemon.intake.watch import Watcher
from spikewatch.daemon.intake.watch_guard import CANARY, CANARY_S, MissedEvents

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def watching(hand: Bench) -> list[tuple[str, str]]:
    """Return the events about the watcher, each with its code or reason."""
    return [
        (e["event"], e.get("code") or e["reason"])
        for e in hand.events()
        if e["event"] in {"watch.failed", "watch.restarted"}
    ]


def test_a_real_watcher_reports_the_canary_which_is_removed_at_once(spool: Path) -> None:
    bell = Bell()
    watcher = Watcher(spool / "in", bell)
    watcher.start()
    try:
        inbox = os.open(spool / "in", durable.FOLDER_FLAGS)
        os.close(durable.create(inbox, CANARY))
        durable.unlink(inbox, CANARY)
        os.close(inbox)
        until(lambda: CANARY in watcher.take()[0], "the canary's event")
    finally:
        watcher.stop()
        bell.close()
    assert content(spool / "in") == set()


def test_a_watcher_that_reports_every_canary_is_not_restarted(hand: Bench) -> None:
    for _ in range(200):
        hand.turn(passed_s=1.0)
    assert hand.watcher.starts == 1
    assert watching(hand) == []
    assert content(hand.path / "in") == set()


def test_a_deaf_watcher_is_restarted_and_logged_once(hand: Bench) -> None:
    hand.watcher.hears_canaries = False
    for _ in range(4):
        hand.turn(passed_s=1.0)
    assert watching(hand) == [("watch.failed", "no_events")]
    assert hand.watcher.starts == 2
    starts = hand.watcher.starts
    for _ in range(int(CANARY_S * 3)):
        hand.turn(passed_s=1.0)
    assert hand.watcher.starts - starts in {2, 3}, "restarted with each canary, not every second"
    assert watching(hand) == [("watch.failed", "no_events")]
    hand.watcher.hears_canaries = True
    for _ in range(int(CANARY_S)):
        hand.turn(passed_s=1.0)
    assert watching(hand) == [
        ("watch.failed", "no_events"),
        ("watch.restarted", "no file events had arrived"),
    ]


def test_while_the_watcher_is_deaf_scans_are_more_frequent(hand: Bench) -> None:
    def claimed_after_a_moment(name: str) -> bool:
        hand.turn(passed_s=1.0)
        hand.drop(name, "how far ?")
        hand.watcher.seen.clear()
        hand.turn(passed_s=BLIND_SCAN_S)
        return name in content(hand.path / "done")

    assert not claimed_after_a_moment("a.txt")
    hand.watcher.hears_canaries = False
    for _ in range(int(CANARY_S) + 4):
        hand.turn(passed_s=1.0)
    assert claimed_after_a_moment("b.txt")


def test_after_a_pause_of_the_whole_process_the_watcher_is_not_deaf(hand: Bench) -> None:
    hand.turn(passed_s=CANARY_S)
    hand.watcher.hears_canaries = False  # the loop looks before the event arrives
    hand.turn(passed_s=3600.0)
    hand.watcher.hears_canaries = True
    hand.turn(passed_s=1.0)
    assert watching(hand) == []


def test_a_watcher_that_lost_the_canary_in_an_overflow_is_not_deaf(hand: Bench) -> None:
    hand.turn(passed_s=CANARY_S)
    hand.watcher.hears_canaries = False
    hand.watcher.lost = True
    hand.turn(passed_s=1.0)
    hand.watcher.hears_canaries = True
    for _ in range(4):
        hand.turn(passed_s=1.0)
    assert watching(hand) == []


def test_a_full_disk_without_a_canary_is_not_taken_for_deafness(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "create", full)
    hand.watcher.hears_canaries = False
    for _ in range(int(CANARY_S * 2)):
        hand.turn(passed_s=1.0)
    assert ("watch.failed", "no_events") not in watching(hand)[1:]


def test_a_watcher_that_starts_after_a_failure_is_logged(hand: Bench) -> None:
    hand.watcher.fault = OSError(24, "inotify instance limit reached")
    hand.watcher.alive = False
    hand.turn(passed_s=1.0)
    hand.watcher.fault, hand.watcher.alive = None, False
    hand.turn(passed_s=1.0)
    assert watching(hand) == [
        ("watch.failed", "EMFILE"),
        ("watch.restarted", "the watcher had ended"),
    ]


def test_only_files_without_any_event_count_as_missed() -> None:
    missed = MissedEvents()
    assert missed.note_scan(["late", "lost"]) == 0
    missed.note_events({"late", "other"})
    assert missed.note_scan([]) == 1
    assert missed.note_scan(None) == 0
    assert missed.note_scan(["new"]) == 0
