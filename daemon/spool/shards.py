"""Shards: several daemons on one spool, each with its share of the names, its own work/ and its own lock.

The file `lock` states how the spool is shared.  A daemon without shards locks it exclusively; shards hold a shared lock
on it, and its content is their number.  This keeps out a daemon without shards, and shards of another number.  The file
`lock.<number>` is the lock of one shard.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ..errors import SettingsError, SpoolBusyError
from ..files import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK: Final = "lock"

MOST: Final = 64
"""Largest number of shards."""

PATIENCE_S: Final = 0.25
"""Seconds that a starting daemon waits for a lock: `status` and other starts may hold it for a moment."""

_TEXT: Final = re.compile(r"([1-9]\d?)/([1-9]\d?)")
_FOLDER: Final = ".shard-"
_PID: Final = re.compile(r"[1-9][0-9]{0,8}")
# O_NONBLOCK: to open a pipe of this name would wait for a writer.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Shard `number` of `of`, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `I/N`; return None for an empty string, which means a daemon without shards.

        Raises
        ------
        SettingsError
            The text has another form, or a number is out of range.

        """
        if not text:
            return None
        found = _TEXT.fullmatch(text)
        if found is None or not int(found[1]) <= int(found[2]) <= MOST:
            raise SettingsError(f"shard: {text!r}, expected I/N with 1 <= I <= N <= {MOST}")
        return cls(number=int(found[1]), of=int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def folder(self) -> str:
        """Name of its folders in work/ and tmp/; the leading dot distinguishes them from lanes."""
        return f"{_FOLDER}{self.number}-of-{self.of}"

    def takes(self, name: str) -> bool:
        """Return whether this shard answers an input; this depends on the name alone and never changes.

        A checksum would not spread the names: CRC-32 sends all of 0.txt, 1.txt and 2.txt to one half.
        """
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8]) % self.of == self.number - 1


def own(file: str, shard: Shard | None) -> str:
    """Return a shard's own name for a file of the spool: `status-1.json` for `status.json`."""
    if shard is None:
        return file
    stem, dot, suffix = file.rpartition(".")
    return f"{stem}-{shard.number}{dot}{suffix}"


def lock(path: Path, shard: Shard | None) -> list[int]:
    """Lock a spool, or a shard of it, for this process; the kernel releases the lock when the process ends.

    A daemon that finds no other on the spool moves inputs that were claimed under another number of shards back to in/.

    Returns
    -------
    list of int
        The descriptors that hold the lock.

    Raises
    ------
    SpoolBusyError
        Another process has locked it; the message has its pid.

    """
    with ExitStack() as stack:
        fds = [_opened(path / LOCK, stack)]
        _wait(
            lambda: _try_take(path, fds[0], shard),
            lambda: f"spool {path}: {_holders(path, fds[0])}",
        )
        if shard is None:
            _write(fds[0], str(os.getpid()))
        else:
            fds.append(_opened(path / f"{LOCK}.{shard.number}", stack))
            _wait(
                lambda: try_lock(fds[1], fcntl.LOCK_EX),
                lambda: (
                    f"spool {path}: shard {shard} in use by process {pid_in(fds[1]) or 'unknown'}"
                ),
            )
            _write(fds[1], str(os.getpid()))
        stack.pop_all()
    return fds


def _opened(path: Path, stack: ExitStack) -> int:
    fd = os.open(path, _FLAGS, 0o640)
    stack.callback(os.close, fd)
    return fd


def _wait(taken: Callable[[], bool], who: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not taken():
        if time.monotonic() > deadline:
            raise SpoolBusyError(who())
        time.sleep(0.01)


def _try_take(path: Path, fd: int, shard: Shard | None) -> bool:
    if try_lock(fd, fcntl.LOCK_EX):
        _return_claims(path, shard)
        if shard is None:
            return True
        _write(fd, f"shards {shard.of}")
    elif shard is None:
        return False
    # Changing the exclusive into a shared lock is not atomic: another daemon may have come in between, so the content
    # is read after the shared lock is held.
    return try_lock(fd, fcntl.LOCK_SH) and _read(fd) == f"shards {shard.of}"


def _holders(path: Path, fd: int) -> str:
    number = shards_in(fd)
    if number is None:
        return f"in use by process {pid_in(fd) or 'unknown'}"
    pids = ", ".join(
        str(pid or "unknown") for pid in shard_holders(path, number).values() if pid is not None
    )
    return f"in use by {number} shards, processes {pids}"


def holder(path: Path, shard: Shard | None = None) -> int | None:
    """Return the pid of the daemon on a spool, or on a shard of it; without `shard`, the first of several shards.

    Returns None if no daemon is running, and 0 if its pid is unknown.
    """
    try:
        fd = os.open(path / LOCK, _READ)
    except OSError:
        return None
    try:
        alone = not try_lock(fd, fcntl.LOCK_SH)
        number = shards_in(fd)
        if alone:
            return pid_in(fd) if shard is None else None
    finally:
        os.close(fd)
    if number is None or (shard is not None and shard.of != number):
        return None
    pids = shard_holders(path, number)
    if shard is not None:
        return pids[shard.number]
    return next((pid for pid in pids.values() if pid is not None), None)


def sharing(path: Path) -> dict[int, int | None]:
    """Return the pid of each shard's daemon as `shard_holders` does; an empty dict if the spool has no shards."""
    try:
        fd = os.open(path / LOCK, _READ)
    except OSError:
        return {}
    try:
        number = shards_in(fd)
    finally:
        os.close(fd)
    return {} if number is None else shard_holders(path, number)


def shard_holders(path: Path, number: int) -> dict[int, int | None]:
    """Return the pid of each shard's daemon: None if it is not running, 0 if its pid is unknown."""
    found: dict[int, int | None] = {}
    for i in range(1, number + 1):
        found[i] = None
        with suppress(OSError):
            fd = os.open(path / f"{LOCK}.{i}", _READ)
            try:
                found[i] = None if try_lock(fd, fcntl.LOCK_SH) else pid_in(fd)
            finally:
                os.close(fd)
    return found


def _return_claims(path: Path, shard: Shard | None) -> None:
    """Move inputs claimed under another number of shards back to in/, and empty those shards' tmp/."""
    for lane in ("", *lanes(path)):
        for folder in _foreign(path / "work" / lane, shard):
            _return(folder, path / "in" / lane)
        for folder in _foreign(path / "tmp" / lane, shard):
            if folder.name.startswith(_FOLDER):
                for file in folder.iterdir():
                    file.unlink()


def _foreign(folder: Path, shard: Shard | None) -> Iterator[Path]:
    """Yield the folders that daemons with another number of shards, or with none, have used."""
    if shard is not None:  # a daemon without shards works in the folder itself
        yield folder
    ours = "" if shard is None else f"-of-{shard.of}"
    for each in folder.glob(f"{_FOLDER}*"):
        if not ours or not each.name.endswith(ours):
            yield each


def _return(work: Path, inbox: Path) -> None:
    source, target = os.open(work, durable.FOLDER_FLAGS), os.open(inbox, durable.FOLDER_FLAGS)
    try:
        names = [name for name in durable.listing(source) if not name.startswith(".")]
        for name in names:
            # The name may exist in in/: as the same file, half claimed, or as a newer file; the older one then stays.
            # So does a file that can be neither linked nor renamed, until the next start.
            try:
                durable.link(source, name, target, name)
            except FileExistsError:
                continue
            except OSError as fault:
                if fault.errno not in durable.NOT_LINKED:
                    raise
                with suppress(OSError):
                    durable.rename_free(source, name, target, name)
        # Before any name is removed here, as in `reconcile`: otherwise a power cut could take away both names.
        os.fsync(target)
        for name in names:
            if durable.same_file(durable.look(source, name), durable.look(target, name)):
                durable.unlink(source, name)
    finally:
        os.close(source)
        os.close(target)


def lanes(path: Path) -> list[str]:
    """Return the names of a spool's lanes: the folders that are in in/ and in work/."""
    try:
        with os.scandir(path / "work") as entries:
            found = [e.name for e in entries if durable.is_folder(e)]
    except OSError:
        return []
    return sorted(
        name for name in found if not name.startswith(".") and (path / "in" / name).is_dir()
    )


def parts(folder: Path) -> list[Path]:
    """Return a folder of a spool and the folders of the shards in it."""
    return [folder, *sorted(folder.glob(f"{_FOLDER}*"))]


def try_lock(fd: int, how: int) -> bool:
    """Lock a file if no other process has locked it; return whether that worked."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pid_in(fd: int) -> int:
    """Read the pid in a lock file; 0 if there is none, whatever else somebody has written there."""
    text = _read(fd)
    return int(text) if _PID.fullmatch(text) else 0


def shards_in(fd: int) -> int | None:
    """Read the number of shards in a lock file; None if a daemon without shards wrote it."""
    kind, _, number = _read(fd).partition(" ")
    known = kind == "shards" and _PID.fullmatch(number) and int(number) <= MOST
    return int(number) if known else None


def _read(fd: int) -> str:
    try:
        return os.pread(fd, 20, 0).decode("ascii", errors="replace").strip()
    except OSError:  # a pipe or a device
        return ""


def _write(fd: int, text: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{text}\n".encode(), 0)
