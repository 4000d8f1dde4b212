"""Read files without trusting their names, and write files that survive a crash.

Readers follow no symbolic link, open only regular files, and set the number of bytes they accept before they read.
Writers write a temporary file, fsync it, and only then give it its name by an atomic rename or a hard link; the
directory is fsynced before anything that depends on the name. A writer that fails removes its temporary file.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Corrupt, StorageError
from .unfinished import unfinished_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "Fingerprint",
    "fingerprint",
    "open_regular",
    "read_regular",
    "storage",
    "sync_folder",
    "temporaries",
]

# Without O_NONBLOCK, opening a FIFO would wait for a writer.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_SYNCS = 8  # concurrent fsyncs
# Nanoseconds; longer than the granularity of time stamps on the file systems that a registry may be on.
_TICK = 50_000_000
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Raise StorageError, which names the operation, for an error of the operating system.

    Parameters
    ----------
    what
        The operation: `publishing trec:1.0.0 to models`.

    Raises
    ------
    StorageError
        The block raised OSError.

    """
    try:
        yield
    except OSError as e:
        raise StorageError(f"{what}: {e.strerror or e}") from e


def read_regular(path: Path, *, limit: int) -> bytes:
    """Return the content of a regular file; raises as `open_regular`."""
    descriptor, size = open_regular(path, limit=limit)
    try:
        with storage(f"reading {path}"):
            return _read_all(descriptor, size)
    finally:
        os.close(descriptor)


def open_regular(path: Path, *, limit: int) -> tuple[int, int]:
    """Open a regular file for reading; return its descriptor, which the caller closes, and its size in bytes.

    Parameters
    ----------
    path
        The file; its last component must not be a symbolic link.
    limit
        Most bytes accepted, checked before reading.

    Raises
    ------
    FileNotFoundError
        The path does not exist.
    Corrupt
        It is not a regular file, or is larger than the limit.
    StorageError
        It cannot be read.

    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        raise
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise Corrupt(f"{path}: is a symbolic link, not a regular file") from None
        if e.errno in {errno.ENXIO, errno.ENOTDIR}:  # a socket; a parent that is not a directory
            raise Corrupt(f"{path}: is not a regular file") from None
        raise StorageError(f"reading {path}: {e.strerror}") from e
    try:
        with storage(f"reading {path}"):
            status = os.fstat(descriptor)
        problem = None
        if not stat.S_ISREG(status.st_mode):
            problem = "is not a regular file"
        elif status.st_size > limit:
            problem = f"{status.st_size} bytes, more than the limit of {limit}"
    except BaseException:
        os.close(descriptor)
        raise
    if problem is not None:
        os.close(descriptor)
        raise Corrupt(f"{path}: {problem}")
    return descriptor, status.st_size


def _read_all(descriptor: int, size: int) -> bytes:
    """Read to the end of the file, or until there are more bytes than it had when it was opened."""
    # One byte more than expected: it shows that the file has grown, and the caller's digest check then fails.
    data = os.read(descriptor, size + 1)
    if len(data) == size:
        return data
    chunks = [data]
    while chunks[-1] and sum(map(len, chunks)) <= size:
        chunks.append(os.read(descriptor, size + 1))
    return b"".join(chunks)


@contextmanager
def temporaries(folder: Path, *contents: bytes) -> Iterator[list[Path]]:
    """Write temporary files with names of their own and fsync them; the block renames or links them.

    Parameters
    ----------
    folder
        Created if absent; on the file system of the final names.
    contents
        The content of each file.

    Yields
    ------
    list of Path
        The files, in order; those that still exist at the end of the block are removed.

    """
    paths = [folder / unfinished_name() for _ in contents]
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
        # A renamed file has no temporary name any more; of a linked one, this removes the second name.
        for path in paths:
            path.unlink(missing_ok=True)


def _create(path: Path) -> int:
    try:
        return os.open(path, _CREATE, 0o666)
    except FileNotFoundError:
        # Neither git nor a wheel keeps empty folders, so a registry that was copied by one of them lacks this folder.
        path.parent.mkdir(exist_ok=True)
        return os.open(path, _CREATE, 0o666)


def _sync_all(descriptors: list[int]) -> None:
    """Fsync files concurrently, so that the file system commits its own journal once for all of them."""
    if not descriptors:
        return
    first, *others = descriptors
    # The pool starts threads only as tasks arrive: none for a single file.
    with ThreadPoolExecutor(_SYNCS) as pool:
        waiting = [pool.submit(os.fsync, descriptor) for descriptor in others]
        os.fsync(first)
        for done in waiting:
            done.result()


def sync_folder(folder: Path) -> None:
    """Fsync a directory, so that the names in it are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Fingerprint(NamedTuple):
    """Device, inode, size and times of a file, which together change with every write.

    Attributes
    ----------
    device, inode, size
        As in `os.stat_result`.
    modified, changed
        Times of the last change of the content and of the inode, in nanoseconds.

    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def settled(self) -> bool:
        """Whether any later write changes the fingerprint: two writes within one clock tick may have equal times."""
        return time.time_ns() - self.changed > _TICK


def fingerprint(path: Path) -> Fingerprint | None:
    """Return the fingerprint of a regular file; None if the path is not one."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Fingerprint(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )
