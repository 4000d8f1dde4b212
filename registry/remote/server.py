"""Serve a registry over HTTP as a read-only OCI registry, for edge boxes and other tools.

The server writes nothing and takes no lock, so any number of servers and writers can use one registry at the same time.
It has neither encryption nor authentication: between machines, put a proxy in front of it that adds both.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, shown
from .endpoint import Reply, answer, refusal
from .stop_signals import stopping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

    from ..store import Registry

__all__ = ["Server", "serve"]

MAX_CONNECTIONS: Final = 1024
"""Most connections at once; each has at most one piece of a file in memory."""
PATIENCE_S: Final = 1.0
"""Seconds for which a connection may wait with its request before it must give way to a new one."""
REQUEST_S: Final = 30.0
"""Longest time in seconds from the connection, or the last response, to the end of a request's headers."""
RESPONSE_S: Final = 60.0
"""Longest time in seconds for a response, ..."""
LEAST_RATE: Final = 16_000
"""... plus a second for so many bytes of it: the slowest client that this registry's own `pull` would wait for."""
_LINGER_S: Final = 1.0
_MAX_HEAD: Final = 2**16
_PIECE: Final = 2**16
_WORKERS: Final = 8
"""Threads that read and verify files."""
_SPARE_FILES: Final = 64
"""Descriptors that are left for everything but connections."""
_READING: Final = {"GET", "HEAD"}
_WRITING: Final = {"PUT", "POST", "PATCH", "DELETE", "OPTIONS"}
_REQUEST_LINE: Final = re.compile(rb"[!-~]+ [!-~]+ HTTP/[0-9.]+\r?\n")
_LISTEN: Final = re.compile(
    r"(?:(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]{1,5})"
)
_BUSY: Final = (
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class _Request(BaseHTTPRequestHandler):
    """A request whose headers have arrived, as the standard library reads them."""

    protocol_version = "HTTP/1.1"

    def __init__(self, head: bytes) -> None:
        self.rfile = io.BytesIO(head)
        self.raw_requestline = self.rfile.readline(_MAX_HEAD + 1)
        self._problems: list[tuple[int, str]] = []
        self.command = self.path = ""
        if not self.parse_request():
            self._problems.append((400, "Bad request syntax"))
        elif self.command not in _READING | _WRITING:
            self._problems.append((501, f"Unsupported method ({shown(self.command)})"))
        # The unread body would be parsed as the next request.
        self.has_body = self.problem is None and (
            self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        )
        if self.has_body or self.problem is not None or self.command in _WRITING:
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, _: str | None = None) -> None:
        """Note what is wrong with the request."""
        self._problems.append((int(code), message or HTTPStatus(code).phrase))

    @property
    def problem(self) -> tuple[int, str] | None:
        """The status and text of what is wrong with the request; None if it can be answered."""
        return self._problems[0] if self._problems else None

    def handle_expect_100(self) -> bool:
        """Expect no body."""
        return True


class _TooLong(Exception):
    """The headers of a request are longer than `_MAX_HEAD`."""


class Server:
    """An HTTP server for one registry: one thread for all connections, and a few that read files.

    A connection costs nothing but its descriptors while its client does nothing, or takes a response slowly. When there
    are `MAX_CONNECTIONS`, the one that has waited longest for a request gives way to a new one.

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

    def __init__(self, registry: Registry, listen: str, log: FilteringBoundLogger) -> None:
        self.root = registry.root
        self.log = log
        self._connections: set[asyncio.Task[Any]] = set()
        self.waiting: dict[asyncio.Task[Any], float] = {}  # the longest-waiting first
        self.ending = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        match = _LISTEN.fullmatch(listen)
        if match is None or int(match["port"]) > 65535:
            raise BadInput(
                f"listen {shown(listen)}: must be HOST:PORT or PORT, such as 127.0.0.1:5000"
            )
        host = (match["host"] or "127.0.0.1").strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (host, int(match["port"])), family=family, backlog=MAX_CONNECTIONS
            )
        except OSError as e:
            raise BadInput(f"listen {shown(listen)}: {e.strerror or e}") from e
        self.server_name, self.server_port = self._socket.getsockname()[:2]

    @property
    def address(self) -> str:
        """The address the server listens on, as `HOST:PORT`."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"{host}:{self.server_port}"

    def serve_forever(self, _: float = 0.0) -> None:
        """Serve until another thread calls `stop`."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Accept no more requests, and end when the responses in progress are sent; returns at once."""
        self.ending.set()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self._woken.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        listener = await asyncio.start_server(
            self._connected, sock=self._socket, limit=_MAX_HEAD, backlog=MAX_CONNECTIONS
        )
        with ThreadPoolExecutor(_WORKERS) as pool:
            self.pool = pool
            if not self.ending.is_set():
                await self._woken.wait()
            listener.close()
            # Idle connections end at once; a request in progress still gets its response.
            for task in list(self.waiting):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until it ends; nothing that happens to it disturbs another."""
        client = (writer.get_extra_info("peername") or ("unknown",))[0]
        task = asyncio.current_task()
        if task is None or self.ending.is_set() or not self._has_room():
            self.log.warning("serve.busy", client=client)
            writer.write(_BUSY)
            writer.close()
            return
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer, client, task).serve()
        except asyncio.CancelledError:
            pass  # it gives way to another, or the server stops
        except TimeoutError:
            self.log.warning("serve.lost", client=client, said="too slow")
        except OSError as e:
            self.log.warning("serve.lost", client=client, said=str(e))
        except Exception as e:  # noqa: BLE001 - it costs this connection alone
            self.log.error("serve.failed", client=client, error=repr(e))  # noqa: TRY400 - one line
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    def _has_room(self) -> bool:
        """Return whether there is room for another connection; if need be, end the one that waits longest."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if len(self._connections) < min(MAX_CONNECTIONS, max(1, (files - _SPARE_FILES) // 2)):
            return True
        for task, since in islice(self.waiting.items(), 1):
            if time.monotonic() - since >= PATIENCE_S:
                task.cancel()
                del self.waiting[task]
                return True
        return False


