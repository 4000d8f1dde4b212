"""Health, status and metrics over HTTP: `/livez`, `/readyz`, `/status`, `/metrics`.  For reading only."""

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
"""A client that takes longer to ask, or to take the answer, is left."""

MAX_CLIENTS: Final = 16
"""Further clients are turned away at once; a request's size is bounded by http.server (64 KiB a line, 100 headers)."""

_POLL_S: Final = 0.2
"""The server looks so often whether it is to end; so long may the daemon's end be delayed by it."""

_TEXT: Final = "text/plain; charset=utf-8"


def address(text: str, *, public: bool) -> tuple[str, int]:
    """Read `HOST:PORT`, where the host is an IP address or `localhost`; port 0 takes a free one.

    Parameters
    ----------
    text
        The address.
    public
        Whether it may be one that other machines reach: there is neither a password nor encryption.

    Raises
    ------
    DaemonError
        It is none, or reaches further than it may.

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
            f"http {text!r}: other machines would reach it; --http-public allows that"
        )
    return host, int(port)


class Endpoint:
    """Serves an overview, in threads of its own, until it is left.

    Parameters
    ----------
    overview
        What there is to say.
    host, port
        See `address`.

    Attributes
    ----------
    address
        Where it is served, `HOST:PORT`.

    Raises
    ------
    DaemonError
        The address is in use, or not this machine's.

    """

    def __init__(self, overview: Snapshot, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = _Server(overview, host, port)
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
    """As http.server's, which would ask the DNS for its own name at the start."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a client that dawdles must not keep the daemon from its end
    request_queue_size = MAX_CLIENTS

    def __init__(self, overview: Snapshot, host: str, port: int) -> None:
        self.overview = overview
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__((host, port), _StatusHandler)

    @cached_property
    def registry(self) -> CollectorRegistry:
        """The metrics, whose library is loaded when they are first asked for."""
        from . import metrics  # noqa: PLC0415 - a daemon that nobody scrapes needs it not

        return metrics.registry(self.overview)

    def process_request(self, request: _Request, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was to be had
            self._room.release()
            raise

    def process_request_thread(self, request: _Request, client_address: Any) -> None:
        # http.server's own limit begins anew with every byte that comes.
        end = threading.Timer(TIMEOUT_S, _cut, [request])
        end.daemon = True
        try:
            end.start()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._room.release()

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that breaks off is none of the daemon's events, and standard error is not the log."""


def _cut(request: socket.socket) -> None:
    with suppress(OSError):  # it has just ended
        request.shutdown(socket.SHUT_RDWR)


class _StatusHandler(BaseHTTPRequestHandler):
    server_version = "spikewatchd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        answer = self._answers().get(path)
        if answer is None:
            code, kind, body = (
                404,
                _TEXT,
                b"not found: " + ", ".join(self._answers()).encode() + b"\n",
            )
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
        """Say nothing."""

    def _answers(self) -> dict[str, Callable[[], tuple[int, str, bytes]]]:
        overview = self._daemon.overview
        return {
            "/livez": lambda: _verdict(overview.hanging()),
            "/readyz": lambda: _verdict(overview.not_ready()),
            "/status": self._status,
            "/metrics": self._metrics,
        }

    @property
    def _daemon(self) -> _Server:
        return cast("_Server", self.server)

    def _status(self) -> tuple[int, str, bytes]:
        document = self._daemon.overview.document()
        return 200, "application/json", json.dumps(document).encode() + b"\n"

    def _metrics(self) -> tuple[int, str, bytes]:
        from . import metrics  # noqa: PLC0415 - a daemon that nobody scrapes needs it not

        body, kind = metrics.page(self._daemon.registry, self.headers.get("Accept", ""))
        return 200, kind, body


def _verdict(problems: list[str]) -> tuple[int, str, bytes]:
    text = "\n".join(problems or ["ok"])
    return 503 if problems else 200, _TEXT, text.encode() + b"\n"
