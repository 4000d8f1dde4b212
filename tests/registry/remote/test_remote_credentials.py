"""Credentials of push and pull: where they are read from, and which hosts never receive them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from remote_support import (
    IDENTITY,
    PASSWORD,
    USER,
    FakeRegistry,
    Handler,
    docker_config,
    login,
    publish,
)

from spikewatch.registry import BadInput, Registry, RemoteError
from spikewatch.registry.remote import pull, push

if TYPE_CHECKING:
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
        scopes = [request.path for request in upstream.state.requests if "/token" in request.path]
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
    assert upstream.state.requests[1].method == "POST"


@pytest.mark.parametrize("section", ["credHelpers", "credsStore"])
def test_a_credential_helper_is_run(
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
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "is not an object"),
        ('{"auths": {"HOST": {"auth": "\u00e9"}}}', "'auth' is not base64"),
        ('{"auths": {"HOST": {"username": "\\ud800", "password": "x"}}}', "not valid JSON"),
        ('{"auths": []}', "'auths' is not an object"),
        ('{"auths": {"HOST": {"auth": "%%%"}}}', "'auth' is not base64"),
        ('{"credHelpers": {"HOST": "../evil"}}', "credential helper '../evil': not a valid name"),
    ],
)
def test_a_bad_config_file_is_one_clear_line(
    registry: Registry, upstream: FakeRegistry, docker: Path, text: str, message: str
) -> None:
    publish(registry, "1.0.0")
    upstream.state.access = "basic"
    docker.mkdir()
    (docker / "config.json").write_text(text.replace("HOST", upstream.host))
    with pytest.raises(BadInput, match=message):
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
def test_a_redirect_to_another_host_carries_no_credentials(
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
        assert len(storage.state.requests) == 4
        assert {request.authorization for request in storage.state.requests} == {None}


def test_an_upload_to_another_host_carries_no_credentials(
    registry: Registry, upstream: FakeRegistry, docker: Path
) -> None:
    publish(registry, "1.0.0")
    upstream.state.access = "basic"
    login(docker, upstream.host)
    with FakeRegistry() as storage:
        place = f"{storage.state.url}/v2/x/blobs/uploads/1"
        upstream.fail("POST", "uploads", lambda handler: handler.reply(202, Location=place))
        push(registry, "trec:1.0.0", upstream.remote())
        assert len(storage.state.requests) == 4
        assert {request.authorization for request in storage.state.requests} == {None}
