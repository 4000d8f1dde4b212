"""Push and pull copy the attachments of a version, and never overwrite others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from foreign import docker_registry, needs, run_foreign
from registry_support import CREATED, snapshot
from remote_support import FakeRegistry, publish, sha256
from signing import KEY, pem, public_pem

from spikewatch.registry import Corrupt, Pin, Registry
from spikewatch.registry.remote import AliasFollower, pull, push
from spikewatch.registry.remote.endpoint import answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIVATE, PUBLIC = pem(KEY), public_pem(KEY)


def evaluation(accuracy: float) -> bytes:
    return json.dumps({"stages": {"spiking": {"accuracy": accuracy}}}).encode()


@pytest.fixture
def pin(registry: Registry) -> Pin:
    """Publish, sign and evaluate a version."""
    pin = publish(registry, "1.0.0", "production")
    registry.sign("trec:1.0.0", PRIVATE)
    registry.attach("trec:1.0.0", evaluation(0.9), created=CREATED)
    return pin


def prefix(pin: Pin) -> str:
    return pin.digest.replace(":", "-")


def test_push_and_pull_copy_attachments_byte_for_byte(
    registry: Registry, edge: Registry, upstream: FakeRegistry, pin: Pin
) -> None:
    assert push(registry, "trec:1.0.0", upstream.remote()).attached == 2
    assert push(registry, "trec:1.0.0", upstream.remote()).attached == 0
    assert pull(edge, upstream.remote(f"@{pin.digest}")).attached == 2
    assert edge.show("trec:1.0.0").attachments == registry.show("trec:1.0.0").attachments
    assert edge.verify("trec:1.0.0", key=PUBLIC).ok
    before = snapshot(edge.root)
    assert pull(edge, upstream.remote(":1.0.0")).attached == 0
    assert snapshot(edge.root) == before


def test_the_next_pull_copies_what_was_attached_later(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0", "production")
    push(registry, "trec:production", upstream.remote())
    AliasFollower(edge, upstream.remote(":production")).turn()
    assert not edge.verify("trec:1.0.0", key=PUBLIC).ok
    registry.sign("trec:1.0.0", PRIVATE)
    push(registry, "trec:1.0.0", upstream.remote())
    assert pull(edge, upstream.remote(":1.0.0")).attached == 1
    assert edge.verify("trec:1.0.0", key=PUBLIC).ok


def test_two_attachments_with_the_same_number_are_both_kept(
    registry: Registry, edge: Registry, upstream: FakeRegistry, pin: Pin
) -> None:
    push(registry, "trec:1.0.0", upstream.remote())
    pull(edge, upstream.remote(":1.0.0"))
    registry.attach("trec:1.0.0", evaluation(0.8), created=CREATED)
    edge.attach("trec:1.0.0", evaluation(0.7), created=CREATED)
    push(registry, "trec:1.0.0", upstream.remote())
    push(edge, "trec:1.0.0", upstream.remote())
    pull(registry, upstream.remote(":1.0.0"))
    pull(edge, upstream.remote(":1.0.0"))
    assert sorted(tag for tag in upstream.state.manifests if "eval" in tag) == [
        f"{prefix(pin)}.eval-{n}" for n in (1, 2, 3)
    ]
    digests = [
        {each.digest for each in store.show("trec:1.0.0").attachments} for store in (registry, edge)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4
    assert registry.verify().ok
    assert edge.verify().ok


def other_subject(document: dict[str, Any]) -> None:
    document["subject"]["digest"] = f"sha256:{64 * '0'}"


def other_kind(document: dict[str, Any]) -> None:
    document["artifactType"] = "application/vnd.dsse.envelope.v1+json"
    document["layers"][0]["mediaType"] = document["artifactType"]


def too_large(document: dict[str, Any]) -> None:
    document["layers"][0]["size"] = 2**30


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_subject, "is of kind eval and belongs to sha256:0000"),
        (other_kind, "is of kind sig and belongs to"),
        (too_large, "bytes, not 'application/vnd.spikewatch"),
        (lambda document: document.update(layers=[]), "has 0 layers, not 1"),
        (lambda document: document.update(artifactType="x"), "is not the manifest of an"),
    ],
)
def test_a_bad_attachment_changes_nothing(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    pin: Pin,
    spoil: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    push(registry, "trec:1.0.0", upstream.remote())
    tag = f"{prefix(pin)}.eval-1"
    document = json.loads(upstream.state.manifests[tag])
    spoil(document)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    upstream.state.manifests[tag] = upstream.state.manifests[sha256(data)] = data
    with pytest.raises(Corrupt, match=message):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_a_forged_envelope_changes_nothing(
    registry: Registry, edge: Registry, upstream: FakeRegistry, pin: Pin
) -> None:
    other = publish(registry, "1.1.0")
    registry.sign("trec:1.1.0", PRIVATE)
    for version in ("1.0.0", "1.1.0"):
        push(registry, f"trec:{version}", upstream.remote())
    # Present the signature of one version as that of the other.
    stolen = json.loads(upstream.state.manifests[f"{prefix(pin)}.sig-1"])
    stolen["layers"] = json.loads(upstream.state.manifests[f"{prefix(other)}.sig-1"])["layers"]
    data = json.dumps(stolen, sort_keys=True, separators=(",", ":")).encode()
    upstream.state.manifests[f"{prefix(pin)}.sig-1"] = data
    with pytest.raises(Corrupt, match=r"sig-1: signs .*, not sha256:"):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_a_flood_of_attachments_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry, pin: Pin
) -> None:
    push(registry, "trec:1.0.0", upstream.remote())
    data = upstream.state.manifests[f"{prefix(pin)}.eval-1"]
    for n in range(2, 101):
        upstream.state.manifests[f"{prefix(pin)}.eval-{n}"] = data
    with pytest.raises(Corrupt, match="101 attachments of .*, more than the limit of 100"):
        pull(edge, upstream.remote(":1.0.0"))
    endless = '</v2/models/trec/tags/list?from=0>; rel="next"'
    upstream.fail("GET", "/tags/list", lambda h: h.reply(200, b'{"tags":[]}', Link=endless))
    with pytest.raises(Corrupt, match="tags: more than 100 pages"):
        pull(edge, upstream.remote(":1.0.0"))


@pytest.mark.parametrize("body", [b"[]", b'{"tags":7}', b"<html>"])
def test_a_malformed_list_of_tags_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry, pin: Pin, body: bytes
) -> None:
    push(registry, str(pin), upstream.remote())
    upstream.fail("GET", "/tags/list", lambda handler: handler.reply(200, body))
    with pytest.raises(Corrupt, match="tags: "):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_the_endpoint_lists_referrers(registry: Registry, pin: Pin) -> None:
    path = f"/v2/trec/referrers/{pin.digest}"
    listed = json.loads(answer(registry.root, path).body)["manifests"]
    shown = registry.show("trec:1.0.0").attachments
    assert {each["digest"] for each in listed} == {each.digest for each in shown}
    kind = "application/vnd.dsse.envelope.v1+json"
    for written in (kind, kind.replace("+", "%2B")):
        filtered = json.loads(answer(registry.root, f"{path}?artifactType={written}").body)
        (signature,) = filtered["manifests"]
    assert signature["artifactType"] == kind
    assert signature["annotations"]
    body = answer(registry.root, f"/v2/trec/manifests/{signature['digest']}").body
    assert json.loads(body)["subject"]["digest"] == pin.digest


@needs("docker-registry")
@needs("skopeo")
def test_dockers_registry_and_skopeo_carry_signatures(
    registry: Registry, edge: Registry, pin: Pin, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "upstream") as host:
        remote = f"{host}/models/trec"
        assert push(registry, "trec:1.0.0", remote).attached == 2
        assert pull(edge, f"{remote}:1.0.0").attached == 2
        assert edge.verify("trec", key=PUBLIC).ok
        tag = f"{prefix(pin)}.sig-1"
        raw = run_foreign(
            "skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{remote}:{tag}"
        )
        assert sha256(raw) == sha256(
            run_foreign("skopeo", "inspect", "--raw", f"oci:{registry.root}/trec:{tag}")
        )
