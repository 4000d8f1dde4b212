"""Measure how soon the daemon picks up a dropped file under load, and how soon it notices a replaced `in/`.

Latencies are the daemon's own (`latency_ms.wait`: from the rename into in/, by the file's change time, to the first
read of the claimed file).
"""

from __future__ import annotations

import time
from datetime import datetime

from benchmarks.daemon import Daemon, Spool
from benchmarks.tables import print_table

DROPS = 1500
RATES = (100, 300)
"""Files dropped per second."""

REPLACEMENTS = 8
QUESTION = "Who wrote Hamlet ?\n"


def waits_ms(rate: int) -> list[float]:
    """Drop files at a rate (per second); return the sorted times from drop to first read, in milliseconds."""
    spool = Spool().path
    with Daemon(spool) as daemon:
        draft = spool / "tmp" / "put-benchmark"
        begin = time.monotonic()
        for i in range(DROPS):
            time.sleep(max(begin + i / rate - time.monotonic(), 0))
            draft.write_text(QUESTION)
            draft.rename(spool / "in" / f"{i}.txt")
        daemon.wait_for(DROPS)
        return sorted(e["latency_ms"]["wait"] for e in daemon.events("request.done"))


def detections_s() -> list[float]:
    """Replace in/ repeatedly; return the sorted times until the daemon logs it, in seconds."""
    found = []
    spool = Spool().path
    with Daemon(spool) as daemon:
        for i in range(REPLACEMENTS):
            time.sleep(0.3 + 0.1 * i)  # at a different moment between two scans each time
            (spool / "in").rename(spool / f"old-{i}")
            (spool / "in").mkdir()
            replaced = time.time()
            while len(events := daemon.events("watch.restarted")) <= i:
                time.sleep(0.05)
            restarted = datetime.fromisoformat(events[-1]["timestamp"]).timestamp()
            found.append(restarted - replaced)
    return sorted(found)


def main() -> None:
    """Print the table."""
    rows = []
    for rate in RATES:
        found = waits_ms(rate)
        p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
        what = f"{DROPS:,} files at {rate}/s: drop to first read"
        rows.append([what, f"{p50:.1f} ms", f"{p99:.1f} ms", f"{found[-1]:.1f} ms"])
    found = detections_s()
    what = f"in/ replaced {REPLACEMENTS} times: until it is noticed"
    rows.append([what, f"{found[len(found) // 2]:.2f} s", "-", f"{found[-1]:.2f} s"])
    print_table("File events while the daemon claims", ["what", "p50", "p99", "most"], rows)
