"""Files that are not inputs yet: temporary names, control files, and names that a program is about to change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_support import Bench, Daemon, content, failed, program, records, until

from spikewatch.daemon.spool.unfinished import UNFINISHED, skipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?\n"

TEMPORARY = (
    ".hidden.txt", "a.tmp", "b.part", "c.writing", "d.txt~",
    "q.txt.crdownload", "Unconfirmed 123456.crdownload", ".com.google.Chrome.AbC123", "q.txt.CRDOWNLOAD",
    "q.txt.opdownload", "q.txt.partial", "q.txt.download", "q.txt.wkdownload", "hW3kZ9.txt.part",
    "q.txt.filepart", "q.txt.FilePart", "q.txt.aria2", "q.txt.st", "q.txt.lftp", ".in.q.txt", "q.txt.fdmdownload",
    ".q.txt.AbC123", "q.txt.3f2a91bc.partial", "q.csv_.gstmp", "q.txt.d41d8cd98f.part.minio", "q.txt._COPYING_",
    ".syncthing.q.txt.tmp", "~syncthing~q.txt", ".q.txt.~4f1a", "q.txt.ocTransferId17.part", "q.txt.!qB", "q.txt.!Sync",
    ".q.txt.swp", "q.swp", "q.txt.bak", "Q.BAK", "q.txt.orig", "~$q.csv", ".~lock.q.csv#", "#q.txt#", ".#q.txt",
    "q.txt___jb_tmp___", "q.txt.sb-1a2b3c4d-XyZ123", "q.txt.camelLock", "Thumbs.db", "desktop.ini", ".DS_Store",
)  # fmt: skip


def settled(spool: Path) -> dict[str, set[str]]:
    """Return the names in the folders of a spool, without summaries."""
    folders = {name: content(spool / name) for name in ("in", "work", "out", "failed")}
    folders["out"] = {name for name in folders["out"] if not name.endswith(".summary.json")}
    return folders


def test_temporary_names_of_other_programs_are_left_alone(hand: Bench) -> None:
    for name in TEMPORARY:
        hand.drop(name, GOOD)
    (hand.path / "in" / "safari.txt.download").mkdir()
    hand.run()
    hand.turn(passed_s=3600.0)
    assert content(hand.path / "in") == {*TEMPORARY, "safari.txt.download"}
    assert content(hand.path / "out") == content(hand.path / "failed") == set()
    assert hand.events("request.ignored") == []
    assert hand.service.idle


@pytest.mark.parametrize(
    "name",
    ["q.txt", "part.txt", "tmp.csv", "a~b.txt", "what#.txt", "Q.JSONL", "~q.txt", "q.tmp.txt"],
)
def test_names_that_only_look_temporary_are_inputs(name: str) -> None:
    assert not skipped(name)


def test_a_file_of_unknown_suffix_fails_only_when_it_has_not_been_renamed_for_a_while(
    hand: Bench,
) -> None:
    hand.drop("q.txt.xyz", GOOD)
    hand.turn()
    hand.turn(passed_s=9.0)
    assert settled(hand.path) == {"in": {"q.txt.xyz"}, "work": set(), "out": set(), "failed": set()}
    (hand.path / "in" / "q.txt.xyz").rename(hand.path / "in" / "q.txt")
    hand.watcher.seen |= {"q.txt.xyz", "q.txt"}  # as the real watcher reports a rename
    hand.turn()
    assert hand.service.idle  # nothing waits for the old name
    assert settled(hand.path) == {
        "in": set(),
        "work": set(),
        "out": {"q.txt.jsonl"},
        "failed": set(),
    }
    hand.drop("q.xyz", GOOD)
    hand.turn()
    assert not hand.service.idle  # with the setting `once`, the daemon waits for it
    hand.turn(passed_s=9.9)
    assert content(hand.path / "failed") == set()
    hand.turn(passed_s=0.2)
    assert failed(hand, "q.xyz")["message"] == (
        "its name must end in .txt, .jsonl, .ndjson, .json, .csv, .tsv, .label: save it as one of these, or rename it "
        "(temporary names begin with a dot or end in .part)"
    )


def test_the_documentation_lists_every_temporary_name() -> None:
    page = (Path(__file__).parents[3] / "docs" / "daemon.md").read_text().lower()
    assert [suffix for suffix in UNFINISHED if f"`*{suffix}`" not in page] == []


@pytest.mark.parametrize("change", ["an event", "a write without an event"])
def test_the_wait_starts_again_when_the_file_changes(hand: Bench, change: str) -> None:
    hand.drop("q.xyz", GOOD)
    hand.turn()
    hand.turn(passed_s=9.0)
    if change == "an event":
        hand.watcher.seen.add("q.xyz")
    else:
        (hand.path / "in" / "q.xyz").write_text(2 * GOOD)
    hand.turn(passed_s=1.1)
    hand.turn(passed_s=9.0)
    assert content(hand.path / "failed") == set()
    hand.turn(passed_s=1.1)
    assert content(hand.path / "failed") == {"q.xyz", "q.xyz.error.json"}


def test_the_wait_starts_when_the_last_writer_has_closed_the_file(hand: Bench) -> None:
    with (hand.path / "in" / "q.xyz").open("w") as writer:
        writer.write(GOOD)
        writer.flush()
        for _ in range(5):
            hand.turn(passed_s=60.0)
    hand.turn(passed_s=0.1)
    hand.turn(passed_s=9.0)
    assert content(hand.path / "failed") == set()
    hand.turn(passed_s=11.0)
    assert content(hand.path / "failed") == {"q.xyz", "q.xyz.error.json"}


def test_the_wait_continues_over_a_restart(spool: Path, make_bench: MakeBench) -> None:
    (spool / "in" / "q.xyz").write_text(GOOD)
    with make_bench() as first:
        first.turn()
    with make_bench(start=False) as second:
        second.time.ahead_s = 8.0
        second.service.start()
        second.turn()
        second.turn(passed_s=1.0)
        assert content(spool / "failed") == set()
        second.turn(passed_s=1.1)
        assert content(spool / "failed") == {"q.xyz", "q.xyz.error.json"}


def test_a_waiting_file_is_looked_at_again_when_its_time_is_due(hand: Bench) -> None:
    """Until then the loop sleeps from one scan to the next."""
    hand.drop("q.xyz", GOOD)
    hand.turn()
    hand.turn(passed_s=0.1)
    assert not hand.turn(passed_s=0.1)
    assert 0.5 < hand.service.nap_s(hand.time.now) <= 1.0
    hand.turn(passed_s=9.5)
    assert hand.service.nap_s(hand.time.now) == pytest.approx(0.3)


def test_other_inputs_do_not_wait_behind_files_of_unknown_suffix(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikewatch.daemon.intake.inbox.WINDOW", 8)
    monkeypatch.setattr("spikewatch.daemon.intake.inbox.MOST_UNKNOWN", 4)
    for i in range(20):
        (hand.path / "in" / f"{i}.xyz").write_text(GOOD)
    hand.turn(passed_s=1.0)
    for i in range(20):
        (hand.path / "in" / f"{i}.txt").write_text(GOOD)
    for _ in range(6):
        hand.turn(passed_s=1.0)
    assert len(content(hand.path / "done")) == 20
    hand.run()
    assert len(content(hand.path / "failed")) == 2 * 20


def test_an_interrupted_download_is_not_claimed_while_its_control_file_is_there(
    hand: Bench,
) -> None:
    inbox = hand.path / "in"
    for name in ("a.txt", "b.txt"):
        hand.drop(name, "Who wrote")
    hand.drop("a.txt.aria2", b"\x00\x01")
    (inbox / "b.txt.aria2").write_bytes(b"\x00\x01")  # found by the scan
    for _ in range(5):
        hand.turn(passed_s=60.0)
    assert hand.service.idle  # only a producer can change that
    assert content(inbox) == {"a.txt", "a.txt.aria2", "b.txt", "b.txt.aria2"}
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text(GOOD)
        (inbox / f"{name}.aria2").unlink()
    hand.turn(passed_s=1.1)
    assert [hand.out(f"{name}.jsonl")[0]["text"] + "\n" for name in ("a.txt", "b.txt")] == [
        GOOD
    ] * 2


def test_an_empty_file_beside_its_part_only_reserves_the_name(hand: Bench) -> None:
    """Firefox creates both; a finished file is answered although an old part is beside it."""
    hand.drop("q.txt", b"")
    hand.drop("q.txt.part", "Who")
    hand.drop("old.txt", GOOD)
    hand.drop("old.txt.part", "Who")
    for _ in range(5):
        hand.turn(passed_s=60.0)
    assert content(hand.path / "done") == {"old.txt"}
    (hand.path / "in" / "q.txt.part").write_text(GOOD)
    (hand.path / "in" / "q.txt.part").rename(hand.path / "in" / "q.txt")
    hand.watcher.seen |= {"q.txt", "q.txt.part"}
    hand.turn()
    assert content(hand.path / "done") == {"old.txt", "q.txt"}
    assert content(hand.path / "failed") == set()


def test_a_marker_says_that_a_file_of_unknown_suffix_is_complete(
    spool: Path, registry: Path
) -> None:
    options = ("--done-marker", "--unknown-suffix-wait-s", "3600")
    with Daemon(spool, registry, *options).ready() as daemon:
        (spool / "in" / "q.xyz").write_text(GOOD)
        (spool / "in" / "q.xyz.done").touch()
        assert daemon.wait_for("request.failed", file="q.xyz")["code"] == "unknown_suffix"
        assert daemon.stop() == 0


def test_programs_that_rename_what_they_have_written_get_one_answer(
    spool: Path, registry: Path, tmp_path: Path
) -> None:
    """At once, later, and over a restart of the daemon; in in/ and in a lane."""
    source = tmp_path / "q.txt"
    source.write_text(GOOD)
    options = (
        "--serve",
        "lane=tiny:1.0.0",
        "--log-level",
        "debug",
        "--unknown-suffix-wait-s",
        "3600",
    )
    names = [f"{i}.txt" for i in range(40)]
    with Daemon(spool, registry, *options).ready() as daemon:
        daemon.wait_for("model.swapped", lane="lane")
        for inbox in (spool / "in", spool / "in" / "lane"):
            for name in names:
                shutil.copy(source, inbox / f"{name}.xyz")
                (inbox / f"{name}.xyz").rename(inbox / name)
            shutil.copy(source, inbox / "late.txt.x-y")
            shutil.copy(source, inbox / "later.txt.123456")
        until(lambda: len(daemon.events("request.seen", file="late.txt.x-y")) == 2, "both seen")
        for inbox in (spool / "in", spool / "in" / "lane"):
            (inbox / "late.txt.x-y").rename(inbox / "late.txt")
        until(lambda: len(daemon.events("request.done")) == 2 * (len(names) + 1), "the answers")
        assert daemon.stop() == 0
    with Daemon(spool, registry, *options).ready() as daemon:
        until(lambda: len(daemon.events("request.seen", file="later.txt.123456")) == 2, "both seen")
        for inbox in (spool / "in", spool / "in" / "lane"):
            (inbox / "later.txt.123456").rename(inbox / "later.txt")
        until(lambda: len(daemon.events("request.done")) == 2, "the answers after the restart")
        assert daemon.stop() == 0
    for lane in ("", "lane"):
        done = content(spool / "done" / lane) - {"lane"}
        assert done == {*names, "late.txt", "later.txt"}
        assert (
            content(spool / "in" / lane) - {"lane"}
            == content(spool / "failed" / lane) - {"lane"}
            == set()
        )
        assert len(records(spool / "out" / lane / "late.txt.jsonl")) == 1


def test_a_shard_waits_for_names_that_another_shard_will_answer(
    spool: Path, registry: Path
) -> None:
    options = ("--log-level", "debug", "--unknown-suffix-wait-s", "3600")
    with (
        Daemon(spool, registry, "--shard", "1/2", *options, log="1.log").ready() as one,
        Daemon(spool, registry, "--shard", "2/2", *options, log="2.log").ready() as two,
    ):
        for i in range(20):
            (spool / "in" / f"{i}.xyz").write_text(GOOD)
        until(
            lambda: len(one.events("request.seen")) + len(two.events("request.seen")) == 20,
            "all seen",
        )
        for i in range(20):
            (spool / "in" / f"{i}.xyz").rename(spool / "in" / f"{i}.txt")
        until(lambda: len(content(spool / "done")) == 20, "the answers")
        assert (one.stop(), two.stop()) == (0, 0)
    assert content(spool / "in") == content(spool / "failed") == set()


def test_once_ends_after_a_file_of_unknown_suffix_has_failed(spool: Path, registry: Path) -> None:
    (spool / "in" / "q.xyz").write_text(GOOD)
    options = (
        "--once",
        "--unknown-suffix-wait-s",
        "0.2",
        "--registry",
        registry,
        "--model",
        "tiny:1.0.0",
    )
    ran = program("run", "--spool", spool, *options)
    assert ran.returncode == 0, ran.stderr
    report = json.loads((spool / "failed" / "q.xyz.error.json").read_bytes())
    assert report["code"] == "unknown_suffix"
    assert content(spool / "in") == set()
