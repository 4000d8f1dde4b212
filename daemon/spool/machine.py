"""Ask the machine whether it works, when an input made a call fail.

An exception does not tell whose fault it is: a file on a bad sector, on another mount or in a folder of somebody else
raises what a broken disk raises.  So the daemon does with a file of its own what it does with inputs.  Only if that
fails as well must all inputs wait; else the one that raised waits alone.
"""

from __future__ import annotations

import errno
import os
from threading import Lock
from typing import TYPE_CHECKING, Final

from ..files import durable

if TYPE_CHECKING:
    from .folder import Spool

PROBE: Final = ".probe"
"""The daemon's own file in tmp/ and work/; hidden, so that nobody takes it for an input."""

SPARE_BYTES: Final = 1 << 26
"""Memory that is enough to read and to simulate any input."""

_asking: Final = Lock()
"""Two threads may have a reason to ask at the same time."""


def check(spool: Spool) -> None:
    """Move a file of the daemon's own as an input is moved, and ask whether in/ may be changed.

    Raises
    ------
    OSError
        The machine's fault: its disk, its descriptors, or the daemon's rights in the spool's folders.

    """
    # Not by a file in in/: others may write there, and a file of theirs under its name would look like a fault.
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=spool.inbox, effective_ids=True):
        raise PermissionError(errno.EACCES, "in/ may not be changed")
    with _asking:
        try:
            durable.unlink(spool.work, PROBE)
            os.close(durable.create(spool.tmp, PROBE, b"?"))
            durable.link(spool.tmp, PROBE, spool.work, PROBE)
            durable.unlink(spool.tmp, PROBE)
            durable.read_small(spool.work, PROBE)
        finally:
            tidy(spool)


def tidy(spool: Spool) -> None:
    """Remove what a check, perhaps of a process that was killed, has left."""
    for folder in (spool.tmp, spool.work):
        durable.unlink(folder, PROBE)


def works(spool: Spool) -> bool:
    """Return whether `check` raises nothing."""
    try:
        check(spool)
    except OSError:
        return False
    return True


def has_memory() -> bool:
    """Return whether there is memory: if so, a MemoryError is the fault of an input that asks for too much."""
    try:
        bytes(SPARE_BYTES)
    except MemoryError:
        return False
    return True
