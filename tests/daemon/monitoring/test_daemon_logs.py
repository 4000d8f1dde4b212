"""The log: it is written as documented, and a broken destination does no harm."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from daemon_support import MODEL, SCHEMA, VALIDATOR, Daemon, content, program

from spikewatch.daemon.errors import SettingsError
from spikewatch.daemon.log import events, logger
from spikewatch.daemon.log.sinks import RotatedFile, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon_support import Bench

DOCUMENT = Path(__file__).parents[3] / "docs" / "logs.md"
NAMES = [
    value
    for name, value in vars(events).items()
    if name.isupper() and isinstance(value, str) and "." in value
]


def documented() -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", DOCUMENT.read_text()))


def paths(event: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the fields of an event, nested ones with a dot."""
    for key, value in event.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        else:
            yield prefix + key


@pytest.mark.parametrize("name", NAMES)
def test_every_event_is_documented(name: str) -> None:
    assert {name, f"## {name}"} & (documented() | set(DOCUMENT.read_text().splitlines()))


def test_every_field_is_documented_and_every_line_has_the_common_ones(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        hand.drop("a.txt", "Who wrote Hamlet ?")
        hand.run()
    hand.drop("b.txt", b"\xff")
    (hand.path / "in" / "folder").mkdir()
    hand.watcher.lost = True
    hand.turn(passed_s=2.0)
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result([4096, 4096, *[1] * 6, 0, 255]))
    hand.turn(passed_s=2.0)
    found = hand.events()
    assert {e["event"] for e in found} == {
        "request.done",
        "request.duplicate",
        "request.failed",
        "request.ignored",
        "watch.overflow",
        "disk.low",
    }
    known = documented()
    for event in found:
        assert not set(paths(event)) - known, event
        assert list(event)[:5] == ["timestamp", "level", "event", "schema", "run_id"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp"])
        assert event["schema"] == 1


def test_a_sink_that_fails_loses_lines_and_raises_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    sink = Stream(write)
    sink.msg("one")
    os.close(write)
    sink.msg("two")
    assert sink.lost == 2


def test_lines_of_several_threads_are_all_written_whole(tmp_path: Path) -> None:
    path, full = tmp_path / "log", tmp_path / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    sinks = [Stream(fd), RotatedFile(full, max_bytes=5_000_000, keep=4)]
    lines = [str(i) * 9_000 for i in range(8)]

    def write(line: str) -> None:
        for _ in range(200):
            for sink in sinks:
                sink.msg(line)

    with ThreadPoolExecutor(len(lines)) as pool:
        assert list(pool.map(write, lines)) == [None] * len(lines)
    os.close(fd)
    expected = dict.fromkeys(lines, 200)
    assert Counter(path.read_text().splitlines()) == expected
    rotated = sorted(tmp_path.glob("file*"))
    assert len(rotated) == 3, "14.4 MB in files of at most 5 MB"
    assert Counter("".join(file.read_text() for file in rotated).splitlines()) == expected
    assert [sink.lost for sink in sinks] == [0, 0]


def test_a_reader_that_sleeps_delays_nothing_and_the_loss_is_told_when_it_wakes() -> None:
    read, write = os.pipe()
    sink = Stream(write, patience_s=0.0)
    written = 0
    while not sink.lost:
        sink.msg("x" * 1000)
        written += 1
    os.close(write)
    with open(read, "rb") as reader:  # noqa: PTH123 - a descriptor
        assert len(reader.read().splitlines()) == written - 1


def test_lost_lines_are_counted_on_the_next_one(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    log = logger.logger("json", fd=write)
    log.info("daemon.ready")
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), write)
    log.info("daemon.stop")
    os.close(write)
    assert json.loads((tmp_path / "log").read_bytes())["log_lines_lost"] == 1


def test_a_full_disk_under_the_log_raises_nothing_and_is_counted(tmp_path: Path) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    log = logger.logger("json", fd=fd)
    log.info("daemon.ready")
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), fd)
    log.info("daemon.stop")
    os.close(fd)
    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert json.loads(line)["event"] == "daemon.stop"
    assert json.loads(line)["log_lines_lost"] == 1