class _Connection:
    """One connection, and the requests on it one after the other."""

    def __init__(
        self,
        server: Server,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: str,
        task: asyncio.Task[Any],
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._client = client
        self._task = task
        # asyncio sets it only on sockets that name their protocol; the end of a response would wait for an ACK.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # `drain` then waits until the system has all of it, and not only most.
        writer.transport.set_write_buffer_limits(high=0)

    async def serve(self) -> None:
        """Answer requests until the client or a problem ends the connection.

        Raises
        ------
        TimeoutError
            The client is too slow.
        OSError
            The connection is lost.

        """
        server = self._server
        while not server.ending.is_set():
            server.waiting[self._task] = time.monotonic()
            try:
                async with asyncio.timeout(REQUEST_S):
                    head = await self._head()
            except _TooLong:
                await self._refuse(431, f"more than {_MAX_HEAD} bytes of headers")
                return
            finally:
                server.waiting.pop(self._task, None)
            if not head:
                return
            request = _Request(head)
            if request.problem is not None:
                await self._refuse(*request.problem)
                return
            await self._answer(request)
            if request.close_connection:
                await self._linger()
                return

    async def _head(self) -> bytes:
        """Read the headers of a request; nothing if the client has ended the connection."""
        lines: list[bytes] = []
        size = 0
        try:
            while not lines or lines[-1].strip():
                lines.append(await self._reader.readuntil(b"\n"))
                size += len(lines[-1])
                if size > _MAX_HEAD:
                    raise _TooLong
                if not _REQUEST_LINE.match(lines[0]):
                    break  # TLS or HTTP/0.9: no headers will follow
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            raise _TooLong from None
        return b"".join(lines)

    async def _answer(self, request: _Request) -> None:
        """Answer a request and log it."""
        server, started = self._server, time.perf_counter()
        more = {}
        if request.command in _READING:
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(server.pool, answer, server.root, request.path)
        else:
            reply = refusal(405, "UNSUPPORTED", "this registry can only be read")
            more["Allow"] = "GET, HEAD"
        try:
            await self._send(request, reply, more)
        finally:
            if not isinstance(reply.body, bytes):
                reply.body.close()
        log = server.log
        (log.info if reply.error is None else log.error)(
            "serve.request",
            client=self._client,
            method=request.command,
            path=request.path,
            status=reply.status,
            size_bytes=len(reply.body),
            duration_ms=round(1e3 * (time.perf_counter() - started), 3),
            **({} if reply.error is None else {"error": reply.error}),
        )

    async def _refuse(self, status: int, message: str) -> None:
        """Answer a malformed request and log it."""
        self._server.log.warning(
            "serve.bad_request", client=self._client, said=f"code {status}, message {message}"
        )
        await self._send(None, refusal(status, "UNSUPPORTED", message), {})
        await self._linger()

    async def _send(self, request: _Request | None, reply: Reply, more: dict[str, str]) -> None:
        headers = {
            "Server": "spikewatch-registry",
            "Date": formatdate(usegmt=True),
            **reply.headers,
            **more,
            "Content-Length": str(len(reply.body)),
            "Docker-Distribution-Api-Version": "registry/2.0",
        }
        if request is None or request.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        async with asyncio.timeout(RESPONSE_S + len(reply.body) / LEAST_RATE):
            self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            if request is None or request.command != "HEAD":
                for piece in _pieces(reply):
                    self._writer.write(piece)
                    await self._writer.drain()
            await self._writer.drain()

    async def _linger(self) -> None:
        """Let the client read the response before the connection ends: to close it with unread data would reset it."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_PIECE):
                    pass


def _pieces(reply: Reply) -> Iterable[bytes]:
    if not isinstance(reply.body, bytes):
        return reply.body
    body = reply.body
    return (body[start : start + _PIECE] for start in range(0, len(body), _PIECE))


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
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2 * MAX_CONNECTIONS + _SPARE_FILES
    wanted = enough if most == resource.RLIM_INFINITY else min(enough, most)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), most)
    )
    server = Server(registry, listen, log)
    with stopping() as stop:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        log.info("serve.ready", listen=server.address, registry=str(registry.root))
        stop.wait()
        server.stop()
        thread.join()
    log.info("serve.stopped")
