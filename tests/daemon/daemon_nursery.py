"""Start real daemons quickly, one after the other: everything is imported once, each daemon is a fork.

Reads one JSON job a line: `{"spool": ..., "registry": ..., "model": ..., "once": ..., "log": ...}`.  Prints the pid of
the daemon, and when it has ended its exit code (negative: the signal).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import spikewatch.registry
import spikewatch.simcore  # noqa: F401 - imported once, here, instead of in each fork
from spikewatch.daemon import logs
from spikewatch.daemon.observed import Observed
from spikewatch.daemon.serve import serve
from spikewatch.daemon.settings import Settings


def live(job: dict[str, str]) -> None:
    """Be the daemon of a job."""
    fd = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    settings = Settings(
        spool=Path(job["spool"]),
        registry=Path(job["registry"]),
        model=job["model"],
        once=bool(job["once"]),
        batch_questions=64,
    )
    observed = Observed()
    serve(settings, logs.logger("json", fd=fd, observe=observed), observed)


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            live(job)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
