"""Writes that survive a power cut, and reads that follow no symlink.

Every function takes a directory descriptor and a plain name, so an input can never make the daemon follow a path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from . import _calls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags to open a file that others made: the open neither follows a symlink nor blocks on a FIFO."""

CREATE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

NOT_READABLE: Final = frozenset(
    {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EISDIR}
)
"""Errors of opening a symlink (ELOOP), a socket, a device without a driver, or a file without read permission."""

NOT_LINKED: Final = frozenset({errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV})
"""Errors of a file that may have no further link: it is another user's, at the file system's limit, or a mount."""

_NO_SUCH_NAME: Final = frozenset({errno.ENOENT, errno.ENAMETOOLONG})
"""Errors of a name that does not exist, or cannot: the marker of a name of 255 bytes."""

CHUNK_BYTES: Final = 1 << 18

SMALL_BYTES: Final = 1 << 24
"""Size limit in bytes of `read_small`, which reads only summaries and records that the daemon wrote."""

SHARED_SYNC_FILES: Final = 8
"""Number of files from which one syncfs is cheaper than an fsync of each (0.7 ms each, measured on ext4)."""


class Durability(StrEnum):
    """What must be on the disk before an input takes its next step (docs/promises.md says what each level survives)."""

    STRICT = "strict"
    """Contents and names."""
    FILE = "file"
    """Contents; the kernel writes the names when it chooses to."""
    PROCESS = "process"
    """Nothing; the data are in the page cache, which survives the process but not a power cut."""


class SyncError(OSError):
    """A failed sync: anything written since the previous sync may be lost.

    A second sync that succeeds proves nothing, because the kernel reports each error only once.
    """


def check(error: int, name: str) -> None:
    """Raise an errno returned by `_calls` as an exception; 0 is success.

    Raises
    ------
    OSError
        The subclass for this errno, with the file's name.

    """
    if error:
        raise OSError(error, os.strerror(error), name)


def missing(folder: int, names: Sequence[str]) -> list[bool]:
    """Return for each name whether it does not exist; False if the look failed for another reason."""
    return [look[0] == errno.ENOENT for look in _calls.look_all(folder, names, leases=False)]


def unlink_all(folder: int, names: Sequence[str]) -> None:
    """Remove those of the names that exist."""
    for name, error in zip(names, _calls.unlink_all(folder, names), strict=True):
        check(error, name)


def write_all(fd: int, data: bytes) -> None:
    """Write all bytes, repeating the call after a short write."""
    done = os.write(fd, data) if data else 0
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def create(folder: int, name: str, data: bytes = b"", *, mode: int = 0o640) -> int:
    """Create a file with these bytes, after removing any older file of that name; return its descriptor."""
    try:
        fd = os.open(name, CREATE_FLAGS, mode, dir_fd=folder)
    except FileExistsError:
        os.unlink(name, dir_fd=folder)
        fd = os.open(name, CREATE_FLAGS, mode, dir_fd=folder)
    try:
        write_all(fd, data)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sync_files(fds: Sequence[int], *, volume: int, level: Durability) -> None:
    """Wait until the contents of all these files are on the disk, if the level requires it.

    Parameters
    ----------
    fds
        Descriptors of written files.
    volume
        A descriptor on their file system, opened before they were written: syncfs reports only errors since then.
    level
        The durability that the caller promises.

    Raises
    ------
    SyncError
        A sync failed; any of the files may be incomplete on the disk.

    """
    if level is Durability.PROCESS:
        return
    error = errno.ENOSYS if len(fds) < SHARED_SYNC_FILES else _calls.sync_filesystem(volume)
    if error == errno.ENOSYS:  # few files, or a system without syncfs
        for fd in fds:
            _sync(fd)
        return
    # All threads share the descriptor `volume`.  If two of them sync at the same time, the kernel reports a failed
    # write-back to only one of the two, so the errors of each file are read as well.
    for each in (error, *_calls.writeback_errors(fds)):
        if each:
            raise SyncError(each, os.strerror(each))


def sync_folder(fd: int, level: Durability) -> None:
    """Wait until the names in a folder are on the disk, if the level requires it."""
    if level is Durability.STRICT:
        _sync(fd)


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as fault:
        raise SyncError(fault.errno, fault.strerror) from fault


def link(source: int, name: str, target: int, new_name: str) -> None:
    """Hard-link a file under a second name without following symlinks; raise FileExistsError if the name is taken."""
    os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)


def rename_free(source: int, name: str, target: int, new_name: str) -> None:
    """Move a file under a free name, where `link` is not allowed; raise FileExistsError if the name is taken.

    Linux's call that does not overwrite is not on every file system, so there is a moment between look and rename: only
    the daemon creates names in the folders that it moves files to.
    """
    if look(target, new_name) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)
    os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)


def link_open(fd: int, target: int, new_name: str) -> None:
    """Link an open file, nameless or not, under a name; raise FileExistsError if the name is taken."""
    (error,) = _calls.link_open_all([fd], target, [new_name])
    check(error, new_name)


def unlink(folder: int, name: str) -> None:
    """Remove a name if it exists."""
    try:  # `suppress` would take as long as the call itself
        os.unlink(name, dir_fd=folder)
    except OSError as fault:
        if fault.errno not in _NO_SUCH_NAME:
            raise


def listing(folder: int) -> list[str]:
    """Return the names in a folder, without those of its folders, which are lanes."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not is_folder(entry)]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether a name is that of a folder; False if it cannot be looked at; its use reports that."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def look(folder: int, name: str) -> os.stat_result | None:
    """Stat a name without following a symlink; None if it does not exist."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as fault:
        if fault.errno not in _NO_SUCH_NAME:
            raise
        return None


def same_file(a: os.stat_result | None, b: os.stat_result | None) -> bool:
    """Return whether two results of `look` describe the same file."""
    return a is not None and b is not None and (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def open_input(folder: int, name: str) -> int | None:
    """Open a regular file for reading; None if it is missing, unreadable or of another type."""
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


def digest(
    folder: int, name: str, *, most: int, beat: Callable[[], None] | None = None
) -> str | None:
    """Hash a regular file (sha256, hexadecimal).

    Parameters
    ----------
    folder, name
        The file.
    most
        Most bytes to read: whoever names a file decides how long it is, even if nothing of it is on the disk.
    beat
        Called after each `CHUNK_BYTES`, to show that the thread is alive.

    Returns
    -------
    str or None
        None if the file is longer than `most`, and where `open_input` returns None.

    """
    fd = open_input(folder, name)
    if fd is None:
        return None
    try:
        total, left = hashlib.sha256(), most
        if os.fstat(fd).st_size > most:
            return None
        while chunk := os.read(fd, CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                return None
            total.update(chunk)
            if beat is not None:
                beat()
        return total.hexdigest()
    finally:
        os.close(fd)


def read_small(folder: int, name: str) -> bytes | None:
    """Read at most SMALL_BYTES of a file that the daemon wrote; None where `open_input` returns None."""
    fd = open_input(folder, name)
    if fd is None:
        return None
    try:
        return os.read(fd, min(os.fstat(fd).st_size, SMALL_BYTES))
    finally:
        os.close(fd)
