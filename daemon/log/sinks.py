"""Destinations of the log's lines.  No write raises or blocks for long: answering matters more than logging."""

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
    """A destination of lines."""

    lost: int
    """Number of lines that could not be written."""

    def msg(self, line: str) -> None:
        """Write one line."""

    def together(self) -> AbstractContextManager[None]:
        """Buffer lines until the end of this block, from all threads, and write them with few system calls."""


class _LineSink:
    """Encodes and buffers lines; a subclass writes them."""

    def __init__(self) -> None:
        # Several threads write lines; without a lock, parts of them could mix.
        self._lock = threading.Lock()
        self._buffer: list[bytes] | None = None
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            if self._buffer is None:
                self._write([data])
            else:
                self._buffer.append(data)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Buffer lines until the end of this block, from all threads, and write them with few system calls."""
        with self._lock:
            self._buffer = self._buffer or []  # another thread's block may have begun it
        try:
            yield
        finally:
            with self._lock:
                lines, self._buffer = self._buffer, None
                self._write(lines or [])

    def _write(self, lines: list[bytes]) -> None:
        raise NotImplementedError


class Stream(_LineSink):
    """Writes lines to a descriptor; drops and counts those that fail or would block too long.

    Parameters
    ----------
    fd
        Descriptor to write to.
    patience_s
        How long in seconds a line may wait for a slow reader; after that, lines are dropped until it reads again.

    Attributes
    ----------
    lost
        Number of lines that could not be written.

    """

    def __init__(self, fd: int, *, patience_s: float = 0.1) -> None:
        super().__init__()
        self._fd = fd
        self._patience_ms = patience_s * 1e3
        self._stalled = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def _write(self, lines: list[bytes]) -> None:
        # A pipe that polls as writable takes PIPE_BUF bytes without blocking; O_NONBLOCK would change the descriptor
        # for every process that shares it.
        for data in _packed(lines, select.PIPE_BUF):
            left = data
            try:
                while left and self._is_writable():
                    left = left[os.write(self._fd, left[: select.PIPE_BUF]) :]
            except OSError:
                pass  # the journal has ended, or the disk is full
            self.lost += left.count(b"\n")

    def _is_writable(self) -> bool:
        self._stalled = not self._poll.poll(0 if self._stalled else self._patience_ms)
        return not self._stalled

    debug = info = warning = error = critical = _LineSink.msg


class RotatedFile(_LineSink):
    """Appends lines to a file; a full file is renamed to `<name>.1`, the previous one to `<name>.2`, and so on.

    The standard library's handler is not used: after a failed write, it writes the lost bytes again in the middle of a
    later line, and it takes as long as all other steps of logging together.

    Parameters
    ----------
    path
        The file; created with mode 0640 if it does not exist.
    max_bytes
        Size at which the file is rotated.
    keep
        Number of full files to keep; with 0, the file is truncated instead.

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
            self._max_bytes = sys.maxsize  # a device or a pipe cannot be rotated

    def close(self) -> None:
        """Close the file; later lines are lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, lines: list[bytes]) -> None:
        """Write lines; each one whole or not at all, if the disk allows it."""
        for line in lines:
            self._write_one(line)

    def _write_one(self, data: bytes) -> None:
        try:
            # Not an empty file: rotation would not make space for a line that is longer than the limit.
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            written = os.write(self._fd, data)
        except OSError:
            self.lost += 1
            return
        self._size += written
        # On a full disk, remove the half line, so that every line in the file is valid JSON.
        if written < len(data):
            self.lost += 1
            self._remove(written)

    def _open(self) -> tuple[int, int]:
        # O_NONBLOCK: to open a FIFO that has no reader fails at once instead of blocking the start.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o640)
        return fd, os.fstat(fd).st_size

    def _rotate(self) -> None:
        if self._keep == 0:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        # If it does not exist, somebody moved it, or the last rotation failed after its rename.
        if self._path.exists():
            for number in range(self._keep, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number - 1).replace(self._numbered(number))
        fd, self._size = self._open()
        os.close(self._fd)
        self._fd = fd

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _remove(self, written: int) -> None:
        try:
            os.ftruncate(self._fd, self._size - written)
        except OSError:
            return
        self._size -= written


def _packed(lines: list[bytes], most: int) -> Iterator[bytes]:
    """Join lines into pieces of at most `most` bytes; a longer line is a piece of its own."""
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
    """Return whether a descriptor is systemd's journal.

    Parameters
    ----------
    fd
        The descriptor.
    stream
        The variable JOURNAL_STREAM: device and inode of the stream that systemd gave this process (systemd.exec(5)).

    """
    if not stream:
        return False
    try:
        facts = os.fstat(fd)
    except OSError:
        return False
    return stream == f"{facts.st_dev}:{facts.st_ino}"
