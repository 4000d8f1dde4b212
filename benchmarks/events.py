"""How soon the daemon takes up what is dropped, while it claims; and how soon it notices what no event tells of.

Latencies are the daemon's own (`latency_ms.wait`: from the rename into in/, by the file's change time, to the first
read of the claimed file).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tables import show

if TYPE_CHECKING:
    from collections.abc import Iterator

DROPS = 1500
RATES = (100, 300)
"""Files dropped each second."""

REPLACEMENTS = 8
QUESTION = "Who wrote Hamlet ?\n"


class Running:
    """A daemon on a spool, and its log."""

    def __init__(self, spool: Path, log: Path) -> None:
        self.spool = spool
        self._log = log

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self._log.read_bytes().rpartition(b"\n")[0].splitlines()
        return [e for e in map(json.loads, lines) if e["event"] == name]

    def wait(self, name: str, count: int) -> list[dict[str, Any]]:
        """Wait for so many events of a name."""
        while len(found := self.events(name)) < count:
            time.sleep(0.05)
        return found


@contextmanager
def daemon() -> Iterator[Running]:
    """Run the bundled model on a new spool."""
    with tempfile.TemporaryDirectory(prefix="spikewatch-") as folder:
        spool, log = Path(folder, "spool"), Path(folder, "log")
        command = [
            sys.executable,
            "-m",
            "spikewatch.daemon.cli",
            "run",
            "--spool",
            str(spool),
            "--log-format",
            "json",
        ]
        with log.open("wb") as out, subprocess.Popen(command, stdout=out) as process:
            try:
                running = Running(spool, log)
                running.wait("daemon.ready", 1)
                yield running
            finally:
                process.terminate()


def waits(rate: int) -> list[float]:
    """Drop files at a rate; give the sorted times from drop to first read in milliseconds."""
    with daemon() as running:
        hidden = running.spool / "tmp" / "put-benchmark"
        begin = time.monotonic()
        for i in range(DROPS):
            time.sleep(max(begin + i / rate - time.monotonic(), 0))
            hidden.write_text(QUESTION)
            hidden.rename(running.spool / "in" / f"{i}.txt")
        done = running.wait("request.done", DROPS)
    return sorted(e["latency_ms"]["wait"] for e in done)


def noticed() -> list[float]:
    """Replace in/ again and again; give the sorted times until the daemon says so, in seconds."""
    found = []
    with daemon() as running:
        for i in range(REPLACEMENTS):
            time.sleep(0.3 + 0.1 * i)  # at another moment between two scans each time
            (running.spool / "in").rename(running.spool / f"old-{i}")
            (running.spool / "in").mkdir()
            at = time.time()
            event = running.wait("watch.restarted", i + 1)[-1]
            found.append(datetime.fromisoformat(event["timestamp"]).timestamp() - at)
    return sorted(found)


def main() -> None:
    """Print the table."""
    rows = []
    for rate in RATES:
        found = waits(rate)
        p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
        what = f"{DROPS:,} files at {rate}/s: drop to first read"
        rows.append([what, f"{p50:.1f} ms", f"{p99:.1f} ms", f"{found[-1]:.1f} ms"])
    found = noticed()
    what = f"in/ replaced {REPLACEMENTS} times: until it is noticed"
    rows.append([what, f"{found[len(found) // 2]:.2f} s", "-", f"{found[-1]:.2f} s"])
    show("File events while the daemon claims", ["what", "p50", "p99", "most"], rows)
