"""Reload: which settings and models change, which need a restart, and how the outcome is reported."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from daemon_support import MODEL, Daemon, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def configure(spool: Path) -> Callable[[str], Path]:
    """Return a function that writes the configuration file."""

    def write(text: str) -> Path:
        file = spool / "test.toml"
        file.write_text(text)
        return file

    return write


def test_a_reload_changes_what_it_may_and_names_what_needs_a_restart(
    spool: Path, registry: Path, configure: Callable[[str], Path]
) -> None:
    file = configure("max_line_bytes = 2000\n")
    with Daemon(spool, registry, "--config", str(file), "--scan-s", "0.5").ready() as daemon:
        (spool / "in" / "a.txt").write_text("who " * 1000)
        assert daemon.wait_for("request.failed", file="a.txt")["code"] == "line_too_long"
        configure("max_line_bytes = 5000\nonce = true\nscan_s = 7\n")
        done = program("reload", "--spool", spool)
        pin = daemon.events("daemon.ready")[0]["model"]
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            f"process {daemon.process.pid}: changed: max_line_bytes; need a restart: once; "
            f"serves {pin}\n"
        )
        assert [e["changed"] for e in daemon.events("config.reloaded")] == [["max_line_bytes"]]
        assert [e["settings"] for e in daemon.events("config.fixed")] == [["once"]]
        (spool / "in" / "b.txt").write_text("who " * 1000)
        daemon.wait_for("request.done", file="b.txt")
        assert (spool / "reload.json").stat().st_mode & 0o777 == 0o640
        assert daemon.stop() == 0


def test_a_bad_configuration_changes_nothing_and_fails_the_command(
    spool: Path, registry: Path, configure: Callable[[str], Path]
) -> None:
    file = configure("")
    command = ("reload", "--spool", spool)
    with Daemon(spool, registry, "--config", str(file)) as daemon:
        daemon.ready()
        who = f"spikewatchd: process {daemon.process.pid}: "
        configure("scan_s = 0\n")
        done = program(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"{who}{file}: scan_s: 0.0, expected at least 0.01\n"
        assert len(daemon.events("config.failed")) == 1
        configure("")
        assert program(*command).returncode == 0
        assert daemon.stop() == 0


def test_a_reload_changes_the_model_unless_it_cannot_be_loaded(
    spool: Path, registry: Path, configure: Callable[[str], Path]
) -> None:
    where = f"registry = {json.dumps(str(registry))}\n"
    file = configure(where + f'model = "{MODEL}"\n')
    with Daemon(spool, None, "--config", str(file)).ready() as daemon:
        configure(where + 'model = "none:1.0.0"\n')
        done = program("reload", "--spool", spool)
        assert done.returncode == 2
        assert "changed: model; model none:1.0.0: " in done.stderr
        failed = daemon.wait_for("model.failed")
        assert failed["model"].startswith("tiny:1.0.0@")
        configure('model = "trec:production"\n')
        done = program("reload", "--spool", spool)
        assert done.returncode == 0, done.stderr
        assert "changed: registry, model; serves trec:" in done.stdout
        swapped = daemon.wait_for("model.swapped")
        assert swapped["to"] == daemon.events("model.loading")[-1]["to"]
        (spool / "in" / "a.txt").write_text("Who wrote Hamlet ?\n")
        assert daemon.wait_for("request.done", file="a.txt")["model"] == swapped["to"]
        assert daemon.stop() == 0


def test_a_signal_alone_reloads_and_many_at_once_do_no_harm(spool: Path, registry: Path) -> None:
    with Daemon(spool, registry).ready() as daemon:
        for _ in range(20):
            daemon.process.send_signal(signal.SIGHUP)
        assert daemon.wait_for("config.reloaded")["changed"] == []
        assert daemon.alive
        assert daemon.stop() == 0


def test_without_a_daemon_there_is_nothing_to_reload(spool: Path, tmp_path: Path) -> None:
    (spool / "lock").write_text(
        f"{os.getpid()}\n"
    )  # a daemon that has ended left its pid, which must not be signalled
    for path in (spool, tmp_path / "none"):
        done = program("reload", "--spool", path)
        expected = f"spikewatchd: spool {path}: no daemon runs on it\n"
        assert (done.returncode, done.stderr) == (2, expected)


def test_a_daemon_that_does_not_answer_in_time_is_reported(spool: Path, registry: Path) -> None:
    with Daemon(spool, registry).ready() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        done = program("reload", "--spool", spool, "--timeout", "0.1")
        daemon.process.send_signal(signal.SIGCONT)
        assert done.returncode == 2
        assert done.stderr == (
            f"spikewatchd: process {daemon.process.pid}: no answer within 0.1 s; it may still reload\n"
        )
        daemon.wait_for("config.reloaded")
