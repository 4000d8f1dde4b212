"""Start real daemons quickly, one after the other: modules are imported once, and each daemon is a fork.

Reads one JSON job per line (see `daemon_lives.Nursery.start`).  Prints the pid of the daemon, and at its end its exit
code (negative: the signal).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy.ma  # noqa: F401 - imported once, here, instead of in each fork

import spikewatch.registry
import spikewatch.simcore  # noqa: F401 - imported once, here, instead of in each fork
from spikewatch.daemon.errors import DaemonError
from spikewatch.daemon.log import logger
from spikewatch.daemon.monitoring.counters import Counters
from spikewatch.daemon.running.serve import serve
from spikewatch.daemon.settings import Settings

MAX_INT = 2**31 - 1


def live(job: dict[str, Any]) -> int:
    """Run the daemon of a job, as `cli.main` would."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    paths = {key: Path(job[key]) for key in ("spool", "registry")}
    settings = Settings(**paths, model=job["model"], once=job["once"], **job["settings"])
    if job["hook"] is not None:
        arm(job["spool"], job["hook"])
    counters = Counters()
    try:
        serve(settings, logger.logger("json", fd=log, observe=counters), counters)
    except DaemonError as error:
        sys.stderr.write(f"spikewatchd: {error}\n")
        return error.exit_code
    return 0


def arm(spool: str, plan: dict[str, Any]) -> None:
    """Arm `daemon_hook.c`, which is preloaded."""
    trace = os.open(plan["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if plan["trace"] else -1
    numbers = (plan[key] for key in ("reads", "kill_at", "fault_at", "fault_count", "fault"))
    ctypes.CDLL(None).hook_arm(os.fsencode(spool), *numbers, trace)


def main() -> None:
    gc.freeze()  # forks share more pages
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = live(job)
            except BaseException:  # noqa: BLE001 - as the interpreter would
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
