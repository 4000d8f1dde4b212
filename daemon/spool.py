"""The spool folder: its seven names, its lock, and how an input is claimed.

`in/` is where producers drop files, `work/` holds what is being answered, `tmp/` half-written results, `out/` results,
`done/` and `failed/` the inputs that are settled, `lock` the running daemon's lock and pid.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, Final, Self

from . import durable
from .durable import Durability
from .errors import TEMPORARY, SpoolBusyError, SpoolError, SpoolLostError
from .mounts import mount_of

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

_LINKLESS: Final = _NO_LINK | {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV}
"""What file systems without hard links say."""

_LOCK_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link in the lock's place would have another file emptied, a pipe would hang."""


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
    inbox, work, tmp, out, done, failed
        Descriptors of the folders.

    """

    def __init__(self, path: Path, durability: Durability = Durability.STRICT) -> None:
        self.path = path
        self.durability = durability
        self.marker = ""
        self._lock = -1
        fds: list[int] = []
        try:
            # The folder itself may be a link, which its owner has made; those in it may not.
            fds.append(os.open(path, durable.FOLDER_FLAGS))
            fds.extend(
                os.open(name, durable.FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=fds[0])
                for name in FOLDERS
            )
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
    def make(cls, path: Path, durability: Durability = Durability.STRICT) -> Self:
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
        except OSError as fault:
            raise _unopened(path, fault) from None
        return cls(path, durability)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor; this gives the lock back."""
        folders = [self.inbox, self.work, self.tmp, self.out, self.done, self.failed]
        _close([self._root, *folders])
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def lock(self) -> None:
        """Take the spool for this process; the kernel gives it back when the process ends, however it ends.

        Raises
        ------
        SpoolBusyError
            Another process has it, by its pid.
        SpoolError
            The lock is something else than a file.

        """
        try:
            fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | _LOCK_FLAGS, 0o640, dir_fd=self._root)
        except OSError as fault:
            raise _unopened(self.path, fault) from None
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

    def demand(self, *, network_fs: bool) -> None:
        """Refuse ground on which the promises do not hold; to be called by who has the lock.

        Parameters
        ----------
        network_fs
            Whether a network file system is taken in spite of what it lacks.

        Raises
        ------
        SpoolError
            A folder that everybody may write to, no hard links, or a network file system.

        """
        mount = mount_of(self.work)
        if mount.network and not network_fs:
            raise SpoolError(
                f"spool {self.path}: on {mount.kind}, where events, leases and syncs may be missing; "
                f"use a local disk, or --network-fs to work by scanning"
            )
        folders = zip(
            FOLDERS[1:], (self.work, self.tmp, self.out, self.done, self.failed), strict=True
        )
        for name, fd in folders:
            mode = os.fstat(fd).st_mode
            if mode & stat.S_IWOTH:
                raise SpoolError(
                    f"spool {self.path}: everybody may write to {name}/ "
                    f"(mode {stat.S_IMODE(mode):04o}); chmod o-w {name}"
                )
        try:
            same = self.links_work()
        except OSError as fault:
            if fault.errno not in _LINKLESS:
                raise
            same = False
        if not same:
            raise SpoolError(
                f"spool {self.path}: {mount.kind} has no hard links; use another file system"
            )

    def links_work(self) -> bool:
        """Try on files in tmp/ what claiming and committing rest on.

        Raises
        ------
        OSError
            What the file system says to it.

        """
        one, two = f"link-{os.getpid()}-a", f"link-{os.getpid()}-b"
        os.close(durable.create(self.tmp, one))
        try:
            durable.link(self.tmp, one, self.tmp, two)
            return durable.same_file(durable.look(self.tmp, one), durable.look(self.tmp, two))
        finally:
            durable.unlink(self.tmp, one)
            durable.unlink(self.tmp, two)

    def replaced(self) -> bool:
        """Say whether another spool has this one's path by now: an unmounted disk that was mounted again, say."""
        try:
            now = (self.path / "work").stat()
        except OSError:
            return False
        return not durable.same_file(now, os.fstat(self.work))

    def inbox_moved(self) -> bool:
        """Say whether `in/` is another folder by now than the one that was opened."""
        try:
            now = (self.path / "in").lstat()
        except OSError:
            return True
        return not durable.same_file(now, os.fstat(self.inbox))

    def reopen_inbox(self) -> bool:
        """Open the folder that is `in/` now; False when there is none in this spool and on its file system."""
        try:
            if not durable.same_file(self.path.stat(), os.fstat(self._root)):
                return False
            fd = os.open("in", durable.FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._root)
        except OSError:
            return False
        if mount_of(fd).number != mount_of(self.work).number:
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
            if durable.look(self.work, name) is not None:
                self.unlink_claimed(name)
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

    def unlink_claimed(self, name: str) -> None:
        """Remove an input's name in in/, after its name in work/ has become durable.

        Its marker goes first: one that stayed would speak for the next file of that name.
        """
        # Between the link and now a producer may have put a new file in the old one's place.
        if durable.same_file(durable.look(self.inbox, name), durable.look(self.work, name)):
            if self.marker:
                durable.unlink(self.inbox, name + self.marker)
            durable.unlink(self.inbox, name)


def holder(path: Path) -> int | None:
    """Give the pid of the daemon that runs on a spool; None when none does, 0 when its pid is not known."""
    try:
        fd = os.open(path / LOCK, os.O_RDONLY | _LOCK_FLAGS)
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


def _unopened(path: Path, fault: OSError) -> SpoolError:
    """Say in one line which part of a spool is not what it should be."""
    name = os.path.basename(fault.filename or "")  # noqa: PTH119 - bytes, text or nothing
    if name in {*FOLDERS, LOCK} and (path / name).is_symlink():
        return SpoolError(f"spool {path}: {name} is a symbolic link; it must be the spool's own")
    kind = SpoolLostError if fault.errno in TEMPORARY else SpoolError
    return kind(f"spool {path}: {name or path}: {fault.strerror}")


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
