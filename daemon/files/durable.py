"""Make writes survive a power cut, and look at files without being led astray.

Everything works on directory descriptors and plain names, so no path taken from an input is ever followed.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from . import _calls

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Opening with these neither follows a symlink nor hangs on a FIFO."""

CREATE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

NOT_READABLE: Final = frozenset(
    {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EISDIR}
)
"""What opening says of symlinks (ELOOP), sockets, devices without a driver, and files of others."""

CHUNK_BYTES: Final = 1 << 18

SMALL_BYTES: Final = 1 << 24
"""Largest file that is read whole: summaries and records of our own."""

SHARED_SYNC_FILES: Final = 8
"""From so many files on, one syncfs is cheaper than an fsync each (0.7 ms each, measured on ext4)."""


class Durability(StrEnum):
    """What a daemon waits for before it takes the next step with an input (docs/daemon.md says what each survives)."""

    STRICT = "strict"
    """Contents and names are on the disk."""
    FILE = "file"
    """Contents are on the disk; names follow when the kernel sees fit."""
    PROCESS = "process"
    """Nothing: the kernel has it."""


class SyncError(OSError):
    """A sync that failed: what was written since the one before may be gone, and another sync would not tell."""


_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def check(error: int, name: str) -> None:
    """Raise what an error number of `_calls` stands for; 0 stands for nothing.

    Raises
    ------
    OSError
        Of the error's class, with the name.

    """
    if error:
        raise OSError(error, os.strerror(error), name)


def missing(folder: int, names: Sequence[str]) -> list[bool]:
    """Say of each name whether it is surely not there."""
    return [look[0] == errno.ENOENT for look in _calls.look_all(folder, names, leases=False)]


def unlink_all(folder: int, names: Sequence[str]) -> None:
    """Remove names, those of them that are there."""
    for name, error in zip(names, _calls.unlink_all(folder, names), strict=True):
        check(error, name)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, however short the single writes are."""
    done = os.write(fd, data) if data else 0
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def create(folder: int, name: str, data: bytes = b"") -> int:
    """Make a new file with these bytes and give its descriptor; an older file of that name is replaced."""
    try:
        fd = os.open(name, CREATE_FLAGS, 0o640, dir_fd=folder)
    except FileExistsError:
        os.unlink(name, dir_fd=folder)
        fd = os.open(name, CREATE_FLAGS, 0o640, dir_fd=folder)
    try:
        write_all(fd, data)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sync_files(fds: Sequence[int], *, volume: int, level: Durability) -> None:
    """Return when the contents of all these files are on the disk, where the level asks for it.

    Parameters
    ----------
    fds
        Descriptors of written files.
    volume
        A descriptor on the file system that holds them, opened before they were written.
    level
        What is promised.

    Raises
    ------
    SyncError
        Something could not be written; nothing can be said about any of the files.

    """
    if level is Durability.PROCESS:
        return
    if len(fds) < SHARED_SYNC_FILES or _syncfs is None:
        for fd in fds:
            _sync(fd)
        return
    number = ctypes.get_errno() if _syncfs(volume) else 0
    # A syncfs at the same time may have been told of what failed here, and only one of them is.
    for error in (number, *_calls.not_written_all(fds)):
        if error:
            raise SyncError(error, os.strerror(error))


def sync_folder(fd: int, level: Durability) -> None:
    """Return when the names in a folder are on the disk, where the level asks for it."""
    if level is Durability.STRICT:
        _sync(fd)


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as fault:
        raise SyncError(fault.errno, fault.strerror) from fault


def link(source: int, name: str, target: int, new_name: str) -> None:
    """Give a file a second name; refuses (FileExistsError) to overwrite and follows no symlink."""
    os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)


def link_open(fd: int, target: int, new_name: str) -> None:
    """Give an open file a name, also one that has none yet; refuses (FileExistsError) to overwrite."""
    (error,) = _calls.link_open_all([fd], target, [new_name])
    check(error, new_name)


def unlink(folder: int, name: str) -> None:
    """Remove a name, if it is there."""
    try:  # not `suppress`, which costs as much as the call
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def listing(folder: int) -> list[str]:
    """Give the names in a folder, but those of folders: these are lanes."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]


def look(folder: int, name: str) -> os.stat_result | None:
    """Stat a name itself, never what it points to; None when it is not there."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def same_file(a: os.stat_result | None, b: os.stat_result | None) -> bool:
    """Say whether two names are names of one file."""
    return a is not None and b is not None and (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def open_input(folder: int, name: str) -> int | None:
    """Open a regular file to read it; None for anything else, and for what is not there or not ours to read."""
    try:
        fd = os.open(name, READ_FLAGS, dir_fd=folder)
    except OSError as fault:
        if fault.errno in NOT_READABLE:
            return None
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def digest(folder: int, name: str) -> str | None:
    """Hash the bytes of a regular file (sha256, hexadecimal); None where `open_input` gives None."""
    fd = open_input(folder, name)
    if fd is None:
        return None
    try:
        total = hashlib.sha256()
        while chunk := os.read(fd, CHUNK_BYTES):
            total.update(chunk)
        return total.hexdigest()
    finally:
        os.close(fd)


def read_small(folder: int, name: str) -> bytes | None:
    """Read a file of our own making, at most SMALL_BYTES of it; None where `open_input` gives None."""
    fd = open_input(folder, name)
    if fd is None:
        return None
    try:
        return os.read(fd, min(os.fstat(fd).st_size, SMALL_BYTES))
    finally:
        os.close(fd)
