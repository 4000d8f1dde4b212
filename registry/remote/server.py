"""Serve a registry over HTTP as a read-only OCI registry, for edge boxes and other tools.

The server writes nothing and takes no lock, so any number of servers and writers can use one registry at the same time.
It has neither encryption nor authentication: between machines, put a proxy in front of it that adds both.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, shown
from .endpoint import Reply, answer, refusal
from .stop_signals import stopping

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from ..store import Registry

__all__ = ["Server", "serve"]

MAX_CONNECTIONS: Final = 32
"""Most connections at once; each has at most one file of 64 MiB in memory."""
SILENCE_S: Final = 30.0
"""Longest wait for a client in seconds, to send a request or to receive bytes."""
_LISTEN: Final = re.compile(
    r"(?:(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]{1,5})"
)
_BUSY: Final = (
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class _OciRequestHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, and logs each."""

    protocol_version = "HTTP/1.1"
    server_version = "spikewatch-registry"
    sys_version = ""
    timeout = SILENCE_S
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for an ACK
    server: Server

    def _read(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # the unread body would be parsed as the next request
        started = time.perf_counter()
        self._send(answer(self.server.registry.root, self.path), started)

    def _refuse(self) -> None:
        self.close_connection = True
        reply = refusal(405, "UNSUPPORTED", "this registry can only be read")
        self._send(reply, time.perf_counter(), Allow="GET, HEAD")

    def _send(self, reply: Reply, started: float, **more: str) -> None:
        self.send_response(reply.status)
        headers = {
            **reply.headers,
            **more,
            "Content-Length": str(len(reply.body)),
            "Docker-Distribution-Api-Version": "registry/2.0",
        }
        if self.close_connection:
            headers["Connection"] = "close"
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        log = self.server.log
        (log.info if reply.error is None else log.error)(
            "serve.request",
            client=self.client_address[0],
            method=self.command,
            path=self.path,
            status=reply.status,
            size_bytes=len(reply.body),
            duration_ms=round(1e3 * (time.perf_counter() - started), 3),
            **({} if reply.error is None else {"error": reply.error}),
        )

    do_GET = do_HEAD = _read  # noqa: N815 -- http.server's names
    do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815 -- http.server's names

    def log_message(self, *args: Any) -> None:
        """Log a malformed request as an event, not on standard error."""
        self.server.log.warning(
            "serve.bad_request", client=self.client_address[0], said=args[0] % args[1:]
        )

    def log_request(self, *_: Any) -> None:
        """Log nothing: `_send` logs each response."""


class Server(ThreadingHTTPServer):
    """An HTTP server for one registry, with one thread per connection.

    Parameters
    ----------
    registry
        The registry to serve.
    listen
        `HOST:PORT`, or only a port of 127.0.0.1; port 0 is any free port.
    log
        Receives one event per request.

    Raises
    ------
    BadInput
        The address is malformed, or the server cannot listen on it.

    """

    daemon_threads = False  # closing waits for responses that are being sent
    allow_reuse_address = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, registry: Registry, listen: str, log: FilteringBoundLogger) -> None:
        self.registry = registry
        self.log = log
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        match = _LISTEN.fullmatch(listen)
        if match is None or int(match["port"]) > 65535:
            raise BadInput(
                f"listen {shown(listen)}: must be HOST:PORT or PORT, such as 127.0.0.1:5000"
            )
        host = (match["host"] or "127.0.0.1").strip("[]")
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, int(match["port"])), _OciRequestHandler)
        except OSError as e:
            raise BadInput(f"listen {shown(listen)}: {e.strerror or e}") from e

    def server_bind(self) -> None:
        """Bind without looking up this machine's name: a slow name server would delay the start."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    @property
    def address(self) -> str:
        """The address the server listens on, as `HOST:PORT`."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"{host}:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or refuse it with status 503 if there are too many."""
        if not self._slots.acquire(blocking=False):
            self.log.warning("serve.busy", client=client_address[0])
            try:
                request.settimeout(1)
                request.sendall(_BUSY)
            finally:
                self.shutdown_request(request)
            return
        self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._slots.release()

    def handle_error(self, _: Any, client_address: Any) -> None:
        """Log the exception that ended a connection: a lost client, or a fault of the server."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.log.warning("serve.lost", client=client_address[0], said=str(error))
        else:
            self.log.error("serve.failed", client=client_address[0], error=repr(error))

    def stop(self) -> None:
        """Accept no more requests, finish those in progress, and close."""
        self.shutdown()
        for connection in list(self._open):
            # Ends idle connections at once; a request in progress still sends its response.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()


def serve(registry: Registry, listen: str, log: FilteringBoundLogger) -> None:
    """Serve a registry until SIGTERM or SIGINT.

    Parameters
    ----------
    registry
        The registry to serve.
    listen
        Address to listen on, see `Server`.
    log
        Receives one event per request, at the start and at the end.

    Raises
    ------
    BadInput
        The address is malformed, or the server cannot listen on it.

    """
    server = Server(registry, listen, log)
    with stopping() as stop:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        log.info("serve.ready", listen=server.address, registry=str(registry.root))
        stop.wait()
        server.stop()
        thread.join()
    log.info("serve.stopped")
