"""Examine names in in/: what each file is, and whether a writer has it open."""

from __future__ import annotations

import errno
import os
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from ..files import _calls, durable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..spool.folder import Spool


class Verdict(Enum):
    """The result of examining a name: complete, not yet complete, open for writing, or nothing to claim.

    LATER is a large input that is complete, but is not to be claimed yet.
    """

    READY = auto()
    LATER = auto()
    WAIT = auto()
    HELD = auto()
    GONE = auto()


class FileFacts(NamedTuple):
    """The facts that decide whether a file is complete: type and mode, size in bytes, and times.

    `free` is whether no process has the file open for writing; None if leases are not used or do not work on it.
    """

    mode: int
    size: int
    mtime_ns: int
    ctime_s: float
    free: bool | None


def examine(folder: int, names: Sequence[str], *, leases: bool) -> list[FileFacts | OSError | None]:
    """Return the facts of names in a folder; None for those that do not exist, and the error of a failed look.

    With `leases`, each file is probed for open writers: the kernel grants a read lease only if no process has the file
    open for writing.  The lease is released at once.  This needs the file's uid or CAP_LEASE, and a process that
    ignores SIGIO (see `signals`).
    """
    found: list[FileFacts | OSError | None] = []
    for name, facts in zip(names, _calls.look_all(folder, names, leases), strict=True):
        gone, mode, size, mtime_ns, ctime_ns, unopened, unleased = facts
        if gone == errno.ENOENT:
            found.append(None)
            continue
        try:
            durable.check(gone, name)
            free = _is_free(name, unopened, unleased) if leases else None
        except OSError as fault:
            found.append(fault)
        else:
            found.append(FileFacts(mode, size, mtime_ns, ctime_ns * 1e-9, free))
    return found


def _is_free(name: str, unopened: int, unleased: int) -> bool | None:
    """Return `FileFacts.free` from the errnos (0 = success) of opening the file and of taking a lease on it."""
    if errno.EAGAIN in (unopened, unleased):  # a writer, or another process's write lease
        return False
    if unopened not in durable.NOT_READABLE:  # `InputFile` rejects what is not readable
        durable.check(unopened, name)
    return None if unleased else True


def leases_work(spool: Spool) -> bool:
    """Return whether leases reveal an open writer on this file system; a file in tmp/ is used to try it."""
    # Tried out, because nothing tells in advance whether a file system supports leases.
    name = f"lease-{os.getpid()}"
    fd = durable.create(spool.tmp, name)
    try:
        (while_open,) = examine(spool.tmp, [name], leases=True)
    finally:
        os.close(fd)
    (after,) = examine(spool.tmp, [name], leases=True)
    durable.unlink(spool.tmp, name)
    if isinstance(while_open, OSError):
        raise while_open
    if isinstance(after, OSError):
        raise after
    return (while_open and while_open.free) is False and (after and after.free) is True
