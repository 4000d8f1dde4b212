"""The spool folder: its seven names, its lock, and how an input is claimed.

`in/` is where producers drop files, `work/` holds what is being answered, `tmp/` half-written results, `out/` results,
`done/` and `failed/` the inputs that are settled, `lock` the running daemon's lock and pid.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Self

from . import durable, shards
from .durable import Durability
from .errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterable
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
        self._locks: list[int] = []
        fds: list[int] = []
        try:
            fds.extend(
                os.open(folder, durable.FOLDER_FLAGS) for folder in _folders(path, lane, shard)
            )
            volumes = {os.fstat(fd).st_dev for fd in fds}
        except OSError as fault:
            _close(fds)
            raise SpoolError(f"spool {path}: {fault.filename or ''}: {fault.strerror}") from None
        if len(volumes) > 1:
            _close(fds)
            raise SpoolError(
                f"spool {path}: its folders lie on {len(volumes)} file systems; links need one"
            )
        self.inbox, self.work, self.tmp, self.out, self.done, self.failed = fds

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
            A folder cannot be made or opened, or they lie on several file systems.

        """
        try:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
            for folder in FOLDERS:
                (path / folder).mkdir(mode=0o750, exist_ok=True)
                (path / folder / lane).mkdir(mode=0o750, exist_ok=True)
            for made in _folders(path, lane, shard):
                made.mkdir(mode=0o750, exist_ok=True)
        except OSError as fault:
            raise SpoolError(f"spool {path}: {fault.filename}: {fault.strerror}") from None
        return cls(path, durability, lane=lane, shard=shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor; this gives the lock back."""
        _close([self.inbox, self.work, self.tmp, self.out, self.done, self.failed])
        _close(self._locks)
        self._locks = []

    def lock(self) -> None:
        """Take the spool, or this shard of it, for this process (see `shards.lock`).

        Raises
        ------
        SpoolBusyError
            Another process has it, by its pid.

        """
        self._locks = shards.lock(self.path, self.shard)

    def takes(self, name: str) -> bool:
        """Say whether an input is to be answered here, and not by another shard."""
        return self.shard is None or self.shard.takes(name)

    @property
    def inbox_path(self) -> Path:
        """Where the inbox is."""
        return self.path / "in" / self.lane

    def inbox_moved(self) -> bool:
        """Say whether `in/` is another folder by now than the one that was opened."""
        try:
            now = self.inbox_path.stat()
        except OSError:
            return True
        return not durable.same_file(now, os.fstat(self.inbox))

    def reopen_inbox(self) -> bool:
        """Open the folder that is `in/` now; False when there is none on the spool's file system."""
        try:
            fd = os.open(self.inbox_path, durable.FOLDER_FLAGS)
        except OSError:
            return False
        if os.fstat(fd).st_dev != os.fstat(self.work).st_dev:
            os.close(fd)
            return False
        os.close(self.inbox)
        self.inbox = fd
        return True

    def claim(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Take inputs out of the inbox, all or nothing each.

        A name is linked into work/ and only then, when work/ is on the disk, unlinked from in/: a rename would stall
        the file events by half a second, and at no moment is an input without a durable name.

        Returns
        -------
        claimed, busy
            Names now in work/, and names whose predecessor is still being worked on.

        """
        linked: list[str] = []
        busy: list[str] = []
        for name in names:
            try:
                durable.link(self.inbox, name, self.work, name)
            except FileExistsError:
                here, there = durable.look(self.inbox, name), durable.look(self.work, name)
                (linked if durable.same_file(here, there) else busy).append(name)
            except FileNotFoundError:
                continue  # its producer took it back
            except OSError as fault:
                if fault.errno not in _NO_LINK or not self._claim_by_rename(name):
                    raise
                linked.append(name)
            else:
                linked.append(name)
        if linked:
            durable.sync_folder(self.work, self.durability)
        for name in linked:
            self._unlink_claimed(name)
        return linked, busy

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

    def _unlink_claimed(self, name: str) -> None:
        # Between the link and now a producer may have put a new file in the old one's place.
        if durable.same_file(durable.look(self.inbox, name), durable.look(self.work, name)):
            durable.unlink(self.inbox, name)


def _folders(path: Path, lane: str, shard: Shard | None) -> list[Path]:
    """Give the folders of a view: shards have work/ and tmp/ of their own, and share the rest."""
    own = "" if shard is None else shard.folder
    return [path / folder / lane / (own if folder in {"work", "tmp"} else "") for folder in FOLDERS]


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