def test_lines_are_json_whatever_they_hold(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = logger.logger("json", fd=fd, run_id="x")
    log.info("daemon.ready", odd="\udcff\n\u2028", path=tmp_path)
    log.debug("not.written")
    os.close(fd)
    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert json.loads(line)["odd"] == "\udcff\n\u2028"


def test_every_event_is_in_the_schema_and_nothing_else_is() -> None:
    events_of_schema = {ref["$ref"].rpartition("/")[2] for ref in SCHEMA["oneOf"]}
    assert events_of_schema == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_and_the_page_name_the_same_fields(name: str) -> None:
    def fields(properties: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, stated in properties.items():
            about = SCHEMA["$defs"].get(stated.get("$ref", "").rpartition("/")[2], stated)
            if about.get("type") == "object":
                yield from fields(about["properties"], f"{prefix}{key}.")
            else:
                yield prefix + key

    mentioned = set(fields(SCHEMA["$defs"][name]["properties"]))
    assert mentioned <= documented()


def test_the_schema_is_one_and_refuses_what_is_no_event() -> None:
    assert jsonschema_rs.meta.is_valid(SCHEMA)
    good = {
        "timestamp": "2026-01-01T00:00:00.000000Z", "level": "info", "event": "daemon.stop",
        "schema": 1, "run_id": "x", "reason": "once", "left": 0,
    }  # fmt: skip
    assert VALIDATOR.is_valid(good)
    for change in (
        {"event": "daemon.end"},
        {"level": "debug"},
        {"timestamp": "now"},
        {"left": -1},
        {"reason": None},
        {"more": 1},
    ):
        assert not VALIDATOR.is_valid(good | change), change
    for field in good:
        assert not VALIDATOR.is_valid({k: v for k, v in good.items() if k != field}), field


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_decides_what_is_written(tmp_path: Path, level: str, written: list[str]) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = logger.logger("json", fd=fd, level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("x")
    os.close(fd)
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert [json.loads(line)["level"] for line in lines] == written


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError) as error:
        logger.logger("json", level="loud")
    assert str(error.value) == ("log level 'loud': expected one of debug, info, warning, error")


def test_debug_tells_of_every_file_that_was_seen_and_claimed(spool: Path, registry: Path) -> None:
    (spool / "in" / "scanned.txt").write_text("Who wrote Hamlet ?")
    with Daemon(spool, registry, "--log-level", "debug", "--once") as daemon:
        assert daemon.end() == (0, "")
        told = [
            (e["event"], e.get("by") or e["size_bytes"])
            for e in daemon.events()
            if e["level"] == "debug"
        ]
    assert told == [("request.seen", "scan"), ("request.claimed", 18)]


def test_in_the_journal_every_line_has_its_priority_in_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    facts = os.fstat(fd)
    monkeypatch.setenv("JOURNAL_STREAM", f"{facts.st_dev}:{facts.st_ino}")
    log = logger.logger("json", fd=fd, level="debug")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("x")
    monkeypatch.setenv("JOURNAL_STREAM", f"{facts.st_dev}:{facts.st_ino + 1}")
    logger.logger("json", fd=fd).info("x")
    os.close(fd)
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line[:4] for line in lines] == ["<7>{", "<6>{", "<4>{", "<3>{", '{"ti']
    assert json.loads(lines[0][3:])["level"] == "debug"


def test_the_file_gets_the_same_lines_and_json_beside_a_console(tmp_path: Path) -> None:
    for form in ("json", "console"):
        fd = os.open(tmp_path / form, os.O_WRONLY | os.O_CREAT)
        file = RotatedFile(tmp_path / f"{form}.log", max_bytes=1 << 20, keep=1)
        log = logger.logger("json" if form == "json" else "console", fd=fd, file=file)
        log.info("daemon.ready", cores=1)
        os.close(fd)
        file.close()
    assert (tmp_path / "json").read_bytes() == (tmp_path / "json.log").read_bytes()
    assert json.loads((tmp_path / "console.log").read_bytes())["cores"] == 1
    assert not (tmp_path / "console").read_bytes().startswith(b"{")


def test_a_full_file_is_put_aside_and_only_so_many_are_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("from before\n")
    file = RotatedFile(tmp_path / "log", max_bytes=24, keep=2)
    for i in range(8):
        file.msg(f"line number {i}")
    file.close()
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {
        "log": "line number 7\n",
        "log.1": "line number 6\n",
        "log.2": "line number 5\n",
    }
    alone = RotatedFile(tmp_path / "log", max_bytes=24, keep=0)
    alone.msg("line number 8")
    alone.close()
    assert (tmp_path / "log").read_text() == "line number 8\n"
    assert file.lost == alone.lost == 0


def test_a_full_file_that_was_taken_away_or_cannot_be_made_anew_costs_no_more_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RotatedFile(tmp_path / "log", max_bytes=24, keep=3)
    for i in range(4):
        file.msg(f"line number {i}")
    (tmp_path / "log").unlink()
    file.msg("line number 4")
    with monkeypatch.context() as broken:
        broken.setattr(os, "open", _no_descriptors)
        for i in range(5, 9):
            file.msg(f"line number {i}")
    file.msg("line number 9")
    file.close()
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {f"log{k}": f"line number {i}\n" for k, i in
                    {"": 9, ".1": 4, ".2": 2, ".3": 1}.items()}  # fmt: skip
    assert file.lost == 4


def test_a_pipe_instead_of_a_file_is_not_put_aside(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    file = RotatedFile(tmp_path / "log", max_bytes=24, keep=2)
    for i in range(4):
        file.msg(f"line number {i}")
    file.close()
    assert os.read(reader, 1000).count(b"\n") == 4
    os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def _no_descriptors(*_: object, **__: object) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_file_that_cannot_be_written_loses_lines_and_says_so_on_the_other_way(
    tmp_path: Path,
) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    full = RotatedFile(Path("/dev/full"), max_bytes=1 << 20, keep=1)
    log = logger.logger("json", fd=fd, file=full)
    for _ in range(3):
        log.info("daemon.ready")
    os.close(fd)
    full.close()
    full.msg("after its end")
    told = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert [e.get("log_lines_lost") for e in told] == [None, 1, 2]
    assert full.lost == 4


def test_a_half_written_line_is_taken_back(tmp_path: Path) -> None:
    """The file system becomes full in the middle of a line (simulated by a limit on the file's size)."""
    path = tmp_path / "log"
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from spikewatch.daemon.log.sinks import RotatedFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))\n"
        "file = RotatedFile(Path(sys.argv[1]), max_bytes=1 << 20, keep=1)\n"
        "for i in range(4): file.msg(f'line number {i}')\n"
        "assert file.lost == 2, file.lost\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert path.read_text() == "line number 0\nline number 1\n"


