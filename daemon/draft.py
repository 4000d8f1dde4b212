"""Files that are written before they have a name, and get it when they are complete.

Where the file system allows it a draft has no name at all (O_TMPFILE): nothing is left of it when the process dies, and
two changes of a folder are saved.  Elsewhere it has a temporary one.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import Final

from . import durable

NAMELESS: Final = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC

_NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""What file systems without nameless files say."""


class Draft:
    """A file in the making.

    Parameters
    ----------
    folder
        Descriptor of the folder on whose file system it is.
    name
        Its temporary name in there, if it must have one; an older file of that name is replaced.

    Attributes
    ----------
    fd
        Descriptor to write to, until `close`.

    Raises
    ------
    OSError
        The disk.

    """

    __slots__ = ("_folder", "_name", "fd")

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self.fd, self._name = open_draft(folder, name)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        durable.write_all(self.fd, data)

    def place(self, folder: int, name: str) -> None:
        """Give the file a name; refuses (FileExistsError) to overwrite."""
        if self._name is not None:
            durable.link(self._folder, self._name, folder, name)
        else:
            durable.link_open(self.fd, folder, name)

    def digest(self) -> str:
        """Hash what was written (sha256, hexadecimal)."""
        total, at = hashlib.sha256(), 0
        while chunk := os.pread(self.fd, durable.CHUNK_BYTES, at):
            total.update(chunk)
            at += len(chunk)
        return total.hexdigest()

    def close(self) -> None:
        """Give up the descriptor and the temporary name; what has a name keeps it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            if self._name is not None:
                durable.unlink(self._folder, self._name)


def open_draft(folder: int, name: str) -> tuple[int, str | None]:
    """Make an empty file; give its descriptor, and its temporary name if it has one."""
    try:
        return os.open(".", NAMELESS, 0o640, dir_fd=folder), None
    except OSError as fault:
        if fault.errno not in _NO_NAMELESS:
            raise
    return durable.create(folder, name), name
