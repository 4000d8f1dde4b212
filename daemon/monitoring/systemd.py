"""Tell the service manager how the daemon is: sd_notify(3), one datagram a message, without a library."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


class Notifier:
    """A service manager's socket, or none: then nothing is told.

    Parameters
    ----------
    address
        Path of a datagram socket, or `@` and an abstract name; empty for none.
    watchdog_s
        A sign of life is expected at least so often; None where none is.

    """

    def __init__(self, address: str = "", *, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # noqa: FBT003 - a manager that sleeps must not stop a file

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Find the manager that started this process: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        wanted = usec.isdecimal() and int(usec) > 0 and pid in {"", str(os.getpid())}
        return cls(
            environment.get("NOTIFY_SOCKET", ""), watchdog_s=int(usec) * 1e-6 if wanted else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """Say that the start, or a reload, is over."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that a reload begins.

        The time must be the monotonic clock's and in the same datagram: otherwise systemd takes it for no reload, and
        kills (Type=notify-reload).
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line how it goes (`systemctl status` shows it)."""
        self._tell("STATUS=" + text.replace("\n", " "))

    def extend(self, seconds: float) -> None:
        """Ask for so much more time to start or to stop, from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def alive(self) -> None:
        """Give a sign of life."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            # A manager that does not listen is no reason to do anything else.
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