def test_a_log_file_that_cannot_be_opened_is_one_line_and_exit_code_2(
    spool: Path, tmp_path: Path
) -> None:
    done = program("run", "--once", "--spool", spool, "--log-file", tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        f"spikewatchd: log file {tmp_path}: Is a directory\n",
    )


def test_a_daemon_whose_logs_are_all_broken_answers_everything(spool: Path, registry: Path) -> None:
    """Standard output is a pipe whose reader sleeps, and the file is on a full disk."""
    for i in range(50):
        (spool / "in" / f"{i}.txt").write_text("Who wrote Hamlet ?")
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "run", "--once"]
    command += ["--spool", str(spool), "--registry", str(registry), "--model", MODEL]
    command += ["--log-file", "/dev/full", "--log-format", "json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123 - a descriptor
        assert pipe.read(1) == b"{"
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(content(spool / "done")) == 50
    assert json.loads((spool / "status.json").read_text())["log_lines_lost"] > 50


def test_closed_standard_streams_are_given_to_nothing_else(
    spool: Path, registry: Path, tmp_path: Path
) -> None:
    (spool / "in" / "a.txt").write_text("Who wrote Hamlet ?")
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"]
    command = [*closed, sys.executable, "-m", "spikewatch.daemon.cli", "run", "--once"]
    command += ["--spool", str(spool), "--registry", str(registry), "--model", MODEL]
    command += ["--log-file", str(tmp_path / "log")]
    assert subprocess.run(command, check=False).returncode == 0
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events == ["daemon.start", "daemon.ready", "request.done", "daemon.stop"]
    assert subprocess.run([*command, "--scan-s", "0"], check=False).returncode == 2
