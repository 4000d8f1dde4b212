"""Check that a spool's file system and folders allow the daemon to keep its promises."""

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
"""Errors of file systems without hard links."""


def demand(spool: Spool, *, network_fs: bool) -> None:
    """Raise if the daemon's promises would not hold on this spool; call it with the spool locked.

    Parameters
    ----------
    spool
        An open spool.
    network_fs
        Whether to accept a network file system.

    Raises
    ------
    SpoolError
        A folder other than in/ is world-writable, the file system has no hard links, or it is a network file system.

    """
    mount = mount_of(spool.work)
    if mount.network and not network_fs:
        raise SpoolError(
            f"spool {spool.path}: it is on {mount.kind}, which may lack file events, leases and syncs; "
            f"use a local disk, or --network-fs to scan it"
        )
    _check_modes(spool)
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


def _check_modes(spool: Spool) -> None:
    """Raise SpoolError if a folder other than in/ is world-writable."""
    # in/ may be world-writable: producers of all users drop files there.
    closed = {
        "work": spool.work,
        "tmp": spool.tmp,
        "out": spool.out,
        "done": spool.done,
        "failed": spool.failed,
    }
    # A user who may write to the spool's own folder could replace the folders in it.
    modes = {".": spool.path.stat().st_mode}
    modes |= {name: os.fstat(fd).st_mode for name, fd in closed.items()}
    for name, mode in modes.items():
        if mode & stat.S_IWOTH:
            raise SpoolError(
                f"spool {spool.path}: {name}/ is world-writable "
                f"(mode {stat.S_IMODE(mode):04o}); run chmod o-w {name}"
            )


def _links_work(spool: Spool) -> bool:
    """Return whether hard links work in tmp/; claims and commits depend on them."""
    one, two = f"link-{os.getpid()}-a", f"link-{os.getpid()}-b"
    os.close(durable.create(spool.tmp, one))
    try:
        durable.link(spool.tmp, one, spool.tmp, two)
        return durable.same_file(durable.look(spool.tmp, one), durable.look(spool.tmp, two))
    finally:
        durable.unlink(spool.tmp, one)
        durable.unlink(spool.tmp, two)
