"""The daemon's file-system calls as the kernel sees them: strace checks the hook, and kills at calls it could miss."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from daemon_lives import Hook, Nursery, Rest, at_rest, calls_of, copy, unlike
from daemon_support import MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHANGES = (
    "link", "linkat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat",
    "fsync", "fdatasync", "syncfs", "sync_file_range", "ftruncate", "fallocate", "write", "writev", "pwrite64",
    "open", "openat", "openat2",
)  # fmt: skip
FOLDERS = ("", "in", "work", "tmp", "out", "done", "failed")
OPENS = {"open", "openat", "openat2"}


def strace() -> str:
    """Return the path of strace; skip the test if it is missing or may not trace."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("no strace")
    if subprocess.run([found, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return found


def kernel_name(call: str) -> str:
    """Return the system call that a function of the C library makes."""
    name = {"open": "openat", "open64": "openat", "openat64": "openat", "pwrite": "pwrite64"}
    return name.get(call, call.replace("ftruncate64", "ftruncate"))


def test_the_hook_of_the_sweeps_misses_no_call(
    scene: Path, registry: Path, hook: Path, memory: Path
) -> None:
    seen, made = memory / "strace", memory / "trace"
    spool = copy(scene, memory / "straced")
    prefix = [strace(), "-f", "-qq", "-y", "-s", "0", "-o", str(seen)]
    prefix += ["-e", f"trace={','.join(CHANGES)}", "--signal=none"]
    with Nursery(registry, memory / "straced.log", hook=hook, prefix=prefix) as lives:
        assert lives.live(spool, hook=Hook(trace=str(made))) == 0
    below = re.compile(re.escape(str(spool)) + '[/">]')
    kernel: Counter[str] = Counter()
    for line in seen.read_text(errors="replace").splitlines():
        name = line.split(maxsplit=1)[1].partition("(")[0]
        if name.startswith(
            "<..."
        ):  # the second half of a call that another thread's output interrupted
            continue
        if below.search(line) and (name not in OPENS or "O_CREAT" in line):
            kernel[name] += 1
    counted = Counter(kernel_name(call.partition(" ")[0]) for call in calls_of(made))
    assert sum(counted.values()) > 80
    assert kernel == counted


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "calls",
    ["link,linkat", "unlink,unlinkat", "rename,renameat,renameat2", "fsync,fdatasync,syncfs",
     "write,writev,pwrite64", "openat"],
)  # fmt: skip
def test_strace_kills_the_program_at_every_call(
    scene: Path, undisturbed: Rest, registry: Path, memory: Path, lives: Nursery, calls: str
) -> None:
    """The program as users start it; strace counts calls per thread."""
    killed = 0
    while True:
        killed += 1
        spool = copy(scene, memory / "killed")
        where = [option for f in FOLDERS for option in ("-P", str(spool / f) if f else str(spool))]
        code = run_under_strace(
            spool,
            registry,
            ["-e", f"inject={calls}:signal=SIGKILL:when={killed}", "-e", f"trace={calls}"],
            where if calls == "openat" else [],
        )
        assert code in {0, -signal.SIGKILL, 128 + signal.SIGKILL}
        assert lives.live(spool) == 0
        assert not unlike(at_rest(spool), undisturbed), f"{calls}, number {killed}"
        shutil.rmtree(spool)
        if code == 0:
            break
    print(f"{calls}: {killed - 1} kills")  # noqa: T201 - the figure of the soak


def run_under_strace(
    spool: Path, registry: Path, inject: Sequence[str], where: Sequence[str]
) -> int:
    command = [strace(), "-f", "-qq", "-o", os.devnull, *inject, *where]
    command += [sys.executable, "-m", "spikewatch.daemon.cli", "run", "--once"]
    command += ["--spool", str(spool), "--registry", str(registry), "--model", MODEL]
    command += ["--group-files", "4"]  # so that some are claimed ahead
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode
