"""Shards: several daemons on one spool, each with its share of the names, its own work/ and its own lock.

`lock` says how the spool is shared: a daemon alone holds it exclusively; shards hold it together, and its content says
how many there are.  So a daemon alone, and shards of another number, are kept out.  `lock.<number>` is a shard's own.
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

PATIENCE_S: Final = 0.25
"""How long a starting daemon waits for a lock: `status` holds it for an instant, and so does another that starts."""

_TEXT: Final = re.compile(r"([1-9]\d?)/([1-9]\d?)")
_FOLDER: Final = ".shard-"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One of `of` shards, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `I/N`; None for nothing: a daemon alone.

        Raises
        ------
        SettingsError
            It is none.

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
        """Name of its folders in work/ and tmp/; the dot keeps them from being lanes."""
        return f"{_FOLDER}{self.number}-of-{self.of}"

    def takes(self, name: str) -> bool:
        """Say whether an input is this shard's, by its name: the same on every machine and for good.

        Checksums will not do: CRC-32 sends all of 0.txt, 1.txt and 2.txt to one half.
        """
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8]) % self.of == self.number - 1


def own(file: str, shard: Shard | None) -> str:
    """Name a file of the spool that each shard has for itself: `status-1.json` for `status.json`."""
    if shard is None:
        return file
    stem, dot, suffix = file.rpartition(".")
    return f"{stem}-{shard.number}{dot}{suffix}"


def lock(path: Path, shard: Shard | None) -> list[int]:
    """Take a spool, or a shard of it, for this process; the kernel gives it back when the process ends.

    Whoever finds nobody else there gives inputs that daemons of another layout had in hand back to in/.

    Returns
    -------
    list of int
        Descriptors that hold it.

    Raises
    ------
    SpoolBusyError
        Another process has it, by its pid.

    """
    with ExitStack() as stack:
        fds = [_opened(path / LOCK, stack)]
        _wait(lambda: _take(path, fds[0], shard), lambda: f"spool {path}: {_who(path, fds[0])}")
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


def _take(path: Path, fd: int, shard: Shard | None) -> bool:
    if try_lock(fd, fcntl.LOCK_EX):
        _give_back(path, shard)
        if shard is None:
            return True
        _write(fd, f"shards {shard.of}")
    elif shard is None:
        return False
    # From here on others may be there as well, and between the two locks nobody has it: so the content is read last.
    return try_lock(fd, fcntl.LOCK_SH) and _read(fd) == f"shards {shard.of}"


def _who(path: Path, fd: int) -> str:
    number = shards_in(fd)
    if number is None:
        return f"in use by process {pid_in(fd) or 'unknown'}"
    pids = ", ".join(
        str(pid or "unknown") for pid in shard_holders(path, number).values() if pid is not None
    )
    return f"in use by daemons of {number} shards, processes {pids}"


def holder(path: Path, shard: Shard | None = None) -> int | None:
    """Give the pid of the daemon that runs on a spool, or on a shard of it, or the first of those of its shards.

    None when none does, 0 when its pid is not known.
    """
    try:
        fd = os.open(path / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
    """Give the pid of the daemon of each shard as in `shard_holders`; empty where a spool is not shared."""
    try:
        fd = os.open(path / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        number = shards_in(fd)
    finally:
        os.close(fd)
    return {} if number is None else shard_holders(path, number)


def shard_holders(path: Path, number: int) -> dict[int, int | None]:
    """Give the pid of the daemon of each shard; None where none runs, 0 where its pid is not known."""
    found: dict[int, int | None] = {}
    for i in range(1, number + 1):
        found[i] = None
        with suppress(OSError):
            fd = os.open(path / f"{LOCK}.{i}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found[i] = None if try_lock(fd, fcntl.LOCK_SH) else pid_in(fd)
            finally:
                os.close(fd)
    return found


def _give_back(path: Path, shard: Shard | None) -> None:
    """Empty the work/ and tmp/ of other layouts, while nobody else is there."""
    for lane in ("", *lanes(path)):
        for folder in _foreign(path / "work" / lane, shard):
            _return(folder, path / "in" / lane)
        for folder in _foreign(path / "tmp" / lane, shard):
            if folder.name.startswith(_FOLDER):
                for file in folder.iterdir():
                    file.unlink()


def _foreign(folder: Path, shard: Shard | None) -> Iterator[Path]:
    """Give the folders in which daemons of another layout keep their work."""
    if shard is not None:
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
            with suppress(
                FileExistsError
            ):  # half claimed, or a newer one of that name: then it waits here
                durable.link(source, name, target, name)
        os.fsync(target)
        for name in names:
            if durable.same_file(durable.look(source, name), durable.look(target, name)):
                durable.unlink(source, name)
    finally:
        os.close(source)
        os.close(target)


def lanes(path: Path) -> list[str]:
    """Give the names of a spool's lanes: the folders in in/ that a daemon has work/ for as well."""
    try:
        with os.scandir(path / "work") as entries:
            found = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(
        name for name in found if not name.startswith(".") and (path / "in" / name).is_dir()
    )


def parts(folder: Path) -> list[Path]:
    """Give a folder of a spool, and those of the shards in it."""
    return [folder, *sorted(folder.glob(f"{_FOLDER}*"))]


def try_lock(fd: int, how: int) -> bool:
    """Take a lock if nobody is in the way."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pid_in(fd: int) -> int:
    """Read the pid in a lock; 0 when there is none."""
    text = _read(fd)
    return int(text) if text.isdigit() else 0


def shards_in(fd: int) -> int | None:
    """Read the number of shards in a lock; None when it is a daemon's alone."""
    kind, _, number = _read(fd).partition(" ")
    return int(number) if kind == "shards" and number.isdigit() else None


def _read(fd: int) -> str:
    return os.pread(fd, 20, 0).decode(errors="replace").strip()


def _write(fd: int, text: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{text}\n".encode(), 0)
