"""Certificates, redirects from HTTPS to HTTP, and proxies."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from remote_support import FakeRegistry, publish

from spikewatch.registry import Registry, RemoteError
from spikewatch.registry.remote import pull, push

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[FakeRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with FakeRegistry(context) as server:
        yield server


def test_https_requires_a_valid_certificate(
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


def test_a_redirect_from_https_to_http_is_refused(
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
        with pytest.raises(RemoteError, match="redirects from HTTPS to .*: refused"):
            pull(edge, encrypted.remote(":1.0.0"), plain_http=plain_http)
    assert upstream.state.requests == []


def test_requests_to_other_machines_use_the_proxy_of_the_environment(
    registry: Registry, upstream: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "1.0.0")
    proxy = upstream.state.url.replace("//", "//box:pass%40word@")
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "inside.invalid")
    push(registry, "trec:1.0.0", "outside.invalid/models/trec", plain_http=True)
    assert {request.path[:24] for request in upstream.state.requests} == {
        "http://outside.invalid/v"
    }
    secret = base64.b64encode(b"box:pass@word").decode()
    assert {request.proxy_authorization for request in upstream.state.requests} == {
        f"Basic {secret}"
    }
    upstream.state.requests.clear()
    with pytest.raises(RemoteError, match=r"inside\.invalid"):
        push(registry, "trec:1.0.0", "inside.invalid/x", plain_http=True, pause=lambda _: None)
    assert upstream.state.requests == []
    push(registry, "trec:1.0.0", upstream.remote())  # requests to this machine never use a proxy
    assert {request.proxy_authorization for request in upstream.state.requests} == {None}
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(RemoteError, match="socks5"):
        push(registry, "trec:1.0.0", "outside.invalid/x", plain_http=True)
