"""The spool folder: its sub-folders, its lock, and how inputs are claimed.

Producers drop files into `in/`.  `work/` holds claimed inputs, `tmp/` half-written results, `out/` results, and `done/`
and `failed/` the settled inputs.  `lock` is locked by the running daemon and holds its pid.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ..errors import TEMPORARY, SpoolError, SpoolLostError
from ..files import _calls, durable
from ..files.durable import Durability
from ..files.mounts import mount_of
from . import shards
from .names import base

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .shards import Shard

FOLDERS: Final = ("in", "work", "tmp", "out", "done", "failed")

PUT_PREFIX: Final = "put-"
"""Prefix of the files in tmp/ that belong to `spikewatchd put`, not to the daemon."""

PUT_OLD_S: Final = 36 * 3600.0
"""Age in seconds at which a producer's abandoned file is removed (the figure is Maildir's)."""

BALLAST: Final = ".ballast"
"""The file in tmp/ that is removed when the disk is full."""


class Claims(NamedTuple):
    """What became of inputs that were to be claimed.

    Attributes
    ----------
    claimed
        Names that are now in work/.
    busy
        Names whose predecessor is still in work/.
    refused
        Names of inputs that can be neither linked nor renamed, with the reasons.

    """

    claimed: list[str]
    busy: list[str]
    refused: dict[str, OSError]


class Spool:
    """An open spool, or a lane or shard of one; all access goes through the descriptors of its folders.

    Attributes
    ----------
    path
        The folder, as given.
    durability
        What must be on the disk before an input takes its next step.
    marker
        Ending of the marker files in in/ which state that an input is complete; empty if there are none.
    lane
        Name of the lane, which is a sub-folder in each of the folders; empty for the folders themselves.
    shard
        The share of the names that this daemon answers; None for all.
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
        marker: str = "",
    ) -> None:
        self.path = path
        self.durability = durability
        self.lane = lane
        self.shard = shard
        self.marker = marker
        self._locks: list[int] = []
        fds: list[int] = []
        try:
            # The spool's path itself may be a symlink that its owner made; inside the spool, none is followed.
            fds.append(os.open(path, durable.FOLDER_FLAGS))
            fds.extend(_descend(fds[0], below) for below in _folders(lane, shard))
            volumes = {(os.fstat(fd).st_dev, mount_of(fd).number) for fd in fds[1:]}
        except OSError as fault:
            _close(fds)
            raise _unopened(path, fault) from None
        if len(volumes) > 1:
            _close(fds)
            raise SpoolError(
                f"spool {path}: its folders are on {len(volumes)} file systems; hard links need a single one"
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
        marker: str = "",
    ) -> Self:
        """Open a spool after creating its missing folders (mode 0750).

        Raises
        ------
        SpoolError
            A folder cannot be created or opened, is a symbolic link, or is on another file system than the rest.

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
        return cls(path, durability, lane=lane, shard=shard, marker=marker)

    def __repr__(self) -> str:
        return f"Spool({str(self.path)!r}, lane={self.lane!r}, shard={self.shard})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor, which releases the lock."""
        folders = [self.inbox, self.work, self.tmp, self.out, self.done, self.failed]
        _close([self._root, *folders, *self._locks])
        self._locks = []

    def lock(self) -> None:
        """Lock the spool, or this shard of it, for this process (see `shards.lock`).

        Raises
        ------
        SpoolBusyError
            Another process has locked it; the message has its pid.
        SpoolError
            The lock is not a regular file.

        """
        try:
            self._locks = shards.lock(self.path, self.shard)
        except OSError as fault:
            raise _unopened(self.path, fault) from None

    def takes(self, name: str) -> bool:
        """Return whether this daemon answers an input, rather than another shard."""
        return self.shard is None or self.shard.takes(name)

    @property
    def inbox_path(self) -> Path:
        """Path of the inbox."""
        return self.path / "in" / self.lane

    def replaced(self) -> bool:
        """Return whether the path now leads to another spool, for example after a disk was unmounted and mounted."""
        try:
            now = self.path.joinpath(*_folders(self.lane, self.shard)[1]).stat()
        except OSError:
            return False
        return not durable.same_file(now, os.fstat(self.work))

    def inbox_moved(self) -> bool:
        """Return whether `in/` is no longer the folder that was opened."""
        try:
            now = self.inbox_path.lstat()
        except OSError:
            return True
        return not durable.same_file(now, os.fstat(self.inbox))

    def reopen_inbox(self) -> bool:
        """Open the present `in/`; return False unless it is a folder of this spool and on its file system."""
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

    def claim(self, names: Iterable[str]) -> Claims:
        """Claim inputs by linking them into work/; the caller must then `release` them.

        An input is unlinked from in/ only after its name in work/ is on the disk, so it always has a durable name.
        A rename would be shorter, but watchdog holds the events of in/ back for half a second to pair the two halves of
        a move.

        """
        claims = Claims([], [], {})
        names = list(names)
        errors = _calls.link_all(self.inbox, names, self.work, names)
        for name, error in zip(names, errors, strict=True):
            if error == errno.ENOENT:
                continue  # its producer removed it
            if error == errno.EEXIST:
                # The same file: an earlier claim was interrupted before its unlink, and this one completes it.
                here, there = durable.look(self.inbox, name), durable.look(self.work, name)
                (claims.claimed if durable.same_file(here, there) else claims.busy).append(name)
                continue
            try:
                if error in durable.NOT_LINKED:
                    # The kernel protects other users' files (fs.protected_hardlinks), and has a limit of links.
                    durable.rename_free(self.inbox, name, self.work, name)
                else:
                    durable.check(error, name)
            except FileNotFoundError:
                continue
            except FileExistsError:
                claims.busy.append(name)
            except OSError as fault:
                why = f"cannot be moved to work/: {fault.strerror}"
                claims.refused[name] = OSError(fault.errno, why, name)
            else:
                claims.claimed.append(name)
        return claims

    def release(self, claimed: Sequence[str]) -> dict[str, OSError]:
        """Sync work/ and then remove claimed inputs from in/; return those that cannot be removed, with the reasons."""
        durable.sync_folder(self.work, self.durability)
        return self.unlink_claimed(claimed)

    def sweep(self, wall: float) -> int:
        """Remove the files that earlier processes left in tmp/; return their number."""
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

    def unlink_claimed(self, names: Sequence[str]) -> dict[str, OSError]:
        """Remove inputs from in/ whose names in work/ are durable; return those that cannot be removed.

        The marker is removed first: if it stayed, it would declare the next file of that name complete.
        """
        # A producer may have replaced the file since it was linked, so a name is removed only if it is still a link to
        # the claimed file.  A moment remains between check and unlink: Linux has no call that does both.
        refused: dict[str, OSError] = {}
        if self.marker:
            for name in names:
                try:
                    self._unlink_marker(name)
                except OSError as fault:
                    refused[name] = _unremovable(fault.errno, name)
            names = [name for name in names if name not in refused]
        errors = _calls.unlink_twins(self.inbox, self.work, names)
        for name, error in zip(names, errors, strict=True):
            if error == errno.EMLINK:
                error = self._unlink_linked(name)  # noqa: PLW2901 - the error of the second attempt
            if error:
                refused[name] = _unremovable(error, name)
        return refused

    def _unlink_linked(self, name: str) -> int:
        """Remove an input from in/ that has further names; return an errno.

        Somebody may have linked it from done/ or failed/ to have it answered again. Its name there is removed first: in
        work/ and in one of them, an input is one that was answered or quarantined (see `recovery`).
        """
        try:
            here = durable.look(self.work, name)
            for folder, settled in ((self.done, name), (self.failed, base(name))):
                if durable.same_file(here, durable.look(folder, settled)):
                    durable.unlink(folder, settled)
                    durable.sync_folder(folder, self.durability)
            if durable.same_file(here, durable.look(self.inbox, name)):
                durable.unlink(self.inbox, name)
        except OSError as fault:
            return fault.errno or errno.EIO
        return 0

    def _unlink_marker(self, name: str) -> None:
        here = durable.look(self.inbox, name)
        # None: the input was renamed into work/, or its producer has removed it since.
        if here is None or durable.same_file(here, durable.look(self.work, name)):
            durable.unlink(self.inbox, name + self.marker)


