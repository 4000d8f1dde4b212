"""HTTP of push and pull: credentials, redirects, retries, certificates, servers that misbehave."""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from registry_support import snapshot
from remote_support import (
    IDENTITY,
    PASSWORD,
    USER,
    FakeRegistry,
    Handler,
    docker_config,
    hang_up,
    login,
    model_files,
    publish,
    sha256,
)

from spikewatch.registry import (
    BadInput,
    Corrupt,
    NotFound,
    Registry,
    RegistryError,
    RemoteError,
)
from spikewatch.registry.remote import pull, push, transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.mark.parametrize("access", ["basic", "token"])
def test_credentials_come_from_dockers_config_file(
    registry: Registry, edge: Registry, upstream: FakeRegistry, docker: Path, access: str
) -> None:
    pin = publish(registry, "1.0.0")
    upstream.state.access = access
    with pytest.raises(RemoteError, match="denied"):
        push(registry, "trec:1.0.0", upstream.remote())
    login(docker, upstream.host)
    push(registry, "trec:1.0.0", upstream.remote())
    assert pull(edge, upstream.remote(":1.0.0")).pin == pin
    if access == "token":
        assert upstream.state.tokens == 2  # one to push, one to pull
        scopes = [asked.path for asked in upstream.state.asked if "/token" in asked.path]
        assert "scope=repository%3Amodels%2Ftrec%3Apull%2Cpush" in scopes[-2]
        assert "scope=repository%3Amodels%2Ftrec%3Apull" in scopes[-1]
        assert "push" not in scopes[-1]


def test_an_identity_token_is_exchanged(
    registry: Registry, upstream: FakeRegistry, docker: Path
) -> None:
    publish(registry, "1.0.0")
    upstream.state.access = "token"
    docker_config(docker, {"auths": {upstream.host: {"identitytoken": IDENTITY}}})
    push(registry, "trec:1.0.0", upstream.remote())
    assert upstream.state.asked[1].method == "POST"


@pytest.mark.parametrize("section", ["credHelpers", "credsStore"])
def test_a_credential_helper_is_asked(
    registry: Registry,
    upstream: FakeRegistry,
    docker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
) -> None:
    publish(registry, "1.0.0")
    upstream.state.access = "basic"
    helper = tmp_path / "docker-credential-tested"
    answer = json.dumps({"ServerURL": upstream.host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"assert sys.argv[1:] == ['get'] and sys.stdin.read() == {upstream.host!r}\n"
        f"print({answer!r})\n"
    )
    helper.chmod(0o755)
    config: dict[str, Any] = {
        "credHelpers": {"credHelpers": {upstream.host: "tested"}},
        "credsStore": {"credsStore": "tested", "auths": {upstream.host: {}}},
    }[section]
    docker_config(docker, config)
    with pytest.raises(BadInput, match="docker-credential-tested: named in Docker's config file"):
        push(registry, "trec:1.0.0", upstream.remote())
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    push(registry, "trec:1.0.0", upstream.remote())
    helper.write_text(f"#!{sys.executable}\nprint('credentials not found'); raise SystemExit(1)\n")
    with pytest.raises(RemoteError, match="denied"):
        push(registry, "trec:1.0.0", upstream.remote())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "is not an object"),
        ('{"auths": {"HOST": {"auth": "\u00e9"}}}', "'auth' is not base64"),
        ('{"auths": {"HOST": {"username": "\\ud800", "password": "x"}}}', "not valid JSON"),
        ('{"auths": []}', "'auths' is not an object"),
        ('{"auths": {"HOST": {"auth": "%%%"}}}', "'auth' is not base64"),
        ('{"credHelpers": {"HOST": "../evil"}}', "credential helper '../evil': not a name"),
    ],
)
def test_a_bad_config_file_is_one_clear_line(
    registry: Registry, upstream: FakeRegistry, docker: Path, text: str, said: str
) -> None:
    publish(registry, "1.0.0")
    upstream.state.access = "basic"
    docker.mkdir()
    (docker / "config.json").write_text(text.replace("HOST", upstream.host))
    with pytest.raises(BadInput, match=said):
        push(registry, "trec:1.0.0", upstream.remote())


def test_an_expired_token_is_renewed(
    registry: Registry, edge: Registry, upstream: FakeRegistry, docker: Path
) -> None:
    pin = publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    upstream.state.access = "token"
    login(docker, upstream.host)

    def expire(handler: Handler) -> None:
        handler.state.tokens += 1
        handler.reply(401, WWW_Authenticate=challenge)

    challenge = f'Bearer realm="{upstream.state.url}/token",service="the, registry"'
    upstream.fail("GET", "/blobs/", expire, times=1)
    assert pull(edge, upstream.remote(":1.0.0")).pin == pin


