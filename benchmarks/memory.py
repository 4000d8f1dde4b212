"""Measure peak memory of processes.

Linux hands `ru_maxrss` on through fork and exec, so that of a small program is at least its parent's: the high-water
mark of /proc is read instead.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def peak_kib(process: int | str = "self") -> int:
    """Give the most memory that a process has held so far, in KiB; 0 once it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def run_and_watch(command: list[str], cwd: str | None = None) -> int:
    """Run a program to its end, and give the most memory that it was seen to hold, in KiB."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, peak_kib(child.pid))
            time.sleep(0.002)
    if child.returncode:
        raise RuntimeError(f"{command[0]}: status {child.returncode}")
    return peak
