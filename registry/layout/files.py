"""Reading that trusts no directory entry, and writing that survives a crash.

Readers follow no symbolic link, open nothing but regular files, and know how many bytes they
accept before they read. Writers write a new file, fsync it, and only then give it its name (rename
or link); the directory is fsynced before anything that depends on the name. A writer that fails
removes its file.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Corrupt, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Fingerprint", "fingerprint", "read_regular", "storage", "sync_folder", "temporaries"]

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO must not block us
_SYNCS = 8  # at the same time
_TICK = 50_000_000  # ns, more than any file system's
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Turn an error of the operating system into a StorageError that says what was being done."""
    try:
        yield
    except OSError as e:
        raise StorageError(f"{what}: {e.strerror or e}") from e


def read_regular(path: Path, *, limit: int) -> bytes:
    """Read a regular file.

    Parameters
    ----------
    path
        The file; its last component may not be a symbolic link.
    limit
        Most bytes accepted, checked before reading.

    Raises
    ------
    FileNotFoundError
        When nothing has that name.
    Corrupt
        When it is not a regular file or is larger than the limit.
    StorageError
        When it cannot be read.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        raise
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise Corrupt(f"{path}: is a symbolic link, not a regular file") from None
        if e.errno in {errno.ENXIO, errno.ENOTDIR}:  # a socket; a parent that is no directory
            raise Corrupt(f"{path}: is not a regular file") from None
        raise StorageError(f"reading {path}: {e.strerror}") from e
    try:
        with storage(f"reading {path}"):
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Corrupt(f"{path}: is not a regular file")
            if status.st_size > limit:
                raise Corrupt(f"{path}: {status.st_size} bytes, more than the limit of {limit}")
            return _read_all(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size + 1)  # nearly always the whole file in one call
    if len(data) == size:
        return data
    chunks = [data]
    while chunks[-1] and sum(map(len, chunks)) <= size:
        chunks.append(os.read(descriptor, size + 1))
    return b"".join(chunks)


@contextmanager
def temporaries(folder: Path, *contents: bytes) -> Iterator[list[Path]]:
    """Write new files with random names and fsync them; within the block they can get their names.

    Parameters
    ----------
    folder
        Made when absent; on the file system of the later names.
    contents
        The whole content of each.

    Yields
    ------
    list of Path
        The files, in order; those that are still there at the end of the block are removed.
    """
    paths = [folder / uuid.uuid4().hex for _ in contents]
    try:
        descriptors: list[int] = []
        try:
            for path, data in zip(paths, contents, strict=True):
                descriptors.append(_create(path))
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptors[-1], view) :]
            _sync_all(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        yield paths
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _create(path: Path) -> int:
    try:
        return os.open(path, _CREATE, 0o666)
    except FileNotFoundError:  # neither git nor a wheel carries an empty directory
        path.parent.mkdir(exist_ok=True)
        return os.open(path, _CREATE, 0o666)


def _sync_all(descriptors: list[int]) -> None:
    """Fsync files at the same time: the file system then writes its own journal once for all."""
    if not descriptors:
        return
    first, *others = descriptors
    with ThreadPoolExecutor(_SYNCS) as pool:  # starts a thread for each task, up to these
        waiting = [pool.submit(os.fsync, descriptor) for descriptor in others]
        os.fsync(first)
        for done in waiting:
            done.result()


def sync_folder(folder: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Fingerprint(NamedTuple):
    """What tells that a file is the one that was read; every write changes it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def settled(self) -> bool:
        """Whether a later write would show: not so within the clock's tick of the last one."""
        return time.time_ns() - self.changed > _TICK


def fingerprint(path: Path) -> Fingerprint | None:
    """Take the fingerprint of a regular file; None when it is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Fingerprint(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )
