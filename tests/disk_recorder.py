"""A disk that records: a FUSE file system with an image file, all of whose writes and flushes go to a journal.

Run as `python disk_recorder.py IMAGE JOURNAL MOUNTPOINT`.  The mount has the file `disk`, on which a loop device and a
real file system can stand, and the file `marks`: what is written there goes to the journal too, between the writes of
the disk where it happened.

The journal is a sequence of entries: `HEADER`, then the data.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from pathlib import Path
from typing import Any, Final

import mfusepy

HEADER: Final = struct.Struct("<cQI")
"""Kind of an entry, offset on the disk in bytes, and length of its data."""

WRITE: Final = b"w"
FLUSH: Final = b"f"
MARK: Final = b"m"


class Recorder(mfusepy.Operations):
    """The file system."""

    use_ns = True

    def __init__(self, image: Path, journal: Path) -> None:
        self._disk = os.open(image, os.O_RDWR)
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._marked = 0

    def _record(self, kind: bytes, offset: int = 0, data: bytes = b"") -> None:
        os.write(self._journal, HEADER.pack(kind, offset, len(data)) + data)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return the attributes of a file."""
        del fh
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        sizes = {"/disk": os.fstat(self._disk).st_size, "/marks": self._marked}
        if path not in sizes:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": sizes[path]}

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read from the disk; marks cannot be read."""
        del fh
        return os.pread(self._disk, size, offset) if path == "/disk" else b""

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Record a write or a mark."""
        del fh
        if path == "/marks":
            self._marked += len(data)
            self._record(MARK, data=data)
            return len(data)
        self._record(WRITE, offset, data)
        return os.pwrite(self._disk, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """Record a flush of the disk."""
        del datasync, fh
        if path == "/disk":
            self._record(FLUSH)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Refuse: neither file has another size."""
        del length, fh
        raise mfusepy.FuseOSError(errno.EPERM if path == "/disk" else errno.ENOSYS)


if __name__ == "__main__":
    image, journal, mountpoint = map(Path, sys.argv[1:])
    # one thread: the journal has the order in which the loop device was answered
    mfusepy.FUSE(Recorder(image, journal), str(mountpoint), foreground=True, nothreads=True)
