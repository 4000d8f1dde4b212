"""The read-only endpoint: its responses, its limits, and that it never sends damaged content."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import oras.client
import pytest
import structlog
from foreign import needs, run_foreign
from registry_support import CREATED, snapshot
from remote_support import model_files, publish, sha256

from spikewatch.registry import BadInput, Pin, Registry, RemoteError, cli
from spikewatch.registry.remote import pull, server

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@contextmanager
def running(registry: Registry) -> Iterator[server.Server]:
    with structlog.testing.capture_logs():
        endpoint = server.Server(registry, "0", structlog.get_logger())
        thread = threading.Thread(target=endpoint.serve_forever, args=(0.01,))
        thread.start()
        yield endpoint
        endpoint.stop()
        thread.join()


@pytest.fixture
def endpoint(registry: Registry) -> Iterator[server.Server]:
    with running(registry) as found:
        yield found


@pytest.fixture
def pin(registry: Registry) -> Pin:
    return publish(registry, "1.0.0", "production")


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> Any:
        return json.loads(self.body)["errors"][0]["code"]


def request(endpoint: server.Server, method: str, path: str, body: bytes | None = None) -> Response:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.server_port, timeout=30)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return Response(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def test_manifests_are_served_by_version_alias_and_digest(
    endpoint: server.Server, pin: Pin
) -> None:
    assert request(endpoint, "GET", "/v2/").status == 200
    for wanted in ("1.0.0", "production", pin.digest):
        response = request(endpoint, "GET", f"/v2/trec/manifests/{wanted}")
        assert response.status == 200
        assert sha256(response.body) == response.headers["Docker-Content-Digest"] == pin.digest
        assert response.headers["Content-Type"] == MANIFEST
        head = request(endpoint, "HEAD", f"/v2/trec/manifests/{wanted}")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(response.body))


@pytest.mark.usefixtures("pin")
def test_files_are_served_by_digest(endpoint: server.Server) -> None:
    for data in model_files("1.0.0").values():
        response = request(endpoint, "GET", f"/v2/trec/blobs/{sha256(data)}")
        assert (response.status, response.body) == (200, data)
        assert request(endpoint, "HEAD", f"/v2/trec/blobs/{sha256(data)}").body == b""


def test_tags_are_listed_in_pages(endpoint: server.Server, registry: Registry) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        publish(registry, version, "production")
    path, seen = "/v2/trec/tags/list?n=3", []
    while path:
        response = request(endpoint, "GET", path)
        seen.append(json.loads(response.body)["tags"])
        path = response.headers.get("Link", "").partition(">")[0][1:]
    assert seen == [["1.0.0", "1.1.0", "1.2.0"], ["production"]]
    assert json.loads(request(endpoint, "GET", "/v2/trec/tags/list").body) == {
        "name": "trec",
        "tags": ["1.0.0", "1.1.0", "1.2.0", "production"],
    }
    for number in ("x", "-1", "10001", "0" * 5000):
        assert request(endpoint, "GET", f"/v2/trec/tags/list?n={number}").status == 400


def test_a_version_without_attachments_has_an_empty_list_of_referrers(
    endpoint: server.Server, pin: Pin
) -> None:
    response = request(endpoint, "GET", f"/v2/trec/referrers/{pin.digest}?artifactType=x")
    assert (response.status, json.loads(response.body)["manifests"]) == (200, [])
    assert response.headers["OCI-Filters-Applied"] == "artifactType"


NOTHING = f"sha256:{64 * '0'}"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/", 404, "NOT_FOUND"),
        ("/v2/trec", 404, "NOT_FOUND"),
        ("//[", 404, "NOT_FOUND"),
        ("/v2/trec/manifests/2.0.0", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/trec/manifests/{NOTHING}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/trec/blobs/{NOTHING}", 404, "BLOB_UNKNOWN"),
        ("/v2/trec/blobs/1.0.0", 404, "BLOB_UNKNOWN"),
        ("/v2/area/manifests/1.0.0", 404, "NAME_UNKNOWN"),
        ("/v2/models/trec/manifests/1.0.0", 404, "NOT_FOUND"),
        ("/v2/trec/manifests/sha256:12", 400, "DIGEST_INVALID"),
        ("/v2/trec/blobs/sha256:12", 400, "DIGEST_INVALID"),
        ("/v2/trec/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("/v2/trec/referrers/x", 400, "DIGEST_INVALID"),
        ("/v2/../../etc/passwd", 404, "NOT_FOUND"),
        ("/v2/../manifests/1.0.0", 404, "NAME_UNKNOWN"),
        ("/v2/./manifests/1.0.0", 404, "NAME_UNKNOWN"),
        ("/v2/%2e%2e/manifests/1.0.0", 404, "NAME_UNKNOWN"),
        ("/v2/trec/blobs/../../index.json", 404, "NOT_FOUND"),
        ("/v2/trec/blobs/..%2f..%2findex.json", 404, "NOT_FOUND"),
        ("/v2/trec/blobs/sha256:..%2f..%2findex.json", 404, "NOT_FOUND"),
        ("/v2/trec/manifests/%00", 404, "MANIFEST_UNKNOWN"),
        ("/v2/trec/manifests/%ff", 404, "MANIFEST_UNKNOWN"),
    ],
)
@pytest.mark.usefixtures("pin")
def test_a_bad_path_gets_an_error_response(
    endpoint: server.Server, path: str, status: int, code: str
) -> None:
    for method in ("GET", "HEAD"):
        response = request(endpoint, method, path)
        assert response.status == status
        assert method == "HEAD" or response.code == code


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_nothing_can_be_written(
    endpoint: server.Server, registry: Registry, pin: Pin, method: str
) -> None:
    before = snapshot(registry.root)
    for path in (f"/v2/trec/manifests/{pin.digest}", "/v2/trec/blobs/uploads/", "/"):
        response = request(endpoint, method, path, b"x" * 1000)
        assert (response.status, response.code, response.headers["Allow"]) == (
            405,
            "UNSUPPORTED",
            "GET, HEAD",
        )
    assert snapshot(registry.root) == before


def test_damaged_content_is_never_sent(
    endpoint: server.Server, registry: Registry, pin: Pin, tmp_path: Path
) -> None:
    digest = sha256(model_files("1.0.0")["core.safetensors"])
    (registry.root / "trec" / "blobs" / "sha256" / digest[7:]).write_bytes(b"x" * 2048)
    response = request(endpoint, "GET", f"/v2/trec/blobs/{digest}")
    assert (response.status, response.code) == (500, "UNKNOWN")
    assert str(registry.root) not in response.body.decode()
    edge = Registry.init(tmp_path / "edge")
    with pytest.raises(RemoteError, match="status 500"):
        pull(edge, f"{endpoint.address}/trec:1.0.0", pause=lambda _: None)
    assert list(edge.root.iterdir()) == []
    (registry.root / "trec" / "index.json").write_bytes(b"{}")
    assert request(endpoint, "GET", f"/v2/trec/manifests/{pin.digest}").status == 500


def test_a_served_version_can_be_pulled(
    endpoint: server.Server, registry: Registry, pin: Pin, tmp_path: Path
) -> None:
    edge = Registry.init(tmp_path / "edge")
    assert pull(edge, f"{endpoint.address}/trec:production").pin == pin
    assert edge.load(str(pin)) == registry.load(str(pin))


def test_readers_and_a_writer_use_the_registry_at_the_same_time(
    endpoint: server.Server, registry: Registry
) -> None:
    versions = [f"1.{i}.0" for i in range(12)]
    publish(registry, versions[0], "production")
    stop, failures, reads = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            response = request(endpoint, "GET", "/v2/trec/manifests/production")
            if (
                response.status != 200
                or sha256(response.body) != response.headers["Docker-Content-Digest"]
            ):
                failures.append(response)
            reads.append(response.headers["Docker-Content-Digest"])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    pins = [publish(registry, version, "production") for version in versions]
    final = request(endpoint, "GET", "/v2/trec/manifests/production")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert reads
    assert sha256(final.body) == pins[-1].digest
    assert set(reads) <= {pin.digest for pin in pins}


@pytest.mark.usefixtures("pin")
def test_too_many_connections_get_status_503(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    with (
        running(registry) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.server_port)) as idle,
    ):
        idle.sendall(b"GET /v2/ HTTP/1.1\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        response = request(endpoint, "GET", "/v2/")
        assert (response.status, response.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    "request_line",
    [b"\x16\x03\x01 tls\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"],
)
def test_a_malformed_request_ends_only_its_own_connection(
    endpoint: server.Server, pin: Pin, request_line: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30) as stranger:
        stranger.sendall(request_line)
        while stranger.recv(65536):
            pass
    assert request(endpoint, "GET", f"/v2/trec/manifests/{pin.digest}").status == 200


@pytest.mark.parametrize("listen", ["", "x", "127.0.0.1", "127.0.0.1:99999", "host:port", "a b:1"])
def test_a_malformed_address_is_refused(registry: Registry, listen: str) -> None:
    with pytest.raises(BadInput, match="must be HOST:PORT"):
        server.Server(registry, listen, structlog.get_logger())


def test_an_address_in_use_is_refused(endpoint: server.Server, registry: Registry) -> None:
    with pytest.raises(BadInput, match="Address already in use"):
        server.Server(registry, endpoint.address, structlog.get_logger())


@needs("skopeo")
def test_skopeo_copies_and_lists_the_served_registry(
    endpoint: server.Server, pin: Pin, tmp_path: Path
) -> None:
    remote = f"docker://{endpoint.address}/trec"
    tls = "--src-tls-verify=false"
    run_foreign("skopeo", "copy", tls, f"{remote}:production", f"oci:{tmp_path}/tag:1.0.0")
    run_foreign("skopeo", "copy", tls, f"{remote}@{pin.digest}", f"oci:{tmp_path}/digest:1.0.0")
    for copy in ("tag", "digest"):
        raw = run_foreign("skopeo", "inspect", "--raw", f"oci:{tmp_path}/{copy}:1.0.0")
        assert sha256(raw) == pin.digest
    tags = json.loads(run_foreign("skopeo", "list-tags", "--tls-verify=false", remote))["Tags"]
    assert tags == ["1.0.0", "production"]
    run_foreign(
        *("skopeo", "sync", tls, "--src", "docker", "--dest", "dir"),
        *(f"{endpoint.address}/trec", f"{tmp_path}/synced"),
    )
    synced = {path.read_bytes() for path in (tmp_path / "synced").rglob("manifest.json")}
    assert {sha256(data) for data in synced} == {pin.digest}


def test_oras_pulls_from_the_served_registry(
    endpoint: server.Server, pin: Pin, tmp_path: Path
) -> None:
    client = oras.client.OrasClient(insecure=True)
    for reference in (":production", f"@{pin.digest}"):
        out = tmp_path / reference[1:5]
        client.pull(target=f"{endpoint.address}/trec{reference}", outdir=str(out))
        assert snapshot(out) == model_files("1.0.0")


def test_the_program_serves_until_sigterm(registry: Registry, pin: Pin) -> None:
    program = f"from {cli.__name__} import main; main()"
    arguments = ["serve", "--listen", "127.0.0.1:0", "--registry", str(registry.root)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = process.stdout or []
        ready = json.loads(next(iter(lines)))
        assert ready["event"] == "serve.ready"
        host, _, port = ready["listen"].partition(":")
        idle = http.client.HTTPConnection(host, int(port), timeout=30)
        idle.request("GET", f"/v2/trec/manifests/{pin.digest}")
        assert idle.getresponse().read()
        process.send_signal(signal.SIGTERM)
        served, stopped = map(json.loads, lines)
        idle.close()
    assert process.returncode == 0
    assert (served["event"], served["status"]) == ("serve.request", 200)
    assert stopped["event"] == "serve.stopped"


def test_a_pull_beside_a_thousand_idle_and_slow_connections_is_served(
    registry: Registry, pin: Pin, tmp_path: Path
) -> None:
    """Some say nothing, some stop in the middle of a request, some never read their response."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    digest = sha256(model_files("1.0.0")["core.safetensors"])
    said = (b"", b"GET /v2/trec/", f"GET /v2/trec/blobs/{digest} HTTP/1.1\r\n\r\n".encode())
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        endpoint = stack.enter_context(running(registry))
        for i in range(1000):
            idle = socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30)
            stack.enter_context(idle).sendall(said[i % 3])
        edge = Registry.init(tmp_path / "edge")
        assert pull(edge, f"{endpoint.address}/trec:production").pin == pin
        assert edge.load(str(pin)) == registry.load(str(pin))


