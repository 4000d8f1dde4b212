"""Run real daemons that are killed or disturbed at chosen file-system calls, and check the spool afterwards."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import pytest
from daemon_support import MODEL, content, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
QUICK = {"batch_questions": 64, "retry_first_s": 0.001, "retry_last_s": 0.01}
"""Settings with short back-offs, which make batches of several files likely."""

FAULTS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """What happens at the n-th call on the spool, counted from 1; 0 means never (see `daemon_hook.c`)."""

    kill_at: int = 0
    fault_at: int = 0
    fault_count: int = 1
    fault: int = 0
    reads: bool = False
    trace: str = ""


def build_hook(folder: Path) -> Path:
    """Compile `daemon_hook.c`."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for daemon_hook.c")
    library = folder / "hook.so"
    source = HERE / "daemon_hook.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


class Nursery:
    """Starts one daemon after the other by `daemon_nursery.py`.

    Parameters
    ----------
    registry
        Registry with their model.
    log
        Their log; outside of the spools, so that it is not disturbed.
    hook
        The compiled `daemon_hook.c`; None if nothing will be disturbed.
    prefix
        Command that starts the nursery: strace or unshare.

    """

    def __init__(
        self, registry: Path, log: Path, *, hook: Path | None = None, prefix: Sequence[str] = ()
    ) -> None:
        self.log = log
        self._registry = registry
        self._seen = 0
        self.pid = 0
        command = [*prefix, sys.executable, str(HERE / "daemon_nursery.py")]
        self.errors = log.with_suffix(".stderr")
        preload = {} if hook is None else {"LD_PRELOAD": str(hook)}
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | preload,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self.process.kill()
        self.process.communicate()

    def start(
        self,
        spool: Path,
        *,
        once: bool = False,
        hook: Hook | None = None,
        **settings: Any,
    ) -> int:
        """Start a daemon after killing the previous one if it is still running; return the pid."""
        self.end()
        job = {
            "spool": str(spool),
            "registry": str(self._registry),
            "model": MODEL,
            "log": str(self.log),
            "once": once,
            "hook": None if hook is None else asdict(hook),
            "settings": {**QUICK, **settings},
        }
        self._seen = self.log.stat().st_size if self.log.exists() else 0
        os.truncate(self.errors, 0)
        pipe = _pipe(self.process.stdin)
        pipe.write(json.dumps(job) + "\n")
        pipe.flush()
        self.pid = int(_pipe(self.process.stdout).readline())
        return self.pid

    def exit_code(self) -> int:
        """Wait for the end of the daemon; return its exit code: 1 is a traceback (see `said`), negative a signal."""
        self.pid = 0
        return int(_pipe(self.process.stdout).readline())

    def end(self) -> None:
        """Kill the daemon if it is running."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.exit_code()

    def live(self, spool: Path, **options: Any) -> int:
        """Run a daemon with `once`; return its exit code."""
        self.start(spool, once=True, **options)
        return self.exit_code()

    def said(self) -> str:
        """Return what the present daemon has written to standard error."""
        return self.errors.read_text()

    def events(self, name: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Return the events of the present daemon with this name and these fields."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(self._seen)
            lines = log.read().rpartition(b"\n")[0].splitlines()
        return [
            e
            for e in map(json.loads, lines)
            if name in {None, e["event"]} and all(e.get(k) == v for k, v in fields.items())
        ]

    def wait_for(self, name: str, **fields: object) -> dict[str, Any]:
        """Wait for an event of the present daemon."""

        def found() -> list[dict[str, Any]]:
            assert not self.said(), self.said()
            return self.events(name, **fields)

        first: dict[str, Any] = until(found, f"{name} {fields}")[0]
        return first


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@dataclass(frozen=True)
class Rest:
    """The part of a spool at rest that must not depend on earlier disturbances.

    Summaries contain times, and reports contain numbers of attempts; only their key and cause are compared.  A trial
    record without an input does not count as left behind.
    """

    waiting: frozenset[str]
    results: Mapping[str, bytes]
    keys: Mapping[str, str]
    done: Mapping[str, bytes]
    failed: Mapping[str, bytes | str]
    causes: Mapping[str, str]


def unlike(found: Rest, expected: Rest) -> list[str]:
    """Return the differences between a spool at rest and the expected one; empty if there are none."""
    wrong = [f"left: {name}" for name in sorted(found.waiting ^ expected.waiting)]
    for field in ("results", "keys", "done", "failed", "causes"):
        a, b = getattr(found, field), getattr(expected, field)
        wrong += [
            f"{field}: {name}: {a.get(name)!r}, expected {b.get(name)!r}"
            for name in sorted(a.keys() | b.keys())
            if a.get(name) != b.get(name)
        ]
    return wrong


def at_rest(spool: Path) -> Rest:
    """Read a spool at rest."""
    out, failed = spool / "out", spool / "failed"
    reports = {n for n in content(failed) if n.endswith(".error.json")}
    return Rest(
        waiting=frozenset(
            f"{folder}/{name}"
            for folder in ("in", "work", "tmp")
            for name in content(spool / folder)
            if name != ".spikewatchd-canary"  # replaced by the next trial
            if name != ".trial.json" or (spool / folder / name).read_text().strip() != "null"
        ),
        results={n: (out / n).read_bytes() for n in content(out) if n.endswith(".jsonl")},
        keys={
            n: json.loads((out / n).read_bytes())["key"]
            for n in content(out)
            if n.endswith(".summary.json")
        },
        done={n: (spool / "done" / n).read_bytes() for n in content(spool / "done")},
        failed={n: _bytes(failed / n) for n in content(failed) - reports},
        causes={n: json.loads((failed / n).read_bytes())["code"] for n in reports},
    )


def _bytes(path: Path) -> bytes | str:
    return str(path.readlink()) if path.is_symlink() else path.read_bytes()


def copy(spool: Path, target: Path) -> Path:
    """Copy a spool, keeping its hard links."""
    subprocess.run(["cp", "-a", spool, target], check=True)
    return target


def calls_of(trace: Path) -> Iterator[str]:
    """Return the calls that `daemon_hook.c` recorded, without their numbers."""
    for line in trace.read_text(errors="replace").splitlines():
        yield line.partition(" ")[2]
