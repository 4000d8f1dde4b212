"""The spool folder: its seven names, its lock, and how an input is claimed.

`in/` is where producers drop files, `work/` holds what is being answered, `tmp/` half-written results, `out/` results,
`done/` and `failed/` the inputs that are settled, `lock` the running daemon's lock and pid.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING, Final, Self

from . import durable
from .durable import Durability
from .errors import SpoolBusyError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDERS: Final = ("in", "work", "tmp", "out", "done", "failed")

LOCK: Final = "lock"

PUT_PREFIX: Final = "put-"
"""Names in tmp/ that belong to `spikewatchd put`, not to the daemon."""

PUT_OLD_S: Final = 36 * 3600.0
"""Age in seconds at which a producer's leftover is removed (Maildir's figure)."""

LOCK_PATIENCE_S: Final = 0.25
"""How long a starting daemon waits for the lock: `status` holds it for an instant."""

_NO_LINK: Final = frozenset({errno.EPERM, errno.EMLINK})


class Spool:
    """An open spool; all work on it goes through the descriptors of its folders.

    Attributes
    ----------
    path
        The folder, as it was given.
    durability
        What is waited for.
    inbox, work, tmp, out, done, failed
        Descriptors of the folders.

    """

    def __init__(self, path: Path, durability: Durability = Durability.STRICT) -> None:
        self.path = path
        self.durability = durability
        self._lock = -1
        fds: list[int] = []
        try:
            fds.extend(os.open(path / folder, durable.FOLDER_FLAGS) for folder in FOLDERS)
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
    def make(cls, path: Path, durability: Durability = Durability.STRICT) -> Self:
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
        except OSError as fault:
            raise SpoolError(f"spool {path}: {fault.filename}: {fault.strerror}") from None
        return cls(path, durability)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor; this gives the lock back."""
        _close([self.inbox, self.work, self.tmp, self.out, self.done, self.failed])
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def lock(self) -> None:
        """Take the spool for this process; the kernel gives it back when the process ends, however it ends.

        Raises
        ------
        SpoolBusyError
            Another process has it, by its pid.

        """
        fd = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _try_lock(fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = _pid(fd)
                os.close(fd)
                raise SpoolBusyError(f"spool {self.path}: in use by process {holder or 'unknown'}")
            time.sleep(0.01)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        self._lock = fd

    def inbox_moved(self) -> bool:
        """Say whether `in/` is another folder by now than the one that was opened."""
        try:
            now = (self.path / "in").stat()
        except OSError:
            return True
        return not durable.same_file(now, os.fstat(self.inbox))

    def reopen_inbox(self) -> bool:
        """Open the folder that is `in/` now; False when there is none on the spool's file system."""
        try:
            fd = os.open(self.path / "in", durable.FOLDER_FLAGS)
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


def holder(path: Path) -> int | None:
    """Give the pid of the daemon that runs on a spool; None when none does, 0 when its pid is not known."""
    try:
        fd = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try_lock(fd, fcntl.LOCK_SH) else _pid(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(fd: int) -> int:
    text = os.pread(fd, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
