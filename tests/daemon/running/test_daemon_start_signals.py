"""Signals that come before a daemon has its handlers, and after it has given them back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from daemon_support import MODEL

if TYPE_CHECKING:
    from pathlib import Path

SEND = """
import atexit, os, signal, sys
moment, numbers = sys.argv.pop(1), [signal.Signals[name] for name in sys.argv.pop(1).split(",")]

def send():
    for number in numbers:
        os.kill(os.getpid(), number)

class AtImport:
    def find_spec(self, name, *_):
        if name == "spikewatch.daemon.running.serve":
            sys.meta_path.remove(self)
            send()

if moment == "start":
    sys.meta_path.insert(0, AtImport())
else:
    atexit.register(send)

from spikewatch.daemon.cli import main
main()
"""
"""Runs `spikewatchd`, which gets signals while it imports the daemon, or when Python itself ends."""


def run(moment: str, names: str, spool: Path, registry: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SEND, moment, names, "run", "--once", "--spool", str(spool)]
    command += ["--registry", str(registry), "--model", MODEL, "--log-format", "json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("names", ["SIGTERM", "SIGINT", "SIGHUP,SIGTERM", "SIGTERM,SIGTERM"])
@pytest.mark.parametrize("moment", ["start", "end"])
def test_a_stop_before_the_handlers_or_after_them_is_a_stop(
    spool: Path, registry: Path, moment: str, names: str
) -> None:
    done = run(moment, names, spool, registry)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reload_during_the_start_is_done_after_it(spool: Path, registry: Path) -> None:
    done = run("start", "SIGHUP", spool, registry)
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert "config.reloaded" in events
    assert events[-1] == "daemon.stop"


def test_a_reload_at_the_end_ends_nothing(spool: Path, registry: Path) -> None:
    done = run("end", "SIGHUP", spool, registry)
    assert (done.returncode, done.stderr) == (0, "")
