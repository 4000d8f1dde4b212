"""Measure the peak memory of processes.

Linux inherits `ru_maxrss` through fork and exec, so a small program reports at least the value of its parent. This
module therefore reads the high-water mark in /proc.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def peak_kib(process: int | str = "self") -> int:
    """Return the peak resident memory of a process so far, in KiB; 0 if the process is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def run_and_watch(command: list[str], cwd: str | None = None) -> int:
    """Run a program to its end; return its peak memory in KiB, sampled every 2 ms."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, peak_kib(child.pid))
            time.sleep(0.002)
    if child.returncode:
        raise RuntimeError(f"{command[0]}: status {child.returncode}")
    return peak
