"""What a spool may stand on: ground on which the promises hold, or none."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from ..errors import SpoolError
from ..files import durable
from ..files.mounts import mount_of

if TYPE_CHECKING:
    from .folder import Spool

_LINKLESS: Final = frozenset(
    {errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV}
)
"""What file systems without hard links say."""


def demand(spool: Spool, *, network_fs: bool) -> None:
    """Refuse ground on which the promises do not hold; to be called by who has the lock.

    Parameters
    ----------
    spool
        Opened.
    network_fs
        Whether a network file system is taken in spite of what it lacks.

    Raises
    ------
    SpoolError
        A folder that everybody may write to (but in/), no hard links, or a network file system.

    """
    mount = mount_of(spool.work)
    if mount.network and not network_fs:
        raise SpoolError(
            f"spool {spool.path}: on {mount.kind}, where events, leases and syncs may be missing; "
            f"use a local disk, or --network-fs to work by scanning"
        )
    closed = {
        "work": spool.work,
        "tmp": spool.tmp,
        "out": spool.out,
        "done": spool.done,
        "failed": spool.failed,
    }
    # Who may write to the spool itself can put other folders in the place of these.
    modes = {".": spool.path.stat().st_mode}
    modes |= {name: os.fstat(fd).st_mode for name, fd in closed.items()}
    for name, mode in modes.items():
        if mode & stat.S_IWOTH:
            raise SpoolError(
                f"spool {spool.path}: everybody may write to {name}/ "
                f"(mode {stat.S_IMODE(mode):04o}); chmod o-w {name}"
            )
    try:
        same = _links_work(spool)
    except OSError as fault:
        if fault.errno not in _LINKLESS:
            raise
        same = False
    if not same:
        raise SpoolError(
            f"spool {spool.path}: {mount.kind} has no hard links; use another file system"
        )


def _links_work(spool: Spool) -> bool:
    """Try on files in tmp/ what claiming and committing rest on."""
    one, two = f"link-{os.getpid()}-a", f"link-{os.getpid()}-b"
    os.close(durable.create(spool.tmp, one))
    try:
        durable.link(spool.tmp, one, spool.tmp, two)
        return durable.same_file(durable.look(spool.tmp, one), durable.look(spool.tmp, two))
    finally:
        durable.unlink(spool.tmp, one)
        durable.unlink(spool.tmp, two)