@pytest.mark.parametrize("access", ["basic", "token"])
def test_a_redirect_to_another_host_takes_no_credentials_along(
    registry: Registry, edge: Registry, upstream: FakeRegistry, docker: Path, access: str
) -> None:
    pin = publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    upstream.state.access = access
    login(docker, upstream.host)
    with FakeRegistry() as storage:
        storage.state.blobs = upstream.state.blobs
        upstream.state.blob_host = storage.state.url
        assert pull(edge, upstream.remote(":1.0.0")).pin == pin
        assert len(storage.state.asked) == 4
        assert {asked.authorization for asked in storage.state.asked} == {None}


def test_an_upload_to_another_host_takes_no_credentials_along(
    registry: Registry, upstream: FakeRegistry, docker: Path
) -> None:
    publish(registry, "1.0.0")
    upstream.state.access = "basic"
    login(docker, upstream.host)
    with FakeRegistry() as storage:
        place = f"{storage.state.url}/v2/x/blobs/uploads/1"
        upstream.fail("POST", "uploads", lambda handler: handler.reply(202, Location=place))
        push(registry, "trec:1.0.0", upstream.remote())
        assert len(storage.state.asked) == 4
        assert {asked.authorization for asked in storage.state.asked} == {None}


def truncate(handler: Handler) -> None:
    handler.reply(200, b"half", Content_Length="2048")
    hang_up(handler)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda handler: handler.reply(503), id="503"),
        pytest.param(lambda handler: handler.reply(500, b"oops"), id="500"),
        pytest.param(lambda handler: handler.reply(429, Retry_After="7"), id="429"),
        pytest.param(hang_up, id="hung up"),
        pytest.param(truncate, id="truncated"),
    ],
)
def test_a_passing_failure_is_tried_again_with_growing_waits(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    waits: list[float],
    pause: Callable[[float], None],
    request: pytest.FixtureRequest,
    fault: Callable[[Handler], None],
) -> None:
    pin = publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    upstream.fail("GET", f"/blobs/{sha256(model_files()['labels.json'])}", fault, times=2)
    assert pull(edge, upstream.remote(":1.0.0"), pause=pause).pin == pin
    first, second = waits
    if "429" in request.node.callspec.id:
        assert waits == [7.0, 7.0]
    else:
        assert 0.25 <= first <= 0.5 <= second <= 1.0


def test_a_push_that_fails_in_passing_goes_on(
    registry: Registry,
    upstream: FakeRegistry,
    waits: list[float],
    pause: Callable[[float], None],
) -> None:
    publish(registry, "1.0.0")
    upstream.fail("PUT", "/blobs/uploads/", lambda handler: handler.reply(502), times=1)
    upstream.fail("PUT", "/manifests/", hang_up, times=1)
    assert push(registry, "trec:1.0.0", upstream.remote(), pause=pause).blobs == 4
    assert len(waits) == 2
    assert set(upstream.state.manifests) >= {"1.0.0"}


def test_a_wait_that_is_too_long_is_not_waited(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    waits: list[float],
    pause: Callable[[float], None],
) -> None:
    publish(registry, "1.0.0")
    upstream.fail("GET", "/manifests/", lambda handler: handler.reply(429, Retry_After="3600"))
    with pytest.raises(RemoteError, match="status 429; it asks to wait 3600 s"):
        pull(edge, upstream.remote(":1.0.0"), pause=pause)
    assert waits == []


def test_nobody_there_is_one_clear_line(
    edge: Registry, waits: list[float], pause: Callable[[float], None]
) -> None:
    with FakeRegistry() as server:
        remote = server.remote(":1.0.0")
    with pytest.raises(RemoteError, match=r"GET http.*Connection refused.* \(5 attempts\)"):
        pull(edge, remote, pause=pause)
    assert len(waits) == 4


def endless(handler: Handler) -> None:
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    while not handler.state.released.is_set():
        handler.wfile.write(bytes(2**16))


def silent(handler: Handler) -> None:
    handler.state.released.wait()
    hang_up(handler)


def huge(handler: Handler) -> None:
    handler.reply(200, b"", Content_Length=str(2**40))
    hang_up(handler)


def other_bytes(handler: Handler) -> None:
    handler.reply(200, b"x" * 2048)


CORE = sha256(model_files("1.0.0")["core.safetensors"])
SIZE = len(model_files()["core.safetensors"])


