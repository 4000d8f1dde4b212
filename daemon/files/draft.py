"""Files that are written before they have a name, and get it when they are complete.

Where the file system allows it a draft has no name at all (O_TMPFILE): nothing is left of it when the process dies, and
two changes of a folder are saved.  Elsewhere it has a temporary one.
"""

from __future__ import annotations

import errno
import hashlib
import os
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from . import _calls, durable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""What file systems without nameless files say."""


class Draft:
    """A file in the making.

    Parameters
    ----------
    folder
        Descriptor of the folder on whose file system it is.
    fd
        Its own descriptor.
    name
        Its temporary name in there; None if it has none.

    Attributes
    ----------
    fd
        Descriptor to write to, until `close`.

    """

    __slots__ = ("_folder", "_name", "fd")

    def __init__(self, folder: int, fd: int, name: str | None) -> None:
        self._folder = folder
        self._name = name
        self.fd = fd

    @classmethod
    def written(cls, folder: int, contents: Sequence[bytes], names: Iterable[str]) -> list[Self]:
        """Make a draft of each content: all of them, or none.

        Parameters
        ----------
        folder
            Descriptor of the folder on whose file system they are.
        contents
            What they hold.
        names
            Their temporary names, asked for if they must have one; older files of these names are replaced.

        Raises
        ------
        OSError
            The disk.

        """
        fds = _calls.new_files(folder, contents)
        error = -fds.pop() if fds and fds[-1] < 0 else 0
        drafts = [cls(folder, fd, None) for fd in fds]
        try:
            if error not in _NO_NAMELESS:
                durable.check(error, "a nameless file in tmp/")
            if error:
                for data, name in islice(zip(contents, names, strict=True), len(drafts), None):
                    drafts.append(cls(folder, durable.create(folder, name), name))
                    drafts[-1].write(data)
        except BaseException:
            close(drafts)
            raise
        return drafts

    def write(self, data: bytes) -> None:
        """Append bytes."""
        durable.write_all(self.fd, data)

    @property
    def nameless(self) -> bool:
        """Whether it has no temporary name."""
        return self._name is None

    def place(self, folder: int, name: str) -> None:
        """Give the file its name; refuses (FileExistsError) to overwrite."""
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


def close(drafts: Sequence[Draft]) -> None:
    """Close drafts, those without a name all at once."""
    nameless = [draft for draft in drafts if draft.nameless and draft.fd >= 0]
    _calls.close_all([draft.fd for draft in nameless])
    for draft in nameless:
        draft.fd = -1
    for draft in drafts:
        draft.close()


def place(drafts: Sequence[Draft], folder: int, new_names: Sequence[str]) -> list[int]:
    """Give nameless drafts their names; an error number each, EEXIST where the name is taken."""
    return _calls.link_open_all([draft.fd for draft in drafts], folder, new_names)
