"""What reading a model may cost: memory and processor time of the process that reads it, and the size of its files."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 2**31 - 1
"""Most bytes of a model file with its external data: protobuf writes no more."""

_MEMORY: Final = 1200 * 2**20
"""Bytes of memory that reading may take beside what the modules take, for a small file."""

_MEMORY_FACTOR: Final = 16
"""Further bytes for each byte of the files: they are held in several forms, some of them twice as wide."""

_KEPT: Final = 200 * 2**20
"""Bytes of memory that the process may keep from one model to the next."""

_SCALE: Final = 2**26
"""Bytes of a file that doubles the time: the largest that can be published, 64 MiB."""

_PATIENCE: Final = 30
"""Seconds that may pass for each second of processor time: other processes need the machine, too."""


class Limits:
    """The limits of this process, for one request at a time."""

    def __init__(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._taken = _data_bytes()
        self._seconds = 0.0
        self.machine()

    def begin(self, seconds: float, size: int = 0) -> float:
        """Bound what comes next, and return its seconds of processor time.

        Parameters
        ----------
        seconds
            Processor time for a small file; beyond it, the system ends this process.
        size
            Bytes of the model, which may take more time and memory if it is large.

        """
        self._seconds = seconds
        return self.allow(size)

    def allow(self, size: int) -> float:
        """Bound what comes next by the size of a model that turned out, and return its seconds of processor time."""
        allowed = math.ceil(self._seconds * (1 + size / _SCALE))
        used = resource.getrusage(resource.RUSAGE_SELF)
        _set(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + allowed)
        self.wait(_PATIENCE * allowed)
        self.memory(size)
        return allowed

    def memory(self, size: int) -> None:
        """Bound memory by the size of a model."""
        if self._taken:
            _set(resource.RLIMIT_DATA, self._taken + _MEMORY + _MEMORY_FACTOR * size)

    def wait(self, seconds: float) -> None:
        """End this process after some seconds, whether the one that started it still runs or not."""
        signal.alarm(math.ceil(seconds))

    def end(self) -> None:
        """Remove the time limits: this process now waits for its next request."""
        signal.alarm(0)
        _set(resource.RLIMIT_CPU, resource.RLIM_INFINITY)

    def worn(self) -> bool:
        """Return whether this process has kept much memory of what it has done, which the next model would lack."""
        return _data_bytes() > self._taken + _KEPT

    def machine(self) -> None:
        """Bound memory by what the machine has only: requests for more fail, instead of ending some process later."""
        if sys.platform != "linux":
            return
        _set(resource.RLIMIT_DATA, resource.RLIM_INFINITY)
        _set(resource.RLIMIT_AS, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        # if memory runs out all the same, this process is the one to end
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _set(which: int, limit: int) -> None:
    """Set the soft limit, within the hard one."""
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        limit = hard if limit == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (limit, hard))


def _data_bytes() -> int:
    """Return the bytes that count towards RLIMIT_DATA so far; 0: this system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [int(line.split()[1]) for line in lines if line.startswith("VmData:")]
    return found[0] * 1024 if found else 0
