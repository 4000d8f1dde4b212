"""Write files that appear under their name only when they are complete; the daemon writes all its files this way.

A draft is written first, synced if required, and then published: `place` links it under a free name, and `replace`
renames it over an older file.  Readers never see half a file, and a killed process leaves at most a temporary file.

`Draft.written` uses nameless files (O_TMPFILE) where the file system has them: a killed process then leaves nothing,
and each file saves two changes of a folder.  Elsewhere, and in `Draft.named`, a draft has a temporary name.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from . import _calls, durable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""Errors of file systems and kernels without O_TMPFILE."""


class Draft:
    """A file that is not yet published.

    Parameters
    ----------
    folder
        Descriptor of a folder on the file's file system; the temporary name, if any, is in it.
    fd
        Descriptor of the file.
    name
        Its temporary name; None for a nameless file.

    Attributes
    ----------
    fd
        Descriptor to write to, until `close`; -1 afterwards.

    """

    __slots__ = ("_folder", "_name", "fd")

    def __init__(self, folder: int, fd: int, name: str | None) -> None:
        self._folder = folder
        self._name = name
        self.fd = fd

    def __repr__(self) -> str:
        return f"Draft(fd={self.fd}, name={self._name!r})"

    @classmethod
    def named(cls, folder: int, name: str, *, mode: int = 0o640) -> Self:
        """Create a draft with a temporary name, replacing an older file of that name."""
        return cls(folder, durable.create(folder, name, mode=mode), name)

    @classmethod
    def written(cls, folder: int, contents: Sequence[bytes], names: Iterable[str]) -> list[Self]:
        """Create a draft for each of `contents`: all of them, or none.

        Parameters
        ----------
        folder
            Descriptor of a folder on their file system.
        contents
            What to write into each.
        names
            Their temporary names, used only where the file system has no nameless files; older files of these names
            are replaced.

        Raises
        ------
        OSError
            The disk failed.

        """
        # The list ends with a negated errno at the first failure; the drafts from there on get temporary names.
        fds = _calls.new_files(folder, contents)
        error = -fds.pop() if fds and fds[-1] < 0 else 0
        drafts = [cls(folder, fd, None) for fd in fds]
        try:
            if error not in _NO_NAMELESS:
                durable.check(error, "a nameless file in tmp/")
            if error:
                for data, name in islice(zip(contents, names, strict=True), len(drafts), None):
                    drafts.append(cls.named(folder, name))
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
        """Link the file under its final name; raise FileExistsError if the name is taken."""
        if self._name is not None:
            durable.link(self._folder, self._name, folder, name)
        else:
            durable.link_open(self.fd, folder, name)

    def replace(self, name: str) -> None:
        """Rename the file within its folder, over an older file of that name; only for a named draft.

        Raises
        ------
        OSError
            The disk failed; the older file is unchanged.

        """
        # A link never overwrites, so only a rename can replace a file, and a rename needs a temporary name.
        if self._name is None:
            raise ValueError(f"{name}: a nameless file cannot be renamed")
        os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._name = None

    def digest(self) -> str:
        """Hash what was written (sha256, hexadecimal)."""
        total, at = hashlib.sha256(), 0
        while chunk := os.pread(self.fd, durable.CHUNK_BYTES, at):
            total.update(chunk)
            at += len(chunk)
        return total.hexdigest()

    def close(self) -> None:
        """Close the descriptor and remove the temporary name; a published file keeps its final name."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            if self._name is not None:  # also after `place`, which gave the file a second name
                durable.unlink(self._folder, self._name)


def close(drafts: Sequence[Draft]) -> None:
    """Close drafts; those without a name in one call."""
    nameless = [draft for draft in drafts if draft.nameless and draft.fd >= 0]
    _calls.close_all([draft.fd for draft in nameless])
    for draft in nameless:
        draft.fd = -1
    for draft in drafts:
        draft.close()


def place(drafts: Sequence[Draft], folder: int, new_names: Sequence[str]) -> list[int]:
    """Link nameless drafts under their final names; return an errno each, EEXIST where the name is taken."""
    return _calls.link_open_all([draft.fd for draft in drafts], folder, new_names)


def replace(folder: int, name: str, data: bytes) -> None:
    """Replace a file by one with these bytes, without a sync; readers see either the old or the new one.

    Raises
    ------
    OSError
        The disk failed; the older file is unchanged.

    """
    # Hidden, so that no scan takes it for an input or a lane.
    temporary = f".{name.removeprefix('.')}.new"
    with closing(Draft.named(folder, temporary)) as draft:
        draft.write(data)
        draft.replace(name)
