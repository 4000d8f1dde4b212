"""The command `reload`: make a running daemon reload, and wait for the outcome."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from ..errors import DaemonError
from ..monitoring import state_files
from ..monitoring.state_files import RELOAD_FILE
from ..spool.shards import Shard, holder, own, sharing

if TYPE_CHECKING:
    from pathlib import Path

POLL_S: Final = 0.02
"""Seconds between two looks at the outcome."""


def reload(spool: Path, shard: str = "", *, patience_s: float) -> str:
    """Make the daemon that runs on a spool reload, and wait for the outcome.

    Parameters
    ----------
    spool
        Its spool.
    shard
        Its share of the spool (`I/N`); empty if it has all of it.
    patience_s
        Longest time to wait, in seconds.

    Returns
    -------
    str
        What the reload did, in one line.

    Raises
    ------
    DaemonError
        No daemon runs, it cannot be signalled, does not answer in time, or its reload failed.

    """
    which = Shard.parse(shard)
    if which is None and sharing(spool):
        raise DaemonError(f"spool {spool}: several daemons share it; choose one with --shard I/N")
    pid = holder(spool, which)
    if not pid:
        raise DaemonError(
            f"spool {spool}: no daemon runs on {'it' if which is None else f'shard {which}'}"
        )
    outcome = spool / own(RELOAD_FILE, which)
    before = state_files.read(outcome)
    try:
        # The lock was held a moment ago, so the pid is the daemon's; no call signals the holder of a lock.
        os.kill(pid, signal.SIGHUP)
    except OSError as fault:
        raise DaemonError(f"process {pid}: {fault.strerror}") from None
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = state_files.read(outcome)
        # A report's number makes it differ from the one before, even if its text is the same.
        if found != before and found.get("pid") == pid:
            if not found.get("ok"):
                raise DaemonError(f"process {pid}: {found.get('message')}")
            return f"process {pid}: {found.get('message')}"
        if holder(spool, which) != pid:
            raise DaemonError(f"process {pid} ended")
        time.sleep(POLL_S)
    raise DaemonError(f"process {pid}: no answer within {patience_s:g} s; it may still reload")
