"""The format on disk: an OCI layout with ModelPack manifests, and a journal."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from registry_support import CONFIG, CREATED, NOTES, checksummed, model_files, publish

if TYPE_CHECKING:
    from spikewatch.registry import Registry


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


def test_the_journal_records_who_when_why_from_and_to(registry: Registry) -> None:
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
