"""Push and pull against a registry that checks who asks, and misbehaves."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from registry_support import CREATED, snapshot
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
    BadReference,
    Conflict,
    Corrupt,
    NotFound,
    Registry,
    RegistryError,
    RemoteError,
    cli,
)
from spikewatch.registry.remote import pull, push, transfer, transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def upstream() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def edge(tmp_path: Path) -> Registry:
    return Registry.init(tmp_path / "edge")


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own Docker config out of it."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def pause(waits: list[float]) -> Callable[[float], None]:
    """Note the waits between attempts instead of waiting."""

    def note(seconds: float) -> None:
        if seconds:
            waits.append(seconds)

    return note


def test_what_was_pushed_is_pulled_byte_for_byte(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    pin = publish(registry, "1.0.0", "production")
    pushed = push(registry, "trec:production", upstream.remote())
    assert (pushed.pin, pushed.tags, pushed.blobs) == (pin, ("1.0.0", "production"), 4)
    pulled = pull(edge, upstream.remote(":production"))
    assert (pulled.pin, pulled.blobs, pulled.size) == (pin, 4, pushed.size)
    assert edge.load(str(pin)) == registry.load(str(pin))
    assert edge.verify().ok
    assert [entry.tag for entry in edge.list()] == ["1.0.0"]


def test_a_pull_by_digest_needs_no_tag(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    pin = publish(registry, "1.0.0")
    pushed = push(registry, "trec:1.0.0", upstream.remote(f"@{pin.digest}"))
    assert pushed.tags == ()
    assert list(upstream.state.manifests) == [pin.digest]
    assert pull(edge, upstream.remote(f"@{pin.digest}"), "other").pin.name == "other"
    assert edge.resolve("other:1.0.0").digest == pin.digest
    with pytest.raises(Conflict, match="cannot be pushed as sha256:0000"):
        push(registry, "trec:1.0.0", upstream.remote(f"@sha256:{64 * '0'}"))


def test_a_tag_of_its_own_choice_goes_beside_the_version(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0", "production")
    assert push(registry, "trec:production", upstream.remote(":canary")).tags == ("1.0.0", "canary")
    assert sorted(tag for tag in upstream.state.manifests if ":" not in tag) == ["1.0.0", "canary"]
    assert pull(edge, upstream.remote(), "trec", "1.0.0").pin.version == "1.0.0"


def test_what_is_there_already_is_not_sent_again(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    first, second = publish(registry, "1.0.0"), publish(registry, "1.1.0")
    push(registry, "trec:1.0.0", upstream.remote())
    again = push(registry, "trec:1.0.0", upstream.remote())
    assert (again.pin, again.blobs, again.size) == (first, 0, 0)
    # Versions share labels.json and eval.json; core image and config differ.
    assert push(registry, "trec:1.1.0", upstream.remote()).blobs == 2
    pull(edge, upstream.remote(":1.0.0"))
    assert pull(edge, upstream.remote(":1.1.0")).blobs == 2
    before = snapshot(edge.root)
    assert pull(edge, upstream.remote(":1.1.0")).pin == second
    assert snapshot(edge.root) == before


def test_pulling_again_heals_a_damaged_blob(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    pin = publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    pull(edge, upstream.remote(":1.0.0"))
    digest = sha256(model_files("1.0.0")["core.safetensors"])
    (edge.root / "trec" / "blobs" / "sha256" / digest[7:]).write_bytes(b"damaged")
    assert pull(edge, upstream.remote(":1.0.0")).blobs == 1
    assert edge.load(str(pin)).files == model_files("1.0.0")


def test_a_version_never_changes_in_either_direction(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0")
    edge.publish("trec", "1.0.0", model_files("other"), created=CREATED)
    push(registry, "trec:1.0.0", upstream.remote())
    before, there = snapshot(edge.root), dict(upstream.state.manifests)
    with pytest.raises(Conflict, match=r"trec:1\.0\.0 is published as .* versions are immutable"):
        pull(edge, upstream.remote(":1.0.0"))
    with pytest.raises(Conflict, match=r"models/trec:1\.0\.0 is sha256:.* versions are immutable"):
        push(edge, "trec:1.0.0", upstream.remote())
    assert snapshot(edge.root) == before
    assert upstream.state.manifests == there


def test_a_version_that_is_not_the_expected_one_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0", "production")
    push(registry, "trec:production", upstream.remote())
    with pytest.raises(Conflict, match=r"is version 1\.0\.0, not 2\.0\.0 as expected"):
        pull(edge, upstream.remote(":production"), "trec", "2.0.0")
    assert snapshot(edge.root) == {}


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


def altered(
    upstream: FakeRegistry, change: Callable[[dict[str, Any]], object], tag: str = "1.0.0"
) -> None:
    """Let a tag mean a manifest that somebody changed, and sent properly."""
    document = json.loads(upstream.state.manifests["1.0.0"])
    change(document)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    upstream.state.manifests[tag] = upstream.state.manifests[sha256(data)] = data


EMPTY = hashlib.sha256(b"{}").hexdigest()


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda d: d.update(artifactType="text/x"), Corrupt, "'artifactType' is 'text/x'"),
        (lambda d: d.update(mediaType="text/x"), Corrupt, "'mediaType' is 'text/x'"),
        (lambda d: d["layers"][0].update(size=2**30), Corrupt, "more than the limit of 67108864"),
        (lambda d: d["layers"][0].update(digest="md5:0"), Corrupt, "digest 'md5:0'"),
        (
            lambda d: d["layers"][0]["annotations"].update({"org.cncf.model.filepath": "../x"}),
            Corrupt,
            r"file path '\.\./x'",
        ),
        (lambda d: d["layers"].append(d["layers"][0]), Corrupt, "two layers are named"),
        (lambda d: d["layers"].pop(), Corrupt, "'diffIds' are not the digests"),
        (
            lambda d: d["layers"][0].update(digest=d["layers"][1]["digest"]),
            Corrupt,
            "is said to have two sizes",
        ),
        (
            lambda d: d["layers"][0]["annotations"].update({"org.cncf.model.filepath": "x.pkl"}),
            Corrupt,
            "file 'x.pkl': not a kind of file that a model holds",
        ),
        (
            lambda d: d["layers"][0].update(mediaType="application/vnd.cncf.model.doc.v1.raw"),
            Corrupt,
            "file 'core.safetensors': is 'application/vnd.cncf.model.doc.v1.raw', not",
        ),
        (lambda d: d.update(layers=[]), Corrupt, "has no files"),
        (lambda d: d["annotations"].update(x="\ud800"), Corrupt, "not a JSON document"),
        (
            lambda d: d["annotations"].pop("org.opencontainers.image.version"),
            Corrupt,
            "version '': must be SemVer",
        ),
        (
            lambda d: d["annotations"].update({"org.opencontainers.image.version": "1.0.1"}),
            Conflict,
            r"is version 1\.0\.1, not 1\.0\.0 as expected",
        ),
        (
            lambda d: d["annotations"].update({"org.opencontainers.image.version": "latest"}),
            Corrupt,
            "version 'latest': must be SemVer",
        ),
    ],
)
def test_a_manifest_that_publish_would_not_make_is_refused(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    change: Callable[[dict[str, Any]], object],
    kind: type[RegistryError],
    said: str,
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    altered(upstream, change)
    with pytest.raises(kind, match=said):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_a_file_that_is_not_what_it_is_called_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    files = {"core.safetensors": b"cos\nsystem\n(S'true'\ntR."}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    push(registry, "trec:1.0.0", upstream.remote())
    with pytest.raises(Corrupt, match=r"models/trec:1\.0\.0: core\.safetensors: "):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_a_manifest_in_another_form_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    pretty = json.dumps(json.loads(upstream.state.manifests["1.0.0"]), indent=2).encode()
    upstream.state.manifests["1.0.0"] = pretty
    with pytest.raises(Corrupt, match="not in canonical form"):
        pull(edge, upstream.remote(":1.0.0"))


def test_a_model_that_does_not_fit_in_memory_is_refused_before_it_is_read(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    monkeypatch.setattr(transfer, "MAX_MODEL", 2048)
    asked = len(upstream.state.asked)
    for copy in (
        lambda: pull(edge, upstream.remote(":1.0.0")),
        lambda: push(registry, "trec:1.0.0", upstream.remote()),
    ):
        with pytest.raises(Corrupt, match="bytes in all, more than the limit of 2048"):
            copy()
    assert len(upstream.state.asked) == asked + 1


def test_a_registry_that_lies_about_digests_is_caught(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    pin = publish(registry, "1.0.0")
    publish(registry, "1.1.0")
    push(registry, "trec:1.1.0", upstream.remote())
    upstream.state.manifests[pin.digest] = upstream.state.manifests["1.1.0"]
    with pytest.raises(Corrupt, match=f"the manifest has sha256:.*, not '{pin.digest}'"):
        pull(edge, upstream.remote(f"@{pin.digest}"))
    zero = f"sha256:{64 * '0'}"
    upstream.fail("PUT", "/manifests/", lambda h: h.reply(201, Docker_Content_Digest=zero))
    with pytest.raises(RemoteError, match=f"stored as '{zero}', not {pin.digest}"):
        push(registry, "trec:1.0.0", upstream.remote())


def test_a_registry_need_not_say_digests(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    upstream.state.says_digests = False
    pin = publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    edge.publish("trec", "1.0.0", model_files("other"), created=CREATED)
    with pytest.raises(Conflict, match=f"is {pin.digest} and cannot become"):
        push(edge, "trec:1.0.0", upstream.remote())


@pytest.mark.parametrize(
    "remote",
    [
        "trec",
        "trec:1.0.0",
        "models/trec:1.0.0",
        "registry.example.com",
        "registry.example.com/Models/trec:1",
        "registry.example.com/models/../trec:1",
        "registry.example.com/models/trec:",
        "registry.example.com/models/trec:a b",
        "registry.example.com/models/trec@sha256:12",
        "registry.example.com/models/trec@",
        "ftp://registry.example.com/models/trec:1",
        "://registry.example.com/models/trec:1",
        "user:pass@registry.example.com/models/trec:1",
        "http://registry.example.com/models/trec:1",
        "registry.example.com:99999999/models/trec:1",
        f"registry.example.com/{'a' * 256}:1",
    ],
)
def test_what_is_no_remote_is_refused(edge: Registry, remote: str) -> None:
    with pytest.raises(BadReference, match="remote "):
        pull(edge, remote, pause=lambda _: pytest.fail("asked for it"))


def test_a_pull_needs_to_know_what(edge: Registry, upstream: FakeRegistry) -> None:
    with pytest.raises(BadReference, match="needs a tag or a digest"):
        pull(edge, upstream.remote())
    with pytest.raises(BadReference, match="version '1': must be SemVer"):
        pull(edge, upstream.remote(), "trec", "1")


def test_the_program_pushes_and_pulls(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*args: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["spikewatch-registry", *args])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return (caught.value.code, *capsys.readouterr())

    pin = publish(registry, "1.0.0", "production")
    size = push(registry, "trec:1.0.0", upstream.remote()).size
    upstream.state.blobs.clear()
    assert run("push", "trec:production", upstream.remote(), "--registry", str(registry.root)) == (
        0,
        f"pushed to {upstream.remote()} (1.0.0, production): 4 blobs, {size} bytes sent\n{pin}\n",
        "",
    )
    code, out, err = run(
        "pull", upstream.remote(":production"), "area", "--registry", str(edge.root), "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "pin": {
            "name": "area",
            "version": "1.0.0",
            "digest": pin.digest,
            "pin": str(edge.resolve("area:1.0.0")),
        },
        "remote": upstream.remote(),
        "tags": ["production"],
        "blobs": 4,
        "size": size,
        "attached": 0,
    }
    code, out, err = run("pull", upstream.remote(":2.0.0"), "--registry", str(edge.root))
    assert (code, out) == (2, "")
    assert err == (
        f"spikewatch-registry: {upstream.remote()}: 2.0.0: not found there: "
        "'MANIFEST_UNKNOWN no such thing'\n"
    )
    monkeypatch.delenv("SPIKEWATCH_REGISTRY", raising=False)
    assert run("pull", upstream.remote(":1.0.0"))[0] == 2


def test_the_journal_says_where_a_version_came_from(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    pull(edge, upstream.remote(":1.0.0"), actor="box 7")
    entry = json.loads((edge.root / "trec" / ".journal" / "00000001.json").read_bytes())
    assert (entry["op"], entry["actor"]) == ("pull", "box 7")
    assert entry["reason"] == f"pulled from {upstream.remote(':1.0.0')}"
