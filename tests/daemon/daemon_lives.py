"""Lives of real daemons that end or are disturbed at chosen file-system calls, and what must be true after them."""

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
"""Settings that make faults pass quickly, and batches of several files likely."""

FAULTS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """What is to happen at the n-th call on the spool, counted from 1; 0 is never (see `daemon_hook.c`)."""

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
    """Starts daemons one after the other, by `daemon_nursery.py`.

    Parameters
    ----------
    registry
        Where their model is.
    log
        Their log; outside of the spools, so that it is not disturbed.
    hook
        `daemon_hook.c`, compiled; None where nothing is to be disturbed.
    prefix
        What the nursery is started by: strace, unshare.

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
        """Start a daemon, and end the one before if it still runs; give its pid."""
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
        """Wait for the end of the daemon: 1 is a traceback (see `said`), negative the signal."""
        self.pid = 0
        return int(_pipe(self.process.stdout).readline())

    def end(self) -> None:
        """Kill the daemon, if one runs."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.exit_code()

    def live(self, spool: Path, **options: Any) -> int:
        """Let a daemon answer what is there, and give its exit code."""
        self.start(spool, once=True, **options)
        return self.exit_code()

    def said(self) -> str:
        """Give what the present daemon has written to standard error."""
        return self.errors.read_text()

    def events(self, name: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Give the events of the present daemon, of one name, with these fields."""
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
    """A spool at rest: everything that must not depend on what happened on the way.

    Summaries hold times, reports numbers of attempts: of those only the key and the cause are compared.  A record that
    says that nobody is on trial is nothing left behind.
    """

    waiting: frozenset[str]
    results: Mapping[str, bytes]
    keys: Mapping[str, str]
    done: Mapping[str, bytes]
    failed: Mapping[str, bytes | str]
    causes: Mapping[str, str]


def unlike(found: Rest, expected: Rest) -> list[str]:
    """Say in what a spool at rest is not as it must be; nothing when it is."""
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
    """Look at a spool."""
    out, failed = spool / "out", spool / "failed"
    reports = {n for n in content(failed) if n.endswith(".error.json")}
    return Rest(
        waiting=frozenset(
            f"{folder}/{name}"
            for folder in ("in", "work", "tmp")
            for name in content(spool / folder)
            if name != ".spikewatchd-canary"  # the next one replaces it
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
    """Copy a spool with its links."""
    subprocess.run(["cp", "-a", spool, target], check=True)
    return target


def calls_of(trace: Path) -> Iterator[str]:
    """Give what `daemon_hook.c` has written down: one call a line, without its number."""
    for line in trace.read_text(errors="replace").splitlines():
        yield line.partition(" ")[2]
