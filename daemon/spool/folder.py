"""The spool folder: its seven names, its lock, and how an input is claimed.

`in/` is where producers drop files, `work/` holds what is being answered, `tmp/` half-written results, `out/` results,
`done/` and `failed/` the inputs that are settled, `lock` the running daemon's lock and pid.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Self

from ..errors import TEMPORARY, SpoolError, SpoolLostError
from ..files import _calls, durable
from ..files.durable import Durability
from ..files.mounts import mount_of
from . import shards

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .shards import Shard

FOLDERS: Final = ("in", "work", "tmp", "out", "done", "failed")

PUT_PREFIX: Final = "put-"
"""Names in tmp/ that belong to `spikewatchd put`, not to the daemon."""

PUT_OLD_S: Final = 36 * 3600.0
"""Age in seconds at which a producer's leftover is removed (Maildir's figure)."""

BALLAST: Final = ".ballast"
"""Name in tmp/ of the file that is removed when the disk is full."""

_NO_LINK: Final = frozenset({errno.EPERM, errno.EMLINK})


class Spool:
    """An open spool; all work on it goes through the descriptors of its folders.

    Attributes
    ----------
    path
        The folder, as it was given.
    durability
        What is waited for.
    marker
        Ending of the names in in/ that say that an input is complete; empty: there are none.
    lane
        Name of the sub-folder of each folder that this is a view of; empty for the folders themselves.
    shard
        Which share of the names is taken; None: all.
    inbox, work, tmp, out, done, failed
        Descriptors of the folders.

    """

    def __init__(
        self,
        path: Path,
        durability: Durability = Durability.STRICT,
        *,
        lane: str = "",
        shard: Shard | None = None,
    ) -> None:
        self.path = path
        self.durability = durability
        self.lane = lane
        self.shard = shard
        self.marker = ""
        self._locks: list[int] = []
        fds: list[int] = []
        try:
            # The folder itself may be a link, which its owner has made; those in it may not.
            fds.append(os.open(path, durable.FOLDER_FLAGS))
            fds.extend(_descend(fds[0], below) for below in _folders(lane, shard))
            volumes = {(os.fstat(fd).st_dev, mount_of(fd).number) for fd in fds[1:]}
        except OSError as fault:
            _close(fds)
            raise _unopened(path, fault) from None
        if len(volumes) > 1:
            _close(fds)
            raise SpoolError(
                f"spool {path}: its folders lie on {len(volumes)} file systems; links need one"
            )
        self._root, *folders = fds
        self.inbox, self.work, self.tmp, self.out, self.done, self.failed = folders

    @classmethod
    def make(
        cls,
        path: Path,
        durability: Durability = Durability.STRICT,
        *,
        lane: str = "",
        shard: Shard | None = None,
    ) -> Self:
        """Open a spool, making the folders that do not exist (mode 0750).

        Raises
        ------
        SpoolError
            A folder cannot be made or opened, is a symbolic link, or they lie on several file systems.

        """
        try:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
            for folder in FOLDERS:
                (path / folder).mkdir(mode=0o750, exist_ok=True)
                (path / folder / lane).mkdir(mode=0o750, exist_ok=True)
            for below in _folders(lane, shard):
                path.joinpath(*below).mkdir(mode=0o750, exist_ok=True)
        except OSError as fault:
            raise _unopened(path, fault) from None
        return cls(path, durability, lane=lane, shard=shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor; this gives the lock back."""
        folders = [self.inbox, self.work, self.tmp, self.out, self.done, self.failed]
        _close([self._root, *folders, *self._locks])
        self._locks = []

    def lock(self) -> None:
        """Take the spool, or this shard of it, for this process (see `shards.lock`).

        Raises
        ------
        SpoolBusyError
            Another process has it, by its pid.
        SpoolError
            The lock is something else than a file.

        """
        try:
            self._locks = shards.lock(self.path, self.shard)
        except OSError as fault:
            raise _unopened(self.path, fault) from None

    def takes(self, name: str) -> bool:
        """Say whether an input is to be answered here, and not by another shard."""
        return self.shard is None or self.shard.takes(name)

    @property
    def inbox_path(self) -> Path:
        """Where the inbox is."""
        return self.path / "in" / self.lane

    def replaced(self) -> bool:
        """Say whether another spool has this one's path by now: an unmounted disk that was mounted again, say."""
        try:
            now = self.path.joinpath(*_folders(self.lane, self.shard)[1]).stat()
        except OSError:
            return False
        return not durable.same_file(now, os.fstat(self.work))

    def inbox_moved(self) -> bool:
        """Say whether `in/` is another folder by now than the one that was opened."""
        try:
            now = self.inbox_path.lstat()
        except OSError:
            return True
        return not durable.same_file(now, os.fstat(self.inbox))

    def reopen_inbox(self) -> bool:
        """Open the folder that is `in/` now; False when there is none in this spool and on its file system."""
        try:
            if not durable.same_file(self.path.stat(), os.fstat(self._root)):
                return False
            fd = _descend(self._root, _folders(self.lane, self.shard)[0])
        except OSError:
            return False
        if mount_of(fd).number != mount_of(self.work).number:
            os.close(fd)
            return False
        os.close(self.inbox)
        self.inbox = fd
        return True

    def claim(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Link inputs into work/; `release` is to follow.

        A name is linked into work/ and only then, when work/ is on the disk, unlinked from in/: a rename would stall
        the file events by half a second, and at no moment is an input without a durable name.

        Returns
        -------
        claimed, busy
            Names now in work/, and names whose predecessor is still being worked on.

        """
        linked: list[str] = []
        busy: list[str] = []
        names = list(names)
        errors = _calls.link_all(self.inbox, names, self.work, names)
        for name, error in zip(names, errors, strict=True):
            if error == errno.ENOENT:
                continue  # its producer took it back
            if error == errno.EEXIST:
                here, there = durable.look(self.inbox, name), durable.look(self.work, name)
                (linked if durable.same_file(here, there) else busy).append(name)
                continue
            if error not in _NO_LINK or not self._claim_by_rename(name):
                durable.check(error, name)
            linked.append(name)
        return linked, busy

    def release(self, claimed: Sequence[str]) -> None:
        """Take claimed inputs out of in/, when their names in work/ are on the disk."""
        durable.sync_folder(self.work, self.durability)
        self.unlink_claimed(claimed)

    def sweep(self, wall: float) -> int:
        """Remove what earlier processes left in tmp/; give the number of names."""
        old = 0
        for name in durable.listing(self.tmp):
            if name == BALLAST:
                continue
            if name.startswith(PUT_PREFIX):
                facts = durable.look(self.tmp, name)
                if facts is None or wall - facts.st_mtime < PUT_OLD_S:
                    continue
            durable.unlink(self.tmp, name)
            old += 1
        return old

    def _claim_by_rename(self, name: str) -> bool:
        # The kernel refuses links to files of others (fs.protected_hardlinks).  Renaming is safe here although it
        # overwrites: only the holder of the lock makes names in work/.
        if durable.look(self.work, name) is not None:
            return False
        os.rename(name, name, src_dir_fd=self.inbox, dst_dir_fd=self.work)
        return True

    def unlink_claimed(self, names: Sequence[str]) -> None:
        """Remove inputs' names in in/, after their names in work/ have become durable.

        A marker goes first: one that stayed would speak for the next file of that name.
        """
        # Between the link and now a producer may have put a new file in the old one's place.
        if self.marker:
            for name in names:
                if durable.same_file(durable.look(self.inbox, name), durable.look(self.work, name)):
                    durable.unlink(self.inbox, name + self.marker)
        errors = _calls.unlink_twins(self.inbox, self.work, names)
        for name, error in zip(names, errors, strict=True):
            durable.check(error, name)


def _folders(lane: str, shard: Shard | None) -> list[list[str]]:
    """Give the folders of a view, each as the names that lead to it: shards have work/ and tmp/ of their own."""
    own = "" if shard is None else shard.folder
    return [
        [name for name in (folder, lane, own if folder in {"work", "tmp"} else "") if name]
        for folder in FOLDERS
    ]


def _descend(root: int, names: Iterable[str]) -> int:
    """Open a folder below another one, through no symbolic link."""
    fd = root
    for name in names:
        above, fd = fd, os.open(name, durable.FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
        if above != root:
            os.close(above)
    return fd


def _unopened(path: Path, fault: OSError) -> SpoolError:
    """Say in one line which part of a spool is not what it should be."""
    name = os.path.basename(fault.filename or "")  # noqa: PTH119 - bytes, text or nothing
    if name in {*FOLDERS, shards.LOCK} and (path / name).is_symlink():
        return SpoolError(f"spool {path}: {name} is a symbolic link; it must be the spool's own")
    kind = SpoolLostError if fault.errno in TEMPORARY else SpoolError
    return kind(f"spool {path}: {name or path}: {fault.strerror}")


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