def test_connections_that_wait_give_way_to_new_ones(
    registry: Registry, pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server, "PATIENCE_S", 0.0)
    with running(registry) as endpoint, contextlib.ExitStack() as stack:
        idle = []
        for i in range(5):
            idle.append(socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30))
            stack.enter_context(idle[-1]).sendall(b"GET /v2/" if i % 2 else b"")
        edge = Registry.init(tmp_path / "edge")
        assert pull(edge, f"{endpoint.address}/trec:production").pin == pin
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nAccept: "])
def test_a_request_has_a_total_time(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """However often the client sends another byte."""
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    with (
        running(registry) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30) as slow,
    ):
        slow.sendall(said)
        slow.settimeout(0.02)
        ended = False
        while not ended:
            try:
                ended = slow.recv(1) == b""
            except TimeoutError:
                with contextlib.suppress(OSError):
                    slow.sendall(b"x")
            except ConnectionError:
                ended = True


def test_a_response_has_a_total_time(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RESPONSE_S", 0.2)
    monkeypatch.setattr(server, "LEAST_RATE", 2**40)
    data = b"x" * (32 << 20)  # more than the system holds for a client that does not read
    registry.publish("big", "1.0.0", {"notes.txt": data}, created=CREATED)
    with (
        running(registry) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30) as slow,
    ):
        slow.sendall(f"GET /v2/big/blobs/{sha256(data)} HTTP/1.1\r\n\r\n".encode())
        while endpoint._connections or not endpoint._loop:
            assert request(endpoint, "GET", "/v2/").status == 200
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := slow.recv(2**20):
                received += len(piece)
        assert received < len(data)


