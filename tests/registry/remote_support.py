"""A fake OCI registry on 127.0.0.1 that checks credentials, and fails in any way a test asks for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
import registry_support
from safetensors.numpy import save

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from spikewatch.registry import Pin, Registry

USER, PASSWORD = "edge", "s3cret:with colon"
IDENTITY = "refresh-me"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Request:
    """A request that the fake registry received."""

    method: str
    path: str
    authorization: str | None
    proxy_authorization: str | None
    body: bytes


@dataclass
class Fault:
    """How to misbehave for requests that match, and how often."""

    method: str
    path: str
    act: Callable[[Handler], None]
    times: int = 10**6


@dataclass
class State:
    """What the fake registry stores, how it behaves, and the requests it received.

    Attributes
    ----------
    access
        Required authentication: `anyone`, `basic` or `token`.
    blob_host
        URL to redirect requests for blobs to; None for no redirect.
    sends_digests
        Whether responses have a Docker-Content-Digest header.
    tokens
        Number of tokens issued; only the newest is valid.
    released
        Set at the end, to wake handlers that a test made wait.

    """

    url: str = ""
    access: str = "anyone"
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    blob_host: str | None = None
    sends_digests: bool = True
    tokens: int = 0
    released: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """Answers requests from the state, unless a fault matches."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the client's ACK of the head
    state: State

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        for key, value in ({"Content-Length": str(len(body))} | named).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_any(self) -> None:
        state = self.state
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorization = self.headers.get("Authorization")
        proxy_authorization = self.headers.get("Proxy-Authorization")
        state.requests.append(
            Request(self.command, self.path, authorization, proxy_authorization, self.body)
        )
        for fault in state.faults:
            if fault.times and fault.method == self.command and re.search(fault.path, self.path):
                fault.times -= 1
                fault.act(self)
                return
        if self.path.startswith("/token"):
            self.token(authorization)
        elif self.path.startswith("/elsewhere/"):
            self.blob(self.path.rpartition("/")[2])
        elif not self.allowed(authorization):
            challenge = (
                'Basic realm="registry"'
                if state.access == "basic"
                else f'Bearer realm="{state.url}/token",service="the, registry",scope="?"'
            )
            body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "who?"}]}).encode()
            self.reply(401, body, WWW_Authenticate=challenge)
        elif "/blobs/uploads/" in self.path:
            self.upload()
        elif "/tags/list" in self.path:
            self.tags()
        elif "/blobs/" in self.path:
            digest = self.path.rpartition("/")[2]
            if state.blob_host is not None and self.command == "GET":
                self.reply(307, Location=f"{state.blob_host}/elsewhere/{digest}")
            else:
                self.blob(digest)
        else:
            self.manifest(self.path.rpartition("/")[2])

    do_GET = do_HEAD = do_PUT = do_POST = do_any  # noqa: N815 -- http.server's names

    def allowed(self, authorization: str | None) -> bool:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {
            "anyone": True,
            "basic": authorization == f"Basic {pair}",
            "token": authorization == f"Bearer token-{self.state.tokens}",
        }[self.state.access]

    def token(self, authorization: str | None) -> None:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        form = parse_qs(self.body.decode() or urlsplit(self.path).query)
        known = authorization == f"Basic {pair}" or form.get("refresh_token") == [IDENTITY]
        if not known or form["service"] != ["the, registry"]:
            self.reply(401)
            return
        self.state.tokens += 1
        self.reply(200, json.dumps({"token": f"token-{self.state.tokens}"}).encode())

    def upload(self) -> None:
        if self.command == "POST":
            self.reply(202, Location=f"{self.path}one?state=x")
            return
        digest = parse_qs(urlsplit(self.path).query)["digest"][0]
        if sha256(self.body) != digest:
            self.reply(400)
            return
        self.state.blobs[digest] = self.body
        self.reply(201)

    def tags(self) -> None:
        """Send the list of tags, two on a page."""
        tags = sorted(tag for tag in self.state.manifests if ":" not in tag)
        start = int(parse_qs(urlsplit(self.path).query).get("from", ["0"])[0])
        more = f"{urlsplit(self.path).path}?from={start + 2}"
        link = {"Link": f'<{more}>; rel="next"'} if tags[start + 2 :] else {}
        page = tags[start : start + 2] or None  # Docker's registry sends null for an empty list
        self.reply(200, json.dumps({"name": "x", "tags": page}).encode(), **link)

    def blob(self, digest: str) -> None:
        if digest in self.state.blobs:
            self.reply(200, self.state.blobs[digest])
        else:
            self.reply(404)

    def manifest(self, wanted: str) -> None:
        manifests = self.state.manifests
        if self.command == "PUT":
            manifests[wanted] = manifests[sha256(self.body)] = self.body
            self.reply(201)
        elif wanted not in manifests:
            self.reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such thing"}]}')
        else:
            data = manifests[wanted]
            headers = {"Docker_Content_Digest": sha256(data)} if self.state.sends_digests else {}
            self.reply(200, data, Content_Type=MANIFEST_TYPE, **headers)


class FakeRegistry:
    """The fake registry's server; a context manager that stops it and closes every connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.state = State()
        handler = type("BoundHandler", (Handler,), {"state": self.state})
        self._server = Server(("127.0.0.1", 0), handler)
        self._server.tls = tls
        name = "127.0.0.1" if tls is None else "localhost"
        self.host = f"{name}:{self._server.server_port}"
        self.state.url = f"{'http' if tls is None else 'https'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.state.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def remote(self, tag: str = "") -> str:
        # HTTP is the default for this machine.
        scheme = "" if self._server.tls is None else "https://"
        return f"{scheme}{self.host}/models/trec{tag}"

    def fail(
        self, method: str, path: str, act: Callable[[Handler], None], times: int = 10**6
    ) -> None:
        self.state.faults.append(Fault(method, path, act, times))

    def counts(self) -> Mapping[str, int]:
        return Counter(request.method for request in self.state.requests)


class Server(ThreadingHTTPServer):
    """An HTTP or HTTPS server with one thread per connection."""

    daemon_threads = False
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Make the TLS handshake in the connection's thread: in the accepting thread, a failed one would end it."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that disconnect."""


def model_files(seed: str = "") -> dict[str, bytes]:
    """Return the files of a model like `registry_support`, but with a valid safetensors file."""
    files = registry_support.model_files(seed)
    tensor = np.frombuffer(files["core.safetensors"], np.uint8)
    return files | {"core.safetensors": save({"x": tensor})}


def publish(registry: Registry, version: str, alias: str | None = None) -> Pin:
    files = model_files(version)
    return registry.publish("trec", version, files, created=registry_support.CREATED, alias=alias)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def hang_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def docker_config(folder: Path, document: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(document))


def login(folder: Path, host: str) -> None:
    """Write Docker's config file as `docker login` does."""
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    docker_config(folder, {"auths": {host: {"auth": pair}}})
