"""Messages to the service manager: sd_notify(3), one datagram each, without a library."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


class Notifier:
    """Sends messages to a service manager; without one, it does nothing.

    Parameters
    ----------
    address
        Path of a datagram socket, or `@` and an abstract name; empty if there is no service manager.
    watchdog_s
        Longest time in seconds between two heartbeats that the manager allows; None if it expects none.

    """

    def __init__(self, address: str = "", *, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        # The kernel marks an abstract address, which is no file, by a leading zero byte instead of @.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # noqa: FBT003 - a slow manager must not block the daemon

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Find the manager of this process by the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        # Without WATCHDOG_PID, the watchdog is meant for every process of the unit.
        expected = usec.isdecimal() and int(usec) > 0 and pid in {"", str(os.getpid())}
        return cls(
            environment.get("NOTIFY_SOCKET", ""), watchdog_s=int(usec) * 1e-6 if expected else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """Report that the start, or a reload, is complete."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that a reload begins.

        The datagram must contain the time of the monotonic clock.  Otherwise systemd (Type=notify-reload) rejects the
        reload and kills the daemon.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Send a status line, which `systemctl status` shows."""
        self._send("STATUS=" + text.replace("\n", " "))

    def extend(self, seconds: float) -> None:
        """Request more time for a start or a stop, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def alive(self) -> None:
        """Send a heartbeat."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            # A manager that does not listen, or is slow, is no reason to stop the work.
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
