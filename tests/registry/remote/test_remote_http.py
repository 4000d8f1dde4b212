"""Push and pull over HTTP: retries, and servers that misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from registry_support import snapshot
from remote_support import FakeRegistry, Handler, hang_up, model_files, publish, sha256

from spikewatch.registry import Corrupt, NotFound, Registry, RegistryError, RemoteError
from spikewatch.registry.remote import pull, push, transport

if TYPE_CHECKING:
    from collections.abc import Callable


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
def test_a_transient_failure_is_retried_with_back_off(
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


def test_a_push_continues_after_transient_failures(
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


def test_a_retry_after_over_the_limit_fails_at_once(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    waits: list[float],
    pause: Callable[[float], None],
) -> None:
    publish(registry, "1.0.0")
    upstream.fail("GET", "/manifests/", lambda handler: handler.reply(429, Retry_After="3600"))
    with pytest.raises(RemoteError, match="status 429; the server asks to wait 3600 s, limit 60 s"):
        pull(edge, upstream.remote(":1.0.0"), pause=pause)
    assert waits == []


def test_a_refused_connection_is_reported_after_five_attempts(
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
    ("path", "act", "kind", "message"),
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
        (
            CORE,
            lambda h: h.reply(307, Location="file:///etc"),
            RemoteError,
            "is not an HTTP or HTTPS URL",
        ),
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
    message: str,
) -> None:
    monkeypatch.setattr(transport, "READ_S", 0.1)
    publish(registry, "1.0.0")
    publish(edge, "0.9.0", "production")
    push(registry, "trec:1.0.0", upstream.remote())
    upstream.fail("GET", path, act)
    before = snapshot(edge.root)
    with pytest.raises(kind, match=message):
        pull(edge, upstream.remote(":1.0.0"), pause=pause)
    assert snapshot(edge.root) == before
    fresh = Registry.init(edge.root.with_name("fresh"))
    with pytest.raises(kind):
        pull(fresh, upstream.remote(":1.0.0"), pause=pause)
    assert list(fresh.root.iterdir()) == []


def test_a_transfer_that_is_too_slow_is_ended(
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
