"""The output of `status` for real spools, at the widths of real terminals."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MODEL, Daemon, program, until
from rich.console import Console

from spikewatch.daemon.errors import DaemonError
from spikewatch.daemon.monitoring.spool_counts import changed_s, files
from spikewatch.daemon.monitoring.state_files import STATUS_SCHEMA
from spikewatch.daemon.monitoring.status import Status, status
from spikewatch.daemon.monitoring.status_view import SILENT_S, History, view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_800_000_000.0
WRITTEN = "2027-01-15T08:00:00.000Z"
PIN = "trec:2.0.0@sha256:" + "0123456789abcdef" * 4


def document(**changes: Any) -> dict[str, Any]:
    """Return a status document with large figures everywhere."""
    return {
        "written": WRITTEN,
        "state": "degraded",
        "problems": ["watch: no_events: none came"],
        "pid": 4_194_304,
        "started": "2027-01-01T07:30:00.000000Z",
        "http": "127.0.0.1:9464",
        "models": {"": PIN, "fine": PIN},
        "cores": 2,
        "inbox": {"files": 123_456, "oldest": "2027-01-15T07:58:30.000Z"},
        "work": {"files": 512},
        "disk": {"free_bytes": 51_333_492_736, "free_inodes": 15_559_659},
        "last_success": "2027-01-15T07:59:57.000Z",
        "recent": {
            "window_s": 60,
            "files_per_s": 3012.345,
            "questions_per_s": 48_211.0,
            "latency_ms": {"p50": 22.377, "p90": 132.352, "p99": 1032.352},
        },
        "files": {"done": 1_234_567, "failed": 5, "duplicate": 17},
        "questions": {"ok": 20_000_000, "failed": 13},
        "failures": {"bad_utf8": 5},
        "spikes": {"input": 193_400, "hidden": 212_980, "output": 33_037},
        "synaptic_events": 39_935_542,
        "power_uw": {"paper": 17.089844, "static_marginal": 25.199805},
        "energy_uj": {"paper": 159_704.589, "static_marginal": 238_728.607},
        "watch": {"overflows": 0, "restarts": 1, "missed": 2},
        "log_lines_lost": 0,
        "errors": [
            {
                "timestamp": "2027-01-15T07:59:00.000000Z",
                "level": "warning",
                "event": "request.failed",
                "file": "a-rather-long-name-of-an-input-2027-01-15.txt",
                "code": "bad_utf8",
                "message": "line 2: byte 0xef at 2 is not UTF-8",
            }
        ],
    } | changes


def shown(width: int, history: History | None = None, **changes: Any) -> str:
    """Return a document as a terminal of this width shows it."""
    out = io.StringIO()
    found = Status(
        spool="/spool", holder_pid=1, folders={}, lanes={}, shards={}, daemon=document(**changes)
    )
    Console(width=width, file=out).print(view(found, now_s=NOW, history=history))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_every_figure_is_shown_whole_at_usual_widths(width: int) -> None:
    text = shown(width)
    assert all(len(line) <= width for line in text.splitlines())
    for figure in (
        "● degraded", "/spool", "process 4194304, up 14 d 0 h", "in/ ", "in/fine",
        "trec:2.0.0 (0123456789ab)", "watch: no_events: none came", "123,456", "1 min 30 s", "512",
        "1,234,567", "20,000,000", "3.01 k/s", "48.2 k/s", "22.4 ms", "132 ms", "1.03 s", "3 s ago",
        "193 k", "213 k", "33 k", "39.9 M", "17.1 uW / 25.2 uW", "160 mJ / 239 mJ", "51.3 GB", "15.6 M",
        "127.0.0.1:9464", "request.failed", "bad_utf8",
    ):  # fmt: skip
        assert figure in text, figure
    boxes = text.partition("Last warnings")[0]
    assert "…" not in boxes, "only messages of errors may be cut"


def test_a_young_daemon_without_figures_is_shown_as_well() -> None:
    nothing = {
        "state": "starting", "problems": [], "models": {}, "cores": None, "errors": [], "http": None,
        "inbox": {"files": None, "oldest": None}, "work": {"files": None},
        "disk": {"free_bytes": None, "free_inodes": None}, "last_success": None, "spikes": {},
        "power_uw": {}, "energy_uj": {}, "synaptic_events": 0, "started": None,
        "recent": {"window_s": 60, "files_per_s": 0.0, "questions_per_s": 0.0,
                   "latency_ms": {"p50": None, "p90": None, "p99": None}},
    }  # fmt: skip
    text = shown(80, **nothing)
    assert "● starting" in text
    assert "not served" in text
    assert "Problems" not in text


def test_a_daemon_that_has_gone_silent_is_told_of() -> None:
    found = Status(
        spool="/spool", holder_pid=1, folders={}, lanes={}, shards={}, daemon=document(problems=[])
    )
    out = io.StringIO()
    Console(width=80, file=out).print(view(found, now_s=NOW + SILENT_S + 1))
    assert "the daemon has not written its status for 16 s" in out.getvalue()


def test_the_rate_is_drawn_second_by_second_and_begins_anew_with_the_daemon() -> None:
    history = History()
    assert history.bars() == ""
    for second, done in enumerate((0, 80, 80, 120, 20, 40)):
        history.add(document(files={"done": done}), NOW + second)
    assert history.bars() == "█ ▄ ▂"
    assert "█ ▄ ▂" in shown(80, history)


def test_what_a_daemon_left_behind_is_not_taken_for_one_that_runs(
    spool: Path, registry: Path
) -> None:
    with Daemon(spool, registry).ready() as daemon:
        until(lambda: status(spool, now_s=NOW).daemon, "the daemon's word")
        told = json.loads(program("status", "--spool", spool, "--json").stdout)
        assert told["daemon"]["pid"] == told["holder_pid"] == daemon.process.pid
        text = program("status", "--spool", spool).stdout
        assert f"daemon: process {daemon.process.pid}" in text
        assert MODEL in text
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        assert (spool / "status.json").exists()
        assert status(spool, now_s=NOW).daemon is None
        assert "no daemon" in program("status", "--spool", spool).stdout


def test_a_status_of_another_schema_is_not_drawn(spool: Path) -> None:
    (spool / "lock").write_text(f"{os.getpid()}\n")
    said = document(pid=os.getpid(), schema=STATUS_SCHEMA)
    with (spool / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (spool / "status.json").write_text(json.dumps(said))
        assert status(spool, now_s=NOW).daemon == said
        (spool / "status.json").write_text(json.dumps(said | {"schema": STATUS_SCHEMA + 1}))
        found = status(spool, now_s=NOW)
    assert (found.holder_pid, found.daemon) == (os.getpid(), None)


def test_a_file_that_is_claimed_during_the_count_hides_no_other(spool: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (spool / "in" / name).touch()
    entries = list(files(spool / "in"))
    (spool / "in" / "a.txt").unlink()
    counted = {entry.name: changed_s(entry) is not None for entry in entries}
    assert counted == {"a.txt": False, "b.txt": True, "c.txt": True}


def test_a_spool_that_may_not_be_entered_is_one_line(spool: Path) -> None:
    locked = spool / "locked"
    locked.mkdir(mode=0)
    if os.access(locked, os.R_OK):
        pytest.skip("root may enter everything")
    with pytest.raises(DaemonError) as refused:
        status(locked / "spool", now_s=NOW)
    assert str(refused.value) == f"{locked / 'spool'}: Permission denied"


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"pid": 1}'])
def test_a_damaged_status_file_is_as_good_as_none(spool: Path, text: str) -> None:
    (spool / "status.json").write_text(text)
    assert status(spool, now_s=NOW).daemon is None


def test_watch_needs_a_terminal(spool: Path) -> None:
    done = program("status", "--spool", spool, "--watch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "spikewatchd: status --watch: standard output is not a terminal; omit --watch\n"
    )


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Restore SIGINT for children, since a shell ignores it for tests that run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_watch_keeps_the_screen_current_until_it_is_interrupted(spool: Path) -> None:
    """On a real pseudo-terminal, the next refresh shows a file that has arrived."""
    main, side = pty.openpty()
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "status", "--watch"]
    with subprocess.Popen(
        [*command, "--spool", str(spool)],
        stdout=side,
        stderr=side,
        env={**os.environ, "TERM": "xterm"},
    ) as watching:
        os.close(side)
        screen = _Screen(main)
        try:
            until(lambda: "0 in in/" in screen.read(), "the first look")
            (spool / "in" / "a.txt").touch()
            until(lambda: "1 in in/" in screen.read(), "the next look")
            watching.send_signal(signal.SIGINT)
            assert watching.wait(timeout=10) == 0
        finally:
            watching.kill()
    os.close(main)
    assert "Traceback" not in screen.text


class _Screen:
    """Return what was written to a pseudo-terminal, without control sequences and line breaks."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._raw = b""

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]", "", self._raw.decode(errors="replace"))

    def read(self) -> str:
        while select.select([self._fd], [], [], 0)[0]:
            self._raw += os.read(self._fd, 65536)
        return self.text
