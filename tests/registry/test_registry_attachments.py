"""Evaluations and signatures are added to a version without changing it."""

from __future__ import annotations

import base64
import fcntl
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from registry_support import (
    CREATED,
    Run,
    append_entry,
    blob_of,
    blob_path,
    flip,
    index_entry,
    publish,
    snapshot,
)
from signing import EVALUATION, KEY, pem, public_pem

from spikewatch.registry import BadInput, Corrupt, NotFound, Pin, Registry, RegistryError
from spikewatch.registry.formats.attachments import build_attachment
from spikewatch.registry.formats.json_documents import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return KEY


@pytest.fixture
def store(registry: Registry) -> Registry:
    publish(registry, "1.0.0", "production")
    return registry


def forge_signature(registry: Registry, pin: Pin, envelope: bytes) -> None:
    """Attach an envelope to a version as another program could: without any check."""
    subject = Descriptor.from_json(index_entry(registry, pin.digest), what="index.json")
    package = build_attachment("sig", "trec", subject, envelope, {})
    for digest, data in package.blobs.items():
        blob_path(registry, digest).write_bytes(data)
    change = {"op": "attach", "ref": f"{pin.digest.replace(':', '-')}.sig-1", "from": None}
    append_entry(registry, **change, to=package.descriptor.to_json())


def test_attaching_an_evaluation_leaves_the_version_unchanged(store: Registry) -> None:
    before = snapshot(store.root)
    pin = store.resolve("trec:1.0.0")
    hexadecimal = pin.digest.removeprefix("sha256:")
    tag = store.attach("trec:production", EVALUATION, created=CREATED, actor="ann")
    assert tag == f"sha256-{hexadecimal}.eval-1"
    assert store.attach("trec:1.0.0", EVALUATION, created=CREATED) == tag  # the same again
    assert store.attach("trec:1.0.0", b"{}", created=CREATED).endswith(".eval-2")
    assert store.resolve("trec:production") == pin
    after = snapshot(store.root)
    assert {n for n in before if before[n] != after[n]} == {"trec/index.json"}
    first, second = store.show("trec:1.0.0").attachments
    assert (first.kind, first.tag, first.created) == ("eval", tag, "2026-01-01T00:00:00Z")
    assert first.document == json.loads(EVALUATION)
    assert second.document == {}
    assert [entry.tag for entry in store.list()] == ["1.0.0", "production"]
    report = store.verify(deep=False)
    assert report.ok
    assert report.references == 2
    events = store.history("trec")
    assert [(e.operation, e.actor) for e in events][2] == ("attach", "ann")


def test_an_attachment_is_an_oci_referrer(store: Registry) -> None:
    tag = store.attach("trec:1.0.0", EVALUATION, created=CREATED)
    (attachment,) = store.show("trec:1.0.0").attachments
    manifest = json.loads(blob_path(store, attachment.digest).read_bytes())
    subject = store.resolve("trec:1.0.0").digest
    assert manifest["subject"]["digest"] == subject
    assert manifest["subject"]["size"] == blob_path(store, subject).stat().st_size
    assert manifest["artifactType"] == "application/vnd.spikewatch.eval.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    entry = index_entry(store, attachment.digest)
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": tag}
    assert entry["artifactType"] == manifest["artifactType"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not valid JSON"),
        (b"[]", "is [], not a JSON object"),
        (b'{"a":1,"a":2}', "key 'a' appears twice"),
        (b"\xff", "not valid JSON"),
        (b'"' + b"x" * (4 << 20) + b'"', "limit 4194304"),
    ],
)
def test_an_evaluation_that_is_not_a_json_object_is_refused(
    store: Registry, content: bytes, text: str
) -> None:
    before = snapshot(store.root)
    with pytest.raises(BadInput) as caught:
        store.attach("trec:1.0.0", content, created=CREATED)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(store.root) == before


# Signatures


def test_a_signature_is_checked_by_openssl(
    store: Registry, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    """Check that the signed bytes are those that DSSE specifies, with an independent program."""
    if shutil.which("openssl") is None:
        pytest.skip("NO FOREIGN JUDGE: openssl is not installed")
    store.sign("trec:production", pem(key))
    (signature,) = store.show("trec:1.0.0").attachments
    payload = base64.b64decode(signature.document["payload"])
    kind = signature.document["payloadType"].encode()
    (tmp_path / "signed").write_bytes(
        b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    )
    (tmp_path / "key").write_bytes(public_pem(key))
    (tmp_path / "sig").write_bytes(base64.b64decode(signature.document["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", tmp_path / "key"]
    command += ["-sigfile", tmp_path / "sig", "-in", tmp_path / "signed"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    hexadecimal = store.resolve("trec:1.0.0").digest.removeprefix("sha256:")
    assert statement["subject"] == [{"name": "trec:1.0.0", "digest": {"sha256": hexadecimal}}]


def test_a_version_is_signed_once_by_each_key(store: Registry, key: Ed25519PrivateKey) -> None:
    other = Ed25519PrivateKey.generate()
    assert store.sign("trec:1.0.0", pem(key)).endswith(".sig-1")
    assert store.sign("trec:production", pem(key)).endswith(".sig-1")
    assert store.sign("trec:1.0.0", pem(other)).endswith(".sig-2")
    for each in (key, other):
        assert store.verify(key=public_pem(each), deep=False).ok
        assert store.verify("trec:production", key=public_pem(each)).ok
    stranger = store.verify(key=public_pem(Ed25519PrivateKey.generate()))
    (problem,) = stranger.problems
    assert problem.what.startswith("is not signed by key ")
    assert "sig-1 is of another key or forged; sig-2 is of another key or forged" in problem.what
    assert problem.breaks == ("1.0.0", "production")


def test_verify_requires_a_signature_of_every_version_or_of_the_named_one(
    store: Registry, key: Ed25519PrivateKey
) -> None:
    store.sign("trec:1.0.0", pem(key))
    publish(store, "1.1.0")
    assert [p.breaks for p in store.verify("trec", key=public_pem(key)).problems] == [("1.1.0",)]
    assert store.verify("trec:1.0.0", key=public_pem(key)).ok
    pin = store.resolve("trec:1.1.0")
    assert not store.verify(f"trec@{pin.digest}", key=public_pem(key)).ok


def test_a_signature_of_another_version_does_not_count(
    store: Registry, key: Ed25519PrivateKey
) -> None:
    """Copy the envelope of a signed version to a version that was never signed."""
    store.sign("trec:1.0.0", pem(key))
    signed = store.show("trec:1.0.0").attachments[0].document
    pin = publish(store, "1.1.0")
    forge_signature(store, pin, json.dumps(signed).encode())
    (problem,) = store.verify("trec:1.1.0", key=public_pem(key)).problems
    assert "signs [{'sha256': '" in problem.what
    with pytest.raises(Corrupt, match="signs "):
        store.show("trec:1.1.0")
    assert not store.verify("trec", deep=True).ok


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d.update(payloadType="text/plain"), "'payloadType' is 'text/plain'"),
        (lambda d: d.update(payload="***"), "'payload' is not base64"),
        (lambda d: d.update(signatures=[]), "has 0 signatures, not 1"),
        (lambda d: d["signatures"][0].update(sig="AAAA"), "another key or forged"),
        (lambda d: d["signatures"][0].pop("keyid"), "'keyid' is None"),
        (lambda d: d.pop("payload"), "'payload' is None"),
        (lambda d: d.update(payload=base64.b64encode(b"[]").decode()), "'subject' is None"),
    ],
)
def test_a_forged_envelope_does_not_count(
    store: Registry,
    key: Ed25519PrivateKey,
    change: Callable[[dict[str, Any]], object],
    text: str,
) -> None:
    store.sign("trec:1.0.0", pem(key))
    document = json.loads(json.dumps(store.show("trec:1.0.0").attachments[0].document))
    fresh = Registry.init(store.root.parent / "fresh")
    pin = publish(fresh, "1.0.0")
    change(document)
    forge_signature(fresh, pin, json.dumps(document).encode())
    (problem,) = fresh.verify("trec:1.0.0", key=public_pem(key)).problems
    assert text in problem.what
    assert "\n" not in problem.what


def test_a_damaged_version_is_not_signed(store: Registry, key: Ed25519PrivateKey) -> None:
    flip(blob_of(store, "trec:1.0.0", "core.safetensors"))
    before = snapshot(store.root)
    with pytest.raises(Corrupt, match="blob sha256:"):
        store.sign("trec:1.0.0", pem(key))
    assert snapshot(store.root) == before


def test_a_bad_key_is_refused(store: Registry, key: Ed25519PrivateKey) -> None:
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    wrong = pem(X25519PrivateKey.generate())
    before = snapshot(store.root)
    for bad in (b"", b"x", public_pem(key), encrypted, wrong):
        with pytest.raises(BadInput, match=r"^key: not an? ") as caught:
            store.sign("trec:1.0.0", bad)
        assert "\n" not in str(caught.value)
    for bad in (b"", b"x", pem(key)):
        with pytest.raises(BadInput, match=r"^key: not a public key in PEM"):
            store.verify(key=bad)
    assert snapshot(store.root) == before


def test_without_the_extra_signing_says_what_to_install(
    store: Registry, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("spikewatch.registry.formats.keys", raising=False)
    monkeypatch.setitem(sys.modules, "spikewatch.registry.formats.keys", None)
    for use in (lambda: store.sign("trec:1.0.0", pem(key)), lambda: store.verify(key=b"x")):
        with pytest.raises(BadInput, match=r"pip install 'spikewatch\[sign\]'$"):
            use()


# Removal, damage, the program


def test_gc_removes_attachments_with_their_version(store: Registry, key: Ed25519PrivateKey) -> None:
    publish(store, "1.1.0")
    for version in ("1.0.0", "1.1.0"):
        store.attach(f"trec:{version}", EVALUATION, created=CREATED)
        store.sign(f"trec:{version}", pem(key))
    gone = store.resolve("trec:1.1.0").digest.removeprefix("sha256:")
    assert store.gc(grace=0)[0].tags == ()
    store.withdraw("trec", "1.1.0")
    before = snapshot(store.root)
    (plan,) = store.gc(grace=0, dry_run=True)
    assert snapshot(store.root) == before
    (done,) = store.gc(grace=0)
    assert done == plan
    assert done.tags == (f"sha256-{gone}.eval-1", f"sha256-{gone}.sig-1")
    # Core image, config, manifest; two attachments' manifests, one signature. The evaluation itself
    # has the same bytes as that of the other version, which still needs it.
    assert len(done.blobs) == 6
    assert store.verify(deep=False).notes == ()
    assert store.verify("trec:1.0.0", key=public_pem(key)).ok
    assert len(store.show("trec:1.0.0").attachments) == 2
    with pytest.raises(NotFound, match="is withdrawn"):
        store.attach("trec:1.1.0", EVALUATION, created=CREATED)


def test_an_attachment_stays_if_its_version_is_published_again_during_gc(
    store: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publish between the moment gc plans and the moment it holds the lock."""
    publish(store, "1.1.0")
    store.attach("trec:1.1.0", EVALUATION, created=CREATED)
    store.withdraw("trec", "1.1.0")
    others = Registry(store.root)

    def late(*_: object) -> None:
        monkeypatch.undo()
        publish(others, "1.1.0")

    monkeypatch.setattr(fcntl, "flock", late)
    store.gc(grace=0)
    assert len(store.show("trec:1.1.0").attachments) == 1
    assert store.verify().ok


def test_damage_to_an_attachment_is_found(store: Registry) -> None:
    tag = store.attach("trec:1.0.0", EVALUATION, created=CREATED)
    manifest = store.show("trec:1.0.0").attachments[0].digest
    content = json.loads(blob_path(store, manifest).read_bytes())["layers"][0]["digest"]
    for digest in (manifest, content):
        path = blob_path(store, digest)
        data = path.read_bytes()
        flip(path)
        (problem,) = store.verify().problems
        assert problem.breaks == (tag,)
        with pytest.raises(Corrupt):
            store.show("trec:1.0.0")
        assert store.load("trec:1.0.0").files
        path.write_bytes(data)
    assert store.verify().ok


def test_the_program_attaches_signs_and_verifies(
    run: Run,
    store: Registry,
    key: Ed25519PrivateKey,
    tmp_path: Path,
) -> None:
    for name, data in (("eval", EVALUATION), ("key", pem(key)), ("pub", public_pem(key))):
        (tmp_path / name).write_bytes(data)
    pin = store.resolve("trec:1.0.0")
    result = run("attach", "trec:production", str(tmp_path / "eval"), "--reason", "new data")
    assert result == (0, f"{pin} has eval-1\n", "")
    assert run("verify", "--key", str(tmp_path / "pub")).code == 1
    result = run("sign", "trec:production", "--key", str(tmp_path / "key"))
    assert result == (0, f"{pin} has sig-1\n", "")
    assert run("verify", "trec:production", "--key", str(tmp_path / "pub")).code == 0
    out = run("show", "trec:1.0.0").out
    assert "ATTACHED  TIME" in out
    assert "spiking 91.0 %" in out
    assert "signed by key " in out
    assert json.loads(run("sign", "trec:1.0.0", "--key", str(tmp_path / "key"), "--json").out)[
        "tag"
    ].endswith(".sig-1")
    for args in (
        ("attach", "trec:1.0.0", str(tmp_path / "none")),
        ("attach", "trec:1.0.0", str(tmp_path)),
        ("sign", "trec:1.0.0", "--key", str(tmp_path / "eval")),
        ("verify", "--key", str(tmp_path / "none")),
    ):
        refused = run(*args)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)


def test_an_attachment_cannot_be_loaded_as_a_version(store: Registry) -> None:
    tag = store.attach("trec:1.0.0", EVALUATION, created=CREATED)
    digest = store.show("trec:1.0.0").attachments[0].digest
    for ref in (f"trec:{tag}", f"trec@{digest}"):
        with pytest.raises(RegistryError):
            store.load(ref)
    with pytest.raises(RegistryError):
        store.set_alias("trec", "production", f"trec:{tag}")