def test_a_file_that_is_damaged_while_it_is_sent_is_not_sent_to_its_end(
    registry: Registry, endpoint: server.Server
) -> None:
    data = b"x" * (32 << 20)
    registry.publish("big", "1.0.0", {"notes.txt": data}, created=CREATED)
    with socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30) as slow:
        slow.sendall(f"GET /v2/big/blobs/{sha256(data)} HTTP/1.1\r\n\r\n".encode())
        received = slow.recv(1000)
        assert received.startswith(b"HTTP/1.1 200")
        blob = registry.root / "big" / "blobs" / "sha256" / sha256(data)[7:]
        with blob.open("r+b") as file:
            file.seek(-1000, 2)
            file.write(b"y")
        with contextlib.suppress(ConnectionResetError):
            while piece := slow.recv(2**20):
                received += piece
    assert b"y" not in received.partition(b"\r\n\r\n")[2]
    assert len(received) < len(data)


@pytest.mark.parametrize(
    "header",
    [
        "Accept: ;;;=,\x80",
        "Accept: a\r\n folded: b",
        "Accept",
        "Accept: " + "a" * 60_000,
        "Range: bytes=x-",
        "If-None-Match: \x80",
        "Expect: 100-continue",
        "Expect: x",
        "Connection: x, \x80",
        "Host: \x00",
    ],
)
@pytest.mark.usefixtures("pin")
def test_a_malformed_header_gets_an_answer(endpoint: server.Server, header: str) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.server_port), timeout=30) as client:
        text = f"GET /v2/ HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n"
        client.sendall(text.encode("latin-1"))
        assert client.recv(12) in {b"HTTP/1.1 200", b"HTTP/1.1 400"}


@pytest.mark.usefixtures("pin")
def test_the_program_serves_though_nobody_takes_its_log(registry: Registry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-c", f"from {cli.__name__} import main; main()", "serve"]
    command += ["--listen", address, "--registry", str(registry.root)]
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen(command, stdout=full, stderr=subprocess.PIPE) as process,
    ):
        found = 0
        while found < 3 and process.poll() is None:
            connection = http.client.HTTPConnection(address, timeout=30)
            with contextlib.suppress(ConnectionRefusedError):
                connection.request("GET", "/v2/trec/tags/list")
                found += connection.getresponse().status == 200
            connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == 0


@pytest.mark.parametrize("command", [["serve"], ["pull", "--follow", "127.0.0.1:1/trec:x"]])
def test_a_stop_before_the_handlers_is_a_stop(registry: Registry, command: list[str]) -> None:
    """SIGTERM comes while the program imports what speaks HTTP."""
    program = (
        "import os, signal, sys\n"
        "class AtImport:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'spikewatch.registry.remote':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        f"from {cli.__name__} import main\n"
        "sys.meta_path.insert(0, AtImport())\n"
        "main()\n"
    )
    arguments = [*command, "--registry", str(registry.root)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
