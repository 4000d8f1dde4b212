"""Publishing and reading: what comes back, what is on disk, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import (
    CREATED,
    STAGES,
    checksummed,
    fork,
    model_files,
    publish,
    snapshot,
    wait,
)

from spikewatch.registry import (
    ABSENT,
    BadInput,
    BadReference,
    Conflict,
    NotFound,
    Registry,
    RegistryError,
    StorageError,
    bundled,
)
from spikewatch.registry import manifest as manifest_module

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"architecture": "elman", "capabilities": {"inputTypes": ["text"]}}
NOTES = {"org.opencontainers.image.licenses": "Apache-2.0", "org.spikewatch.dev": "85.0"}

GOLDEN = "sha256:cda87bc7a70734bcf72d3285cbc1cac8c9da21a360b7bc3e5a6197f32ef2747c"
"""Digest of the golden publish below. It may never change: edge devices are pinned to digests, and
the same inputs must give the same digest in every release."""


def golden(registry: Registry, files: dict[str, bytes] | None = None) -> str:
    files = model_files("golden") if files is None else files
    pin = registry.publish(
        "trec", "1.0.0", files, created=CREATED, config=CONFIG, annotations=NOTES
    )
    return pin.digest


def test_what_is_published_is_loaded(registry: Registry) -> None:
    files = model_files("a")
    pin = registry.publish(
        "trec", "1.0.0", files, created=CREATED, config=CONFIG, annotations=NOTES
    )
    model = registry.load("trec:1.0.0")
    assert model.pin == pin
    assert model.files == files
    assert model.config == CONFIG
    assert NOTES.items() <= model.annotations.items()
    assert str(pin) == f"trec:1.0.0@{pin.digest}"


def test_only_the_asked_files_are_loaded(registry: Registry) -> None:
    publish(registry, "1.0.0")
    model = registry.load("trec:1.0.0", names=["labels.json"])
    assert model.files == {"labels.json": model_files()["labels.json"]}


def test_a_file_that_the_model_does_not_have_is_not_found(registry: Registry) -> None:
    pin = publish(registry, "1.0.0")
    with pytest.raises(NotFound, match=f"^{re.escape(str(pin))}: has no file 'encoder'$"):
        registry.load("trec:1.0.0", names=["encoder"])


def test_an_empty_file_is_a_file(registry: Registry) -> None:
    registry.publish("trec", "1.0.0", {"notes.txt": b""}, created=CREATED)
    assert registry.load("trec:1.0.0").files == {"notes.txt": b""}
    assert registry.verify().ok


def test_same_inputs_give_the_same_digest_everywhere(registry: Registry) -> None:
    assert golden(registry) == GOLDEN


def test_order_of_files_and_time_zone_do_not_change_the_digest(tmp_path: Path) -> None:
    files = model_files("golden")
    backwards = dict(reversed(files.items()))
    east = CREATED.astimezone(timezone(timedelta(hours=9)))
    pin = Registry.init(tmp_path / "b").publish(
        "trec", "1.0.0", backwards, created=east, config=CONFIG, annotations=NOTES
    )
    assert pin.digest == GOLDEN


def test_without_a_date_it_is_now(registry: Registry) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    registry.publish("trec", "1.0.0", model_files(), created=None)
    created = datetime.fromisoformat(registry.show("trec:1.0.0").created)
    assert before <= created <= datetime.now(UTC)


# The form on disk


def test_the_store_is_one_oci_layout_per_model(registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    root = registry.root / "trec"
    assert (root / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    index = json.loads((root / "index.json").read_bytes())
    manifest_file = root / "blobs" / "sha256" / pin.digest.removeprefix("sha256:")
    descriptor = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "digest": pin.digest,
        "size": manifest_file.stat().st_size,
    }
    newest = (root / ".journal" / "00000002.json").read_bytes()
    assert checksummed(json.loads(json.dumps(index))) == (root / "index.json").read_bytes()
    del index["annotations"]["org.spikewatch.checksum"]
    assert index == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            descriptor | {"annotations": {"org.opencontainers.image.ref.name": tag}}
            for tag in ("1.0.0", "production")
        ],
        "annotations": {
            "org.spikewatch.generation": "2",
            "org.spikewatch.journal": f"sha256:{hashlib.sha256(newest).hexdigest()}",
        },
    }
    assert {path.name for path in root.iterdir()} == {
        "oci-layout", "index.json", "blobs", ".journal", ".ingest"
    }  # fmt: skip
    assert not list((root / ".ingest").iterdir())


def test_every_blob_is_named_by_its_digest(registry: Registry) -> None:
    publish(registry, "1.0.0")
    blobs = list((registry.root / "trec" / "blobs" / "sha256").iterdir())
    assert len(blobs) == len(model_files()) + 2  # config and manifest
    for blob in blobs:
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_the_manifest_is_a_modelpack_manifest(registry: Registry) -> None:
    files = model_files() | {
        "encoder.safetensors": b"e",
        "tokenizer.json": b"{}",
        "model.onnx": b"o",
        "MODEL_CARD.md": b"# card",
    }
    registry.publish("trec", "1.0.0", files, created=CREATED, config=CONFIG, annotations=NOTES)
    manifest = registry.show("trec:1.0.0").manifest
    assert manifest["schemaVersion"] == 2
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    kinds = {}
    for layer in manifest["layers"]:
        title = layer["annotations"]["org.opencontainers.image.title"]
        assert layer["annotations"]["org.cncf.model.filepath"] == title
        assert layer["size"] == len(files[title])
        kinds[title] = layer["mediaType"].removeprefix("application/vnd.cncf.model.")
    assert kinds == {
        "MODEL_CARD.md": "doc.v1.raw",
        "core.safetensors": "weight.v1.raw",
        "encoder.safetensors": "weight.v1.raw",
        "eval.json": "doc.v1.raw",
        "labels.json": "weight.config.v1.raw",
        "model.onnx": "weight.v1.raw",
        "tokenizer.json": "weight.config.v1.raw",
    }
    assert manifest["annotations"] == NOTES | {
        "org.opencontainers.image.title": "trec",
        "org.opencontainers.image.version": "1.0.0",
        "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
    }


def test_the_config_is_a_modelpack_config(registry: Registry) -> None:
    registry.publish(
        "trec", "1.0.0", model_files(), created=CREATED, config=CONFIG, annotations=NOTES
    )
    manifest = registry.show("trec:1.0.0").manifest
    name = manifest["config"]["digest"].removeprefix("sha256:")
    config = json.loads((registry.root / "trec" / "blobs" / "sha256" / name).read_bytes())
    assert config == {
        "descriptor": {
            "name": "trec",
            "version": "1.0.0",
            "createdAt": "2026-01-01T00:00:00Z",
            "licenses": ["Apache-2.0"],
        },
        "config": CONFIG,
        "modelfs": {"type": "layers", "diffIds": [x["digest"] for x in manifest["layers"]]},
    }


def test_the_journal_says_who_when_why_from_and_to(registry: Registry) -> None:
    first = publish(registry, "1.0.0", "production")
    registry.publish("trec", "1.1.0", model_files("b"), created=CREATED, actor="ci", reason="new")
    second = registry.set_alias("trec", "production", "1.1.0", actor="ann", reason="better dev")
    folder = registry.root / "trec" / ".journal"
    data = [(folder / f"{n:08d}.json").read_bytes() for n in range(1, 5)]
    entries = [json.loads(each) for each in data]
    assert [(e["gen"], e["op"], e["ref"], e["from"], e["to"]["digest"]) for e in entries] == [
        (1, "publish", "1.0.0", None, first.digest),
        (2, "alias", "production", None, first.digest),
        (3, "publish", "1.1.0", None, second.digest),
        (4, "alias", "production", first.digest, second.digest),
    ]
    assert [e["prev"] for e in entries] == [
        None, *(f"sha256:{hashlib.sha256(each).hexdigest()}" for each in data[:3])
    ]  # fmt: skip
    assert [(e["actor"], e["reason"]) for e in entries[2:]] == [
        ("ci", "new"),
        ("ann", "better dev"),
    ]
    assert "@" in entries[0]["actor"]
    assert all(datetime.fromisoformat(e["time"]).tzinfo == UTC for e in entries)


def test_a_blob_that_versions_share_is_stored_once(registry: Registry) -> None:
    publish(registry, "1.0.0")
    before = len(list((registry.root / "trec" / "blobs" / "sha256").iterdir()))
    publish(registry, "1.1.0")
    after = len(list((registry.root / "trec" / "blobs" / "sha256").iterdir()))
    assert after - before == 3  # core image, config, manifest


# Immutability


def test_publishing_the_same_bytes_again_is_a_success_and_changes_nothing(
    registry: Registry,
) -> None:
    pin = publish(registry, "1.0.0", "production")
    before = snapshot(registry.root)
    assert publish(registry, "1.0.0", "production") == pin
    assert snapshot(registry.root) == before


def test_publishing_other_bytes_is_a_conflict_and_changes_nothing(registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    before = snapshot(registry.root)
    message = (
        rf"^trec:1\.0\.0 is published as {pin.digest} and cannot become sha256:[0-9a-f]{{64}}; "
        "versions are immutable$"
    )
    with pytest.raises(Conflict, match=message):
        registry.publish("trec", "1.0.0", model_files("other"), created=CREATED, alias="production")
    assert snapshot(registry.root) == before
    assert registry.load("trec:production").files == model_files("1.0.0")


def test_publishing_again_heals_a_damaged_blob(registry: Registry) -> None:
    publish(registry, "1.0.0")
    before = snapshot(registry.root)
    blobs = sorted((registry.root / "trec" / "blobs" / "sha256").iterdir())
    blobs[0].write_bytes(b"")
    blobs[1].unlink()
    blobs[1].symlink_to("/etc/passwd")
    blobs[2].write_bytes(blobs[2].read_bytes() + b"x")
    blobs[3].unlink()
    publish(registry, "1.0.0")
    assert snapshot(registry.root) == before
    assert not any(blob.is_symlink() for blob in blobs)
    assert registry.verify().ok


# Aliases


def test_an_alias_moves_from_version_to_version(registry: Registry) -> None:
    first = publish(registry, "1.0.0", "production")
    second = publish(registry, "1.1.0")
    assert registry.resolve("trec:production") == first
    assert registry.set_alias("trec", "production", "trec:1.1.0") == second
    assert registry.resolve("trec:production") == second
    assert registry.set_alias("trec", "production", first.digest) == first
    assert registry.set_alias("trec", "stage", "production") == first


def test_an_alias_moves_only_when_it_means_what_was_expected(registry: Registry) -> None:
    first = publish(registry, "1.0.0", "production")
    second = publish(registry, "1.1.0")
    registry.set_alias("trec", "production", "1.1.0", expect=first.digest)
    before = snapshot(registry.root)
    message = f"^trec:production is {second.digest}, not {first.digest} as expected$"
    with pytest.raises(Conflict, match=message):
        registry.set_alias("trec", "production", "1.0.0", expect=first.digest)
    with pytest.raises(Conflict, match=f"production is {second.digest}, not absent as expected"):
        registry.set_alias("trec", "production", "1.0.0", expect=ABSENT)
    with pytest.raises(Conflict, match=f"trec:stage is absent, not {first.digest} as expected"):
        registry.set_alias("trec", "stage", "1.0.0", expect=first.digest)
    assert snapshot(registry.root) == before
    registry.set_alias("trec", "stage", "1.0.0", expect=ABSENT)
    assert registry.resolve("trec:stage") == first


def test_moving_an_alias_to_where_it_is_writes_nothing(registry: Registry) -> None:
    publish(registry, "1.0.0", "production")
    before = snapshot(registry.root)
    registry.set_alias("trec", "production", "1.0.0", reason="again")
    assert snapshot(registry.root) == before


@pytest.mark.parametrize(
    ("alias", "ref", "expect", "error"),
    [
        ("1.0.0", "1.0.0", None, BadReference),
        ("v1", "1.0.0", None, BadReference),
        ("Production", "1.0.0", None, BadReference),
        ("production", "2.0.0", None, NotFound),
        ("production", "stage", None, NotFound),
        ("production", "sha256:" + "0" * 64, None, NotFound),
        ("production", "sha256:12", None, BadReference),
        ("production", "other:1.0.0", None, BadReference),
        ("production", "missing:1.0.0", None, BadReference),
        ("production", "1.0.0", "1.0.0", BadReference),
        ("production", "1.0.0", "", BadReference),
        ("production", "1.0.0", "sha256:", BadReference),
    ],
)
def test_a_bad_alias_change_is_refused_and_writes_nothing(
    registry: Registry, alias: str, ref: str, expect: str | None, error: type[RegistryError]
) -> None:
    publish(registry, "1.0.0")
    publish(registry, "1.0.0", name="other")
    before = snapshot(registry.root)
    with pytest.raises(error) as caught:
        registry.set_alias("trec", alias, ref, expect=expect)
    assert "\n" not in str(caught.value)
    assert snapshot(registry.root) == before


# Finding


def test_every_form_of_reference_leads_to_the_version(registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    for ref in ("trec:1.0.0", "trec:production", f"trec@{pin.digest}", str(pin)):
        assert registry.resolve(ref) == pin
        assert registry.load(ref).pin == pin
        assert registry.show(ref).pin == pin


def test_tag_and_digest_must_agree(registry: Registry) -> None:
    first, second = publish(registry, "1.0.0"), publish(registry, "1.1.0")
    with pytest.raises(Conflict, match=f"^trec:1.0.0 is {first.digest}, not {second.digest}$"):
        registry.resolve(f"trec:1.0.0@{second.digest}")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("trec:2.0.0", "model trec: no version '2.0.0'"),
        ("trec:stage", "model trec: no alias 'stage'"),
        ("trec:latest", "model trec: no alias 'latest'"),
        ("trec@sha256:" + "0" * 64, "model trec: no manifest sha256:" + "0" * 64),
    ],
)
def test_what_does_not_exist_is_not_found(registry: Registry, ref: str, message: str) -> None:
    publish(registry, "1.0.0", "production")
    with pytest.raises(NotFound, match=f"^{re.escape(message)}$"):
        registry.resolve(ref)


def test_a_model_that_does_not_exist_is_not_found(registry: Registry) -> None:
    message = f"^registry {re.escape(str(registry.root))}: no model 'qa'$"
    for find in (registry.list, registry.verify):
        with pytest.raises(NotFound, match=message):
            find("qa")
    with pytest.raises(NotFound, match=message):
        registry.resolve("qa:1.0.0")


def test_the_digest_of_a_layer_is_not_a_model(registry: Registry) -> None:
    publish(registry, "1.0.0")
    layer = registry.show("trec:1.0.0").layers[0]
    with pytest.raises(NotFound, match="no manifest"):
        registry.resolve(f"trec@{layer.digest}")


def test_a_manifest_without_a_tag_is_found_by_its_digest(registry: Registry) -> None:
    """What a later release does when it removes a tag: an entry that leads to nothing."""
    pin = publish(registry, "1.0.0")
    folder = registry.root / "trec" / ".journal"
    first = (folder / "00000001.json").read_bytes()
    entry = json.loads(first) | {
        "gen": 2,
        "prev": f"sha256:{hashlib.sha256(first).hexdigest()}",
        "op": "remove",
        "from": pin.digest,
        "to": None,
    }
    data = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    (folder / "00000002.json").write_bytes(data)
    with pytest.raises(NotFound):
        registry.resolve("trec:1.0.0")
    found = registry.resolve(f"trec@{pin.digest}")
    assert (found.version, str(found)) == (None, f"trec@{pin.digest}")
    assert registry.load(str(found)).files == model_files("1.0.0")
    assert registry.verify().ok


def test_list_is_ordered_by_semver_and_says_what_aliases_mean(registry: Registry) -> None:
    for version in ("1.10.0", "1.2.0", "1.10.0-rc.1"):
        publish(registry, version)
    registry.set_alias("trec", "production", "1.2.0")
    publish(registry, "0.1.0", name="area")
    found = [(e.name, e.tag, e.kind, e.version) for e in registry.list()]
    assert found == [
        ("area", "0.1.0", "version", "0.1.0"),
        ("trec", "1.2.0", "version", "1.2.0"),
        ("trec", "1.10.0-rc.1", "version", "1.10.0-rc.1"),
        ("trec", "1.10.0", "version", "1.10.0"),
        ("trec", "production", "alias", "1.2.0"),
    ]
    assert registry.models() == ["area", "trec"]
    assert {e.name for e in registry.list("area")} == {"area"}
    assert {e.created for e in registry.list()} == {"2026-01-01T00:00:00Z"}


def test_show_tells_figures_labels_and_aliases(registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    registry.set_alias("trec", "canary", "1.0.0")
    details = registry.show("trec:1.0.0")
    assert details.pin == pin
    assert details.aliases == ("canary", "production")
    assert details.stages == STAGES
    assert details.labels == ("ABBR", "DESC")
    assert [layer.path for layer in details.layers] == sorted(model_files())


@pytest.mark.parametrize("text", [b"[]", b'{"stages": [1]}', b'{"stages": {"float": 1}}', b"7"])
def test_show_copes_with_other_documents_of_the_same_name(registry: Registry, text: bytes) -> None:
    files = {"eval.json": text, "labels.json": b'{"a": 1}'}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    details = registry.show("trec:1.0.0")
    assert (details.stages, details.labels) == (None, None)


# Opening and creating


def test_init_may_be_repeated_and_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "models"
    for _ in range(2):
        assert Registry.init(root).models() == []
        assert list(root.iterdir()) == []


def test_init_refuses_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    message = f"^registry {re.escape(str(tmp_path))}: no hard links here: Operation not permitted$"
    with pytest.raises(StorageError, match=message):
        Registry.init(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_init_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^creating registry .*: File exists$"):
        Registry.init(tmp_path / "file")


def test_a_missing_directory_is_not_opened_nor_made(tmp_path: Path) -> None:
    root = tmp_path / "models"
    with pytest.raises(NotFound, match=f"^registry {re.escape(str(root))}: no such directory$"):
        Registry(root)
    assert not root.exists()


def test_other_directories_are_not_models(registry: Registry) -> None:
    publish(registry, "1.0.0")
    (registry.root / "notes").mkdir()
    (registry.root / "README").touch()
    (registry.root / ".git").mkdir()
    assert registry.models() == ["trec"]
    assert registry.verify().ok


def test_an_empty_directory_may_become_a_model(registry: Registry) -> None:
    (registry.root / "trec").mkdir()
    publish(registry, "1.0.0")
    assert registry.verify().ok


def test_a_copy_without_empty_directories_and_lock_can_be_read_and_written(
    registry: Registry,
) -> None:
    """What git or a wheel carries."""
    pin = publish(registry, "1.0.0", "production")
    (registry.root / "trec" / ".ingest").rmdir()
    (registry.root / "trec" / ".journal" / "lock").unlink()
    assert registry.verify().ok
    assert registry.load("trec:production").pin == pin
    publish(registry, "1.1.0", "production")
    assert registry.verify().ok


def test_bundled_is_below_the_package() -> None:
    assert bundled().name == "bundled"
    assert (bundled().parent / "store.py").is_file()


WRITING_EVENTS = {
    "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.utime",
    "os.chmod", "os.chown", "os.truncate", "fcntl.flock", "fcntl.lockf",
}  # fmt: skip
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def test_readers_write_nothing_and_take_no_lock(registry: Registry) -> None:
    """So they work where they may not write: checked by the interpreter's own audit events."""
    pin = publish(registry, "1.0.0", "production")
    for path in [registry.root, *registry.root.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING_FLAGS
        if event in WRITING_EVENTS or writes:
            os.write(2, f"{event} {args}\n".encode())
            os._exit(99)

    def read() -> None:
        sys.dont_write_bytecode = True
        sys.addaudithook(refuse)
        reader = Registry(registry.root)
        assert reader.resolve("trec:production") == pin
        assert reader.load("trec:production").files == model_files("1.0.0")
        assert reader.show("trec:1.0.0").aliases == ("production",)
        assert len(reader.list()) == 2
        assert reader.verify().ok

    try:
        assert wait(fork(read)) == 0
    finally:
        for path in [registry.root, *registry.root.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


def test_what_the_file_system_refuses_is_one_line(registry: Registry) -> None:
    publish(registry, "1.0.0")
    lock = registry.root / "trec" / ".journal" / "lock"
    lock.unlink()
    lock.mkdir()
    message = f"^setting trec:production in {re.escape(str(registry.root))}: Is a directory$"
    with pytest.raises(StorageError, match=message):
        registry.set_alias("trec", "production", "1.0.0")


# Bad input

FILES = {"labels.json": b"[]"}


@pytest.mark.parametrize(
    "given",
    [
        {"name": "Trec"},
        {"name": "../trec"},
        {"version": "1.0"},
        {"version": "1.0.0+b"},
        {"version": "production"},
        {"alias": "1.0.0"},
        {"alias": "sha256-abc"},
        {"files": {}},
        {"files": {"/etc/labels.json": b""}},
        {"files": {"../labels.json": b""}},
        {"files": {"a/../labels.json": b""}},
        {"files": {"a//labels.json": b""}},
        {"files": {"./labels.json": b""}},
        {"files": {"": b""}},
        {"files": {"a\x00.json": b""}},
        {"files": {"a\n.json": b""}},
        {"files": {"a\\b.json": b""}},
        {"files": {"\ud800.json": b""}},
        {"files": {"a" * 251 + ".json": b""}},
        {"files": {"model.pkl": b""}},
        {"files": {"model.pt": b""}},
        {"files": {"install.sh": b""}},
        {"files": {"model": b""}},
        {"files": FILES | {"big.txt": b"12345678901"}},
        {"created": datetime(2026, 1, 1)},  # noqa: DTZ001 -- without a zone on purpose
        {"annotations": {"org.opencontainers.image.version": "2.0.0"}},
        {"annotations": {"a": 1}},
        {"annotations": {"a": "\ud800"}},
        {"annotations": {"a": "x" * 5000}},
        {"config": {"hidden": 40}},
        {"config": {"precision": float("nan")}},
        {"config": {"precision": {1, 2}}},
        {"actor": "a\nb"},
        {"reason": "x" * 4097},
    ],
    ids=repr,
)
def test_bad_input_is_one_line_and_writes_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.setattr(manifest_module, "MAX_LAYER", 10)
    monkeypatch.setattr(manifest_module, "MAX_MANIFEST", 5000)
    call: dict[str, Any] = {
        "name": "trec",
        "version": "1.0.0",
        "files": FILES,
        "created": CREATED,
    } | given
    with pytest.raises((BadInput, BadReference)) as caught:
        registry.publish(**call)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert list(registry.root.iterdir()) == []


def test_the_limits_are_named() -> None:
    assert manifest_module.MAX_LAYER == 64 * 1024 * 1024
    assert manifest_module.MAX_MANIFEST == 4 * 1024 * 1024


def test_a_file_over_the_limit_says_so(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "MAX_LAYER", 10)
    with pytest.raises(BadInput, match=r"^file 'a\.txt': 11 bytes, more than the limit of 10$"):
        registry.publish("trec", "1.0.0", {"a.txt": b"12345678901"}, created=CREATED)