@pytest.mark.parametrize(
    ("path", "act", "kind", "said"),
    [
        ("/manifests/", endless, Corrupt, "more bytes than the limit of 4194304"),
        ("/manifests/", huge, Corrupt, "1099511627776 bytes, more than the limit of 4194304"),
        ("/manifests/", other_bytes, Corrupt, "manifest: not valid JSON"),
        ("/manifests/", lambda h: h.reply(404), NotFound, "1.0.0: not found there"),
        ("/manifests/", lambda h: h.reply(403), RemoteError, "denied, status 403"),
        ("/manifests/", lambda h: h.reply(418), RemoteError, "status 418, not 200"),
        ("/manifests/", silent, RemoteError, "Read timed out"),
        (CORE, endless, Corrupt, "more bytes than the limit of 65536"),
        (CORE, huge, Corrupt, "1099511627776 bytes, more than the limit of 65536"),
        (CORE, other_bytes, Corrupt, f"blob {CORE} of {SIZE} bytes came as 2048 bytes with"),
        (CORE, lambda h: h.reply(404), NotFound, f"{CORE}: not found there"),
        (CORE, truncate, RemoteError, r"IncompleteRead"),
        (CORE, silent, RemoteError, "Read timed out"),
        (CORE, lambda h: h.reply(307, Location=h.path), RemoteError, "more than 5 redirects"),
        (CORE, lambda h: h.reply(307, Location="file:///etc"), RemoteError, "is not a URL of"),
        (CORE, lambda h: h.reply(307, Location="http://[::"), RemoteError, "is not a URL"),
        (CORE, lambda h: h.reply(307, Location="http://\x1b[2J/"), RemoteError, r"x1b.*not a URL"),
        (CORE, lambda h: h.wfile.write(b"\x1b[2J\n"), RemoteError, r"\\x1b"),
        (
            CORE,
            lambda h: h.reply(307, Location="http://192.0.2.1/x"),
            RemoteError,
            "plain HTTP to another machine is refused",
        ),
    ],
)
def test_a_bad_server_leaves_the_store_byte_identical(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    pause: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    act: Callable[[Handler], None],
    kind: type[RegistryError],
    said: str,
) -> None:
    monkeypatch.setattr(transport, "READ_S", 0.1)
    publish(registry, "1.0.0")
    publish(edge, "0.9.0", "production")
    push(registry, "trec:1.0.0", upstream.remote())
    upstream.fail("GET", path, act)
    before = snapshot(edge.root)
    with pytest.raises(kind, match=said):
        pull(edge, upstream.remote(":1.0.0"), pause=pause)
    assert snapshot(edge.root) == before
    fresh = Registry.init(edge.root.with_name("fresh"))
    with pytest.raises(kind):
        pull(fresh, upstream.remote(":1.0.0"), pause=pause)
    assert list(fresh.root.iterdir()) == []


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[FakeRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with FakeRegistry(context) as server:
        yield server


def test_https_is_spoken_to_those_whose_certificate_is_good(
    registry: Registry,
    edge: Registry,
    encrypted: FakeRegistry,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
    pause: Callable[[float], None],
) -> None:
    pin = publish(registry, "1.0.0")
    remote = encrypted.remote()
    with pytest.raises(RemoteError, match="CERTIFICATE_VERIFY_FAILED"):
        push(registry, "trec:1.0.0", remote, pause=pause)
    assert waits == []
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    push(registry, "trec:1.0.0", remote)
    assert pull(edge, f"{remote}:1.0.0").pin == pin
    wrong_name = remote.replace("localhost", "127.0.0.1")
    with pytest.raises(RemoteError, match="doesn't match|mismatch"):
        pull(edge, f"{wrong_name}:1.0.0")


def test_a_redirect_never_gives_up_encryption(
    registry: Registry,
    edge: Registry,
    encrypted: FakeRegistry,
    upstream: FakeRegistry,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", encrypted.remote())
    upstream.state.blobs = encrypted.state.blobs
    encrypted.state.blob_host = upstream.state.url
    for plain_http in (False, True):
        with pytest.raises(RemoteError, match="redirects to .*, without encryption"):
            pull(edge, encrypted.remote(":1.0.0"), plain_http=plain_http)
    assert upstream.state.asked == []


def test_other_machines_are_asked_through_the_proxy_of_the_environment(
    registry: Registry, upstream: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "1.0.0")
    proxy = upstream.state.url.replace("//", "//box:pass%40word@")
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "inside.invalid")
    push(registry, "trec:1.0.0", "outside.invalid/models/trec", plain_http=True)
    assert {asked.path[:24] for asked in upstream.state.asked} == {"http://outside.invalid/v"}
    secret = base64.b64encode(b"box:pass@word").decode()
    assert {asked.proxy_authorization for asked in upstream.state.asked} == {f"Basic {secret}"}
    upstream.state.asked.clear()
    with pytest.raises(RemoteError, match=r"inside\.invalid"):
        push(registry, "trec:1.0.0", "inside.invalid/x", plain_http=True, pause=lambda _: None)
    assert upstream.state.asked == []
    push(registry, "trec:1.0.0", upstream.remote())  # this machine itself: never by a proxy
    assert {asked.proxy_authorization for asked in upstream.state.asked} == {None}
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(RemoteError, match="socks5"):
        push(registry, "trec:1.0.0", "outside.invalid/x", plain_http=True)


def test_a_slow_trickle_is_given_up(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    monkeypatch.setattr(transport, "PATIENCE_S", -1e9)
    with pytest.raises(RemoteError, match="bytes in"):
        pull(edge, upstream.remote(":1.0.0"))
