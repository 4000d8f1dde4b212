"""Where the log's lines go; none of these ever raises or waits long, because the log is never worth a file."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

STANDARD_OUTPUT: Final = 1


class Sink(Protocol):
    """Takes lines."""

    lost: int
    """Lines that could not be written."""

    def msg(self, line: str) -> None:
        """Write one line."""

    def together(self) -> AbstractContextManager[None]:
        """Hold the lines of this block back, whoever writes them, and write them at its end with few calls."""


class _LineSink:
    """What all sinks do with lines before they are written."""

    def __init__(self) -> None:
        # Lines come from several threads; parts of them would mix.
        self._alone = threading.Lock()
        self._held: list[bytes] | None = None
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._alone:
            if self._held is None:
                self._write([data])
            else:
                self._held.append(data)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold the lines of this block back, whoever writes them, and write them at its end with few calls."""
        with self._alone:
            self._held = self._held or []  # another block's lines are kept
        try:
            yield
        finally:
            with self._alone:
                lines, self._held = self._held, None
                self._write(lines or [])

    def _write(self, lines: list[bytes]) -> None:
        raise NotImplementedError


class Stream(_LineSink):
    """Writes lines to a descriptor and shrugs when that fails or takes too long.

    Parameters
    ----------
    fd
        Where to write.
    patience_s
        How long a reader may keep a line waiting; once it has, lines are dropped until it reads again.

    Attributes
    ----------
    lost
        Lines that could not be written.

    """

    def __init__(self, fd: int, *, patience_s: float = 0.1) -> None:
        super().__init__()
        self._fd = fd
        self._patience_ms = patience_s * 1e3
        self._stalled = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def _write(self, lines: list[bytes]) -> None:
        # A pipe that polls as writable takes so many bytes without blocking.
        for data in _packed(lines, select.PIPE_BUF):
            left = data
            try:
                while left and self._is_writable():
                    left = left[os.write(self._fd, left[: select.PIPE_BUF]) :]
            except OSError:
                pass  # the journal's end, or a full disk
            self.lost += left.count(b"\n")

    def _is_writable(self) -> bool:
        self._stalled = not self._poll.poll(0 if self._stalled else self._patience_ms)
        return not self._stalled

    debug = info = warning = error = critical = _LineSink.msg


class RotatedFile(_LineSink):
    """Appends lines to a file; when it is full, it becomes `<name>.1`, the one before that `<name>.2`, and so on.

    The standard library's handler keeps what it could not write and tries it again in the middle of a later line,
    and costs as much as the rest of the log together; hence this one.

    Parameters
    ----------
    path
        The file; made with mode 0640 when it does not exist.
    max_bytes
        A line that would make the file larger goes into a new one.
    keep
        Full files to keep beside it; 0 begins the same file anew.

    Raises
    ------
    SettingsError
        The file cannot be opened for writing.

    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        try:
            self._fd, self._size = self._open()
        except OSError as fault:
            raise SettingsError(f"log file {path}: {fault.strerror}") from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self._max_bytes = (
                sys.maxsize
            )  # a device or a pipe holds nothing that could be put aside

    def close(self) -> None:
        """Give the descriptor back; later lines are lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, lines: list[bytes]) -> None:
        """Write lines, each whole or not at all as far as the disk allows it."""
        for line in lines:
            self._write_one(line)

    def _write_one(self, data: bytes) -> None:
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            written = os.write(self._fd, data)
        except OSError:
            self.lost += 1
            return
        self._size += written
        # On a full disk, the half line is taken back, so that every line is JSON.
        if written < len(data):
            self.lost += 1
            self._take_back(written)

    def _open(self) -> tuple[int, int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o640)
        return fd, os.fstat(fd).st_size

    def _rotate(self) -> None:
        if self._keep == 0:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        if self._path.exists():  # else somebody took it, or it could not be made anew the last time
            for number in range(self._keep, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number - 1).replace(self._numbered(number))
        fd, self._size = self._open()
        os.close(self._fd)
        self._fd = fd

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _take_back(self, written: int) -> None:
        try:
            os.ftruncate(self._fd, self._size - written)
        except OSError:
            return
        self._size -= written


def _packed(lines: list[bytes], most: int) -> Iterator[bytes]:
    """Join lines to pieces of at most so many bytes; a longer line is a piece of its own."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and size + len(line) > most:
            yield b"".join(some)
            some, size = [], 0
        some.append(line)
        size += len(line)
    if some:
        yield b"".join(some)


def goes_to_journal(fd: int, stream: str | None) -> bool:
    """Say whether a descriptor is systemd's journal.

    Parameters
    ----------
    fd
        The descriptor.
    stream
        The environment's JOURNAL_STREAM: device and inode of what systemd gave the process (systemd.exec(5)).

    """
    if not stream:
        return False
    try:
        facts = os.fstat(fd)
    except OSError:
        return False
    return stream == f"{facts.st_dev}:{facts.st_ino}"
