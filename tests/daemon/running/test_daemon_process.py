"""The program as users run it: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_support import MODEL, Daemon, bench, content, program, records, until

from spikewatch.registry import bundled

GOOD = "Who wrote Hamlet ?\n"


def drop(spool: Path, name: str, data: bytes | str) -> None:
    hidden = spool / "tmp" / "put-test"
    hidden.write_bytes(data.encode() if isinstance(data, str) else data)
    hidden.rename(spool / "in" / name)


def run_once(spool: Path, registry: Path, *options: str) -> subprocess.CompletedProcess[str]:
    where = ("--spool", spool, "--registry", registry, "--model", MODEL)
    return program("run", "--once", *where, *options)


def test_files_are_answered_as_they_arrive_however_they_arrive(
    spool: Path, registry: Path, tmp_path: Path
) -> None:
    (spool / "in" / "before.txt").write_text(GOOD)
    with Daemon(spool, registry).ready() as daemon:
        drop(spool, "renamed.txt", GOOD)
        (spool / "in" / "written.txt").write_text(GOOD)
        (tmp_path / "linked.txt").write_text(GOOD)
        os.link(tmp_path / "linked.txt", spool / "in" / "linked.txt")
        put = program("put", "--spool", spool, tmp_path / "linked.txt")
        for name in ("before.txt", "renamed.txt", "written.txt", "linked.txt"):
            daemon.wait_for("request.done", file=name)
            assert len(records(spool / "out" / f"{name}.jsonl")) == 1
        assert put.returncode in {0, 2}  # the linked file may or may not have been claimed yet
        assert daemon.stop() == 0
        assert [e["reason"] for e in daemon.events("daemon.stop")] == ["SIGTERM"]


def test_bad_input_never_stops_the_daemon_and_loses_nothing(spool: Path, registry: Path) -> None:
    inbox = spool / "in"
    with Daemon(spool, registry).ready() as daemon:
        (inbox / "empty.txt").touch()
        drop(spool, "latin.txt", b"caf\xe9\n")
        drop(spool, "huge.txt", b"")
        with (inbox / "line.part").open("wb") as sparse:
            sparse.truncate(1 << 30)  # a sparse file: one line of 1 GiB that uses no disk space
        (inbox / "line.part").rename(inbox / "line.txt")
        lines = [json.dumps({"text": "who"})] * 20
        lines[6] = "{"
        drop(spool, "broken.jsonl", "\n".join(lines))
        (inbox / "link.txt").symlink_to("/etc/passwd")
        os.mkfifo(inbox / "fifo.txt")
        drop(spool, "two\nlines.txt", GOOD)
        drop(spool, os.fsdecode(b"caf\xe9.txt"), GOOD)
        codes = {
            name: daemon.wait_for("request.failed", file=name)["code"]
            for name in ("empty.txt", "latin.txt", "huge.txt", "line.txt", "link.txt", "fifo.txt")
        }
        assert codes == {
            "empty.txt": "empty",
            "latin.txt": "bad_utf8",
            "huge.txt": "empty",
            "line.txt": "line_too_long",
            "link.txt": "not_regular",
            "fifo.txt": "not_regular",
        }
        for name in ("broken.jsonl", "two%0Alines.txt", "caf%E9.txt"):
            daemon.wait_for("request.done", file=name)
        statuses = [r["status"] for r in records(spool / "out" / "broken.jsonl.jsonl")]
        assert statuses == ["ok"] * 6 + ["error"] + ["ok"] * 13
        drop(spool, "after.txt", GOOD)
        daemon.wait_for("request.done", file="after.txt")
        assert content(inbox) == content(spool / "work") == set()
        assert (spool / "failed" / "line.txt").stat().st_size == 1 << 30
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0])
        assert peak < 300_000, f"{peak} kB resident"
        assert daemon.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_work_in_hand(
    spool: Path, registry: Path, number: signal.Signals
) -> None:
    with Daemon(spool, registry).ready() as daemon:
        drop(spool, "large.txt", GOOD * 20_000)
        until(lambda: content(spool / "work") or content(spool / "done"), "the claim")
        assert daemon.stop(number) == 0
        assert len(daemon.events("request.done", file="large.txt")) == 1
    assert len(records(spool / "out" / "large.txt.jsonl")) == 20_000
    assert content(spool / "in") == content(spool / "work") == content(spool / "tmp") == set()


def test_what_takes_longer_than_the_grace_waits_for_the_next_start(
    spool: Path, registry: Path
) -> None:
    drop(spool, "large.txt", GOOD * 300_000)
    with Daemon(spool, registry, "--stop-grace-s", "0").ready() as daemon:
        until(lambda: content(spool / "work"), "the claim")
        assert daemon.stop() == 0
        assert [e["left"] for e in daemon.events("daemon.stop")] == [1]
        assert not daemon.events("request.done")
    assert content(spool / "work") == {"large.txt"}
    assert content(spool / "tmp") == content(spool / "out") == set()


def test_what_is_tried_alone_waits_for_the_next_start_as_well(spool: Path, registry: Path) -> None:
    """An interrupted trial does not count against its input."""
    (spool / "work" / "a.txt").write_text(GOOD)
    with bench(spool, registry) as hand:
        hand.time.over = True
        hand.turn()
        assert "a.txt" in content(spool / "work")
        assert hand.classifier.calls == []
        hand.time.over = False
        hand.run()
        (done,) = hand.events("request.done")
    assert done["attempt"] == 2, "the claim that was found counts, the one broken off does not"


def test_once_answers_what_is_there_and_ends(spool: Path, registry: Path) -> None:
    for i in range(200):
        (spool / "in" / f"{i}.txt").write_text(GOOD)
    (spool / "in" / "empty.txt").touch()
    with Daemon(spool, registry, "--once") as daemon:
        assert daemon.end() == (0, "")
        assert len(daemon.events("request.done")) == 200
        assert [e["reason"] for e in daemon.events("daemon.stop")] == ["once"]
    assert content(spool / "in") == content(spool / "work") == set()
    assert content(spool / "failed") == {"empty.txt", "empty.txt.error.json"}


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(spool: Path, registry: Path) -> None:
    with Daemon(spool, registry).ready() as first:
        with Daemon(spool, registry) as second:
            code, error = second.end()
        assert code == 2
        assert error == f"spikewatchd: spool {spool}: in use by process {first.process.pid}\n"
        status = program("status", "--spool", spool, "--json")
        assert json.loads(status.stdout)["holder_pid"] == first.process.pid
        assert first.alive
    with Daemon(spool, registry).ready() as third:  # the first was killed, which released its lock
        assert third.stop() == 0


def test_a_log_that_nobody_reads_stops_nothing(spool: Path, registry: Path) -> None:
    (spool / "in" / "a.txt").write_text(GOOD)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "run", "--once"]
    command += ["--spool", str(spool), "--registry", str(registry), "--model", MODEL]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert content(spool / "done") == {"a.txt"}


def test_put_drops_whole_files_and_refuses_what_would_be_lost(spool: Path, tmp_path: Path) -> None:
    good, hidden, odd = tmp_path / "a.txt", tmp_path / ".b.txt", tmp_path / "c.pdf"
    for path in (good, hidden, odd):
        path.write_text(GOOD)
    done = program("put", "--spool", spool, good)
    assert (done.returncode, done.stdout) == (0, "a.txt\n")
    assert (spool / "in" / "a.txt").read_text() == GOOD
    again = program("put", "--spool", spool, good)
    assert (again.returncode, again.stdout) == (2, "")
    assert (
        again.stderr
        == f"spikewatchd: {good}: a.txt is already waiting in {spool / 'in'}; rename the file\n"
    )
    for path in (hidden, odd):
        refused = program("put", "--spool", spool, path)
        assert refused.returncode == 2
        assert "the name must end in .txt, .jsonl, .ndjson" in refused.stderr
    missing = program("put", "--spool", spool, tmp_path / "none.txt")
    assert missing.stderr == f"spikewatchd: {tmp_path / 'none.txt'}: No such file or directory\n"
    assert content(spool / "tmp") == set()


def test_status_counts_what_is_in_the_folders(spool: Path, registry: Path) -> None:
    (spool / "in" / "a.txt").write_text(GOOD)
    (spool / "in" / "b.txt").write_bytes(b"\xff")
    assert run_once(spool, registry).returncode == 0
    (spool / "in" / "c.txt").write_text(GOOD)
    status = json.loads(program("status", "--spool", spool, "--json").stdout)
    counts = {name: folder["files"] for name, folder in status["folders"].items()}
    assert counts == {"in": 1, "work": 0, "tmp": 0, "out": 1, "done": 1, "failed": 1}
    assert status["holder_pid"] is None
    assert status["folders"]["in"]["oldest_age_s"] >= 0
    assert status["folders"]["work"]["oldest_age_s"] is None
    shown = program("status", "--spool", spool).stdout
    assert "no daemon" in shown


def test_status_of_what_is_no_spool_says_so(tmp_path: Path) -> None:
    done = program("status", "--spool", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"spikewatchd: {tmp_path} is not a spool: in/ is missing\n"


def test_check_tries_everything(spool: Path, registry: Path) -> None:
    done = program("check", "--spool", spool, "--registry", registry, "--model", MODEL)
    assert done.returncode == 0
    findings = [line for line in done.stdout.splitlines() if not line.endswith(")")]
    assert [line.split(":")[0] for line in findings] == [
        f"ok   {what}" for what in ("folders", "links", "leases", "lock", "disk", "model")
    ]
    assert f'spool = "{spool}"  (flag)' in done.stdout
    bad = program("check", "--spool", spool, "--registry", registry, "--model", "none:1.0.0")
    assert bad.returncode == 1
    assert "FAIL model: model none:1.0.0: " in bad.stdout
    open_to_all = program("check", "--spool", spool, "--http", "0.0.0.0:9464")
    assert open_to_all.returncode == 1
    assert "FAIL http: http '0.0.0.0:9464': other machines could reach it" in open_to_all.stdout
    full = program("check", "--spool", spool, "--registry", registry, "--model", MODEL,
                   "--min-free-bytes", 1 << 50, "--json")  # fmt: skip
    assert full.returncode == 1
    found = {finding["what"]: finding["ok"] for finding in json.loads(full.stdout)["findings"]}
    assert {what for what, ok in found.items() if not ok} == {"disk"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", "none:1.0.0"], "model none:1.0.0: "),
        (["--model", "no reference"], "model no reference: "),
        (["--log-format", "xml"], "log_format: 'xml', expected one of json, console, auto"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(
    spool: Path, registry: Path, options: list[str], text: str
) -> None:
    done = program("run", "--spool", spool, "--registry", registry, "--once", *options)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_console_format_is_for_eyes(spool: Path, registry: Path) -> None:
    done = run_once(spool, registry, "--log-format", "console")
    assert done.returncode == 0
    assert "daemon.ready" in done.stdout
    assert not done.stdout.startswith("{")


def test_the_program_needs_neither_torch_nor_onnx(spool: Path, registry: Path) -> None:
    script = (
        "import sys\n"
        "import spikewatch.daemon.cli as cli\n"
        "light = {'numpy', 'structlog', 'watchdog'} & set(sys.modules)\n"
        "assert not light, light\n"
        "spool, registry, model = sys.argv[1:]\n"
        "sys.argv[1:] = ['run', '--once', '--spool', spool, '--registry', registry, '--model', model]\n"
        "try: cli.main()\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'spikewatch.convert'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", script, str(spool), str(registry), MODEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not bundled().is_dir(), reason="no bundled model yet")
def test_the_bundled_model_answers_without_options(spool: Path) -> None:
    (spool / "in" / "a.txt").write_text(GOOD)
    with Daemon(spool, None, "--once") as daemon:
        assert daemon.end() == (0, "")
        (done,) = daemon.events("request.done")
    assert done["model"].startswith("trec:")
    assert records(spool / "out" / "a.txt.jsonl")[0]["label"] == "HUM"
