"""Read-only HTTP endpoint for health, status and metrics: `/livez`, `/readyz`, `/status` and `/metrics`."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from contextlib import suppress
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, Final, Self, cast

from ..errors import DaemonError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from .snapshot import Snapshot

    _Request = socket.socket | tuple[bytes, socket.socket]

TIMEOUT_S: Final = 5.0
"""Longest time in seconds for a request and its response together; the connection is then cut."""

MAX_CLIENTS: Final = 16
"""Most clients at a time; more are refused.  http.server bounds a request's size (64 KiB a line, 100 headers)."""

_POLL_S: Final = 0.2
"""Period in seconds at which the server checks whether to end; it delays the daemon's end by at most this."""

_TEXT: Final = "text/plain; charset=utf-8"


def address(text: str, *, public: bool) -> tuple[str, int]:
    """Parse `HOST:PORT`, where the host is an IP address or `localhost`; port 0 selects a free one.

    Parameters
    ----------
    text
        The address.
    public
        Whether other machines may reach it; there is neither a password nor encryption.

    Raises
    ------
    DaemonError
        The text is not an address, or other machines could reach it without `public`.

    """
    host, colon, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        parsed = None
    if (
        not colon
        or parsed is None
        or not (port.isascii() and port.isdecimal())
        or int(port) > 65535
    ):
        raise DaemonError(
            f"http {text!r}: expected ADDRESS:PORT, like 127.0.0.1:9464 or [::1]:9464"
        )
    if not parsed.is_loopback and not public:
        raise DaemonError(
            f"http {text!r}: other machines could reach it; allow that with --http-public"
        )
    return host, int(port)


class Endpoint:
    """Serves a snapshot over HTTP, in threads of its own, while it is entered.

    Parameters
    ----------
    snapshot
        The state to serve.
    host, port
        See `address`.

    Attributes
    ----------
    address
        The address in use, `HOST:PORT`.

    Raises
    ------
    DaemonError
        The address is in use, or is not one of this machine.

    """

    def __init__(self, snapshot: Snapshot, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = _Server(snapshot, host, port)
        except OSError as fault:
            raise DaemonError(f"http {shown}:{port}: {fault.strerror}") from None
        self.address = f"{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    """A threading server without http.server's own, which would look up its host name in the DNS at the start."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a slow client must not delay the daemon's end
    request_queue_size = MAX_CLIENTS

    def __init__(self, snapshot: Snapshot, host: str, port: int) -> None:
        self.snapshot = snapshot
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._slots = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__((host, port), _StatusHandler)

    @cached_property
    def registry(self) -> CollectorRegistry:
        """The metrics; their library is loaded at the first request for them."""
        from . import metrics  # noqa: PLC0415 - needed only if somebody scrapes

        return metrics.registry(self.snapshot)

    def process_request(self, request: _Request, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._slots.release()
            raise

    def process_request_thread(self, request: _Request, client_address: Any) -> None:
        # Not http.server's own timeout, which restarts with every received byte: a slow client could hold a slot.
        end = threading.Timer(TIMEOUT_S, _cut, [request])
        end.daemon = True
        try:
            end.start()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._slots.release()

    def handle_error(self, *_: object) -> None:
        """Ignore a connection that breaks off: it is not an event, and the library would write to standard error."""


def _cut(request: socket.socket) -> None:
    with suppress(OSError):  # it has already ended
        request.shutdown(socket.SHUT_RDWR)


class _StatusHandler(BaseHTTPRequestHandler):
    server_version = "spikewatchd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        answer = self._answers().get(path)
        if answer is None:
            found = ", ".join(self._answers())
            code, kind, body = 404, _TEXT, f"not found: {found}\n".encode()
        else:
            code, kind, body = answer()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Log nothing; requests are not events of the daemon."""

    def _answers(self) -> dict[str, Callable[[], tuple[int, str, bytes]]]:
        snapshot = self._daemon.snapshot
        return {
            "/livez": lambda: _verdict(snapshot.hanging()),
            "/readyz": lambda: _verdict(snapshot.not_ready()),
            "/status": self._status,
            "/metrics": self._metrics,
        }

    @property
    def _daemon(self) -> _Server:
        return cast("_Server", self.server)

    def _status(self) -> tuple[int, str, bytes]:
        document = self._daemon.snapshot.document()
        return 200, "application/json", json.dumps(document).encode() + b"\n"

    def _metrics(self) -> tuple[int, str, bytes]:
        from . import metrics  # noqa: PLC0415 - needed only if somebody scrapes

        body, kind = metrics.page(self._daemon.registry, self.headers.get("Accept", ""))
        return 200, kind, body


def _verdict(problems: list[str]) -> tuple[int, str, bytes]:
    text = "\n".join(problems or ["ok"])
    return 503 if problems else 200, _TEXT, text.encode() + b"\n"