def _unremovable(error: int | None, name: str) -> OSError:
    return OSError(error, f"cannot be removed from in/: {os.strerror(error or 0)}", name)


def missing_folders(path: Path) -> list[str]:
    """Return which of the folders of a spool are missing at a path; all of them if nothing is there."""
    return [folder for folder in FOLDERS if not (path / folder).is_dir()]


def _folders(lane: str, shard: Shard | None) -> list[list[str]]:
    """Return the path of each folder as a list of names; a shard has its own work/ and tmp/."""
    own = "" if shard is None else shard.folder
    return [
        [name for name in (folder, lane, own if folder in {"work", "tmp"} else "") if name]
        for folder in FOLDERS
    ]


def _descend(root: int, names: Iterable[str]) -> int:
    """Open a folder below another one without following symlinks."""
    fd = root
    for name in names:
        above, fd = fd, os.open(name, durable.FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
        if above != root:
            os.close(above)
    return fd


def _unopened(path: Path, fault: OSError) -> SpoolError:
    """Convert a failed open into an error that names the folder."""
    name = os.path.basename(fault.filename or "")  # noqa: PTH119 - bytes, text or nothing
    if name in {*FOLDERS, shards.LOCK} and (path / name).is_symlink():
        return SpoolError(
            f"spool {path}: {name} is a symbolic link; expected a folder or file of its own"
        )
    kind = SpoolLostError if fault.errno in TEMPORARY else SpoolError
    # `mkdir` reports a file in the place of a folder as "File exists", which would mislead.
    why = "Not a directory" if fault.errno == errno.EEXIST else fault.strerror
    return kind(f"spool {path}: {name or path}: {why}")


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
