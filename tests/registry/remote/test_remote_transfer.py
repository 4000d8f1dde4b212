"""Push and pull: copies are identical, bad content is refused, and a version never changes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import CREATED, snapshot
from remote_support import (
    FakeRegistry,
    model_files,
    publish,
    sha256,
)

from spikewatch.registry import (
    BadReference,
    Conflict,
    Corrupt,
    NotFound,
    Registry,
    RegistryError,
    RemoteError,
    cli,
)
from spikewatch.registry.remote import pull, push, transfer

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_pushed_version_is_pulled_byte_for_byte(
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


def test_push_and_pull_take_a_registrys_directory(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    pin = publish(registry, "1.0.0")
    assert push(str(registry.root), "trec:1.0.0", upstream.remote()).pin == pin
    assert pull(edge.root, upstream.remote(":1.0.0")).pin == pin
    assert edge.resolve("trec:1.0.0") == pin
    with pytest.raises(NotFound, match="no such directory$"):
        pull(str(edge.root / "none"), upstream.remote(":1.0.0"))


def test_a_push_reads_the_index_and_the_manifest_once(
    registry: Registry, upstream: FakeRegistry
) -> None:
    pin = publish(registry, "1.0.0", "production")
    opened = []
    real = os.open

    def record(path: Any, *args: Any, **kwargs: Any) -> int:
        opened.append(Path(path).name)
        return real(path, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", record)
        push(registry, "trec:production", upstream.remote())
    assert opened.count("index.json") == 1
    assert opened.count(pin.digest.removeprefix("sha256:")) == 1


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


def test_a_tag_in_the_remote_is_set_in_addition_to_the_version(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0", "production")
    assert push(registry, "trec:production", upstream.remote(":canary")).tags == ("1.0.0", "canary")
    assert sorted(tag for tag in upstream.state.manifests if ":" not in tag) == ["1.0.0", "canary"]
    assert pull(edge, upstream.remote(), "trec", "1.0.0").pin.version == "1.0.0"


def test_only_missing_content_is_sent(
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


def test_pulling_again_repairs_a_damaged_blob(
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


def altered(
    upstream: FakeRegistry, change: Callable[[dict[str, Any]], object], tag: str = "1.0.0"
) -> None:
    """Point a tag of the upstream registry at a changed manifest, stored under its own digest."""
    document = json.loads(upstream.state.manifests["1.0.0"])
    change(document)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    upstream.state.manifests[tag] = upstream.state.manifests[sha256(data)] = data


EMPTY = hashlib.sha256(b"{}").hexdigest()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
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
            "is listed with two sizes",
        ),
        (
            lambda d: d["layers"][0]["annotations"].update({"org.cncf.model.filepath": "x.pkl"}),
            Corrupt,
            "file 'x.pkl': not a type of file that a model may contain",
        ),
        (
            lambda d: d["layers"][0].update(mediaType="application/vnd.cncf.model.doc.v1.raw"),
            Corrupt,
            "file 'core.safetensors': is 'application/vnd.cncf.model.doc.v1.raw', not",
        ),
        (lambda d: d.update(layers=[]), Corrupt, "has no files"),
        (
            lambda d: d["annotations"].update(x="\ud800"),
            Corrupt,
            "not valid JSON.*surrogates not allowed",
        ),
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
def test_a_manifest_that_publish_could_not_make_is_refused(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    change: Callable[[dict[str, Any]], object],
    kind: type[RegistryError],
    message: str,
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    altered(upstream, change)
    with pytest.raises(kind, match=message):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_a_file_in_another_format_than_its_name_promises_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    files = {"core.safetensors": b"cos\nsystem\n(S'true'\ntR."}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    push(registry, "trec:1.0.0", upstream.remote())
    with pytest.raises(Corrupt, match=r"models/trec:1\.0\.0: core\.safetensors: "):
        pull(edge, upstream.remote(":1.0.0"))
    assert snapshot(edge.root) == {}


def test_a_manifest_that_is_not_canonical_is_refused(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    pretty = json.dumps(json.loads(upstream.state.manifests["1.0.0"]), indent=2).encode()
    upstream.state.manifests["1.0.0"] = pretty
    with pytest.raises(Corrupt, match="not in canonical form"):
        pull(edge, upstream.remote(":1.0.0"))


def test_a_model_over_the_memory_limit_is_refused_before_it_is_read(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    monkeypatch.setattr(transfer, "MAX_MODEL", 2048)
    before = len(upstream.state.requests)
    for copy in (
        lambda: pull(edge, upstream.remote(":1.0.0")),
        lambda: push(registry, "trec:1.0.0", upstream.remote()),
    ):
        with pytest.raises(Corrupt, match="bytes in all, more than the limit of 2048"):
            copy()
    assert len(upstream.state.requests) == before + 1


def test_a_wrong_digest_from_a_registry_is_detected(
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


def test_a_registry_that_sends_no_digests_can_be_used(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    upstream.state.sends_digests = False
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
def test_a_malformed_remote_is_refused(edge: Registry, remote: str) -> None:
    with pytest.raises(BadReference, match="remote "):
        pull(edge, remote, pause=lambda _: pytest.fail("a request was made"))


def test_a_pull_needs_a_tag_or_a_digest(edge: Registry, upstream: FakeRegistry) -> None:
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


def test_the_journal_records_where_a_version_was_pulled_from(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", upstream.remote())
    pull(edge, upstream.remote(":1.0.0"), actor="box 7")
    (event,) = edge.history("trec")
    assert (event.operation, event.actor) == ("pull", "box 7")
    assert event.reason == f"pulled from {upstream.remote(':1.0.0')}"
