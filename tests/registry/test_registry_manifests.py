"""Manifests with a valid digest but hostile content are refused and reported."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from damage import problems
from registry_support import CREATED, checksummed, model_files

from spikewatch.registry import Corrupt, Registry, RegistryError
from spikewatch.registry.layout import layout as layout_module

if TYPE_CHECKING:
    from collections.abc import Callable


def republish(store: Registry, edit: Callable[[dict[str, Any]], object]) -> Registry:
    """Return a store whose writer published an edited manifest, with a consistent journal and index."""
    root = store.root.parent / "hostile"
    registry = Registry.init(root)
    registry.publish("trec", "1.0.0", model_files(), created=CREATED)
    document = json.loads(json.dumps(registry.show("trec:1.0.0").manifest))
    edit(document)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    model = root / "trec"
    (model / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    entry_path = model / ".journal" / "00000001.json"
    entry = json.loads(entry_path.read_bytes())
    entry["to"] |= {"digest": digest, "size": len(data)}
    entry_data = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    entry_path.write_bytes(entry_data)
    index = json.loads((model / "index.json").read_bytes())
    index["manifests"][0] |= {"digest": digest, "size": len(data)}
    head = f"sha256:{hashlib.sha256(entry_data).hexdigest()}"
    index["annotations"]["org.spikewatch.journal"] = head
    (model / "index.json").write_bytes(checksummed(index))
    return registry


def rename_layer(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda m: m["layers"][0]["annotations"].update({"org.cncf.model.filepath": path})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (rename_layer("/etc/passwd"), "file path '/etc/passwd': must be relative"),
        (rename_layer("../core"), "file path '../core': must be relative"),
        (rename_layer("a/../../b"), "must be relative"),
        (rename_layer("a\x00b"), "must be relative"),
        (rename_layer("labels.json"), "two layers are named 'labels.json'"),
        (lambda m: m["layers"][0].pop("annotations"), "'annotations' is None"),
        (lambda m: m["layers"][0].update(size=2**40), "1099511627776 bytes, more than the limit"),
        (lambda m: m["layers"][0].update(size=7), "more than the limit of 7"),
        (lambda m: m["layers"][0].update(size=9999), "of 9999 bytes holds 2048 bytes"),
        (lambda m: m["layers"][0].update(digest="sha256:../x"), "must be 'sha256:'"),
        (lambda m: m["layers"][0].update(digest="sha256:" + "0" * 64), "is missing"),
        (
            lambda m: m["layers"][0].update(mediaType="application/vnd.cncf.model.weight.v1.tar"),
            "is not a raw layer of a model",
        ),
        (lambda m: m["layers"].pop(), "'diffIds' are not the digests of the manifest's layers"),
        (lambda m: m.update(layers=[]), "'diffIds' are not the digests"),
        (lambda m: m.update(layers="x"), "'layers' is 'x', not a list"),
        (lambda m: m.update(schemaVersion=1), "'schemaVersion' is 1, not 2"),
        (lambda m: m.update(artifactType="x"), "'artifactType' is 'x', not 'application/vnd.cncf"),
        (lambda m: m.update(mediaType="x"), "'mediaType' is 'x', not 'application/vnd.oci"),
        (lambda m: m.pop("annotations"), "'annotations' is None, not an object"),
        (lambda m: m["annotations"].update(a=1), "annotations: 'a' is 1, not a string"),
        (
            lambda m: m["annotations"].update({"org.opencontainers.image.version": "2.0.0"}),
            "of version",
        ),
        (
            lambda m: m["config"].update(mediaType="application/json"),
            "config is 'application/json'",
        ),
        (lambda m: m["config"].update(size=2**30), "of 1073741824 bytes, not"),
        (
            lambda m: m["config"].update(digest=m["layers"][0]["digest"], size=2048),
            "not valid JSON",
        ),
        (lambda m: m.pop("config"), "'size' is None, not an integer"),
    ],
)
def test_a_hostile_manifest_is_refused_and_reported(
    store: Registry, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    hostile = republish(store, edit)
    with pytest.raises(RegistryError) as caught:
        hostile.load("trec:1.0.0")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert any(message in text for text in problems(hostile))


def test_verify_reports_a_manifest_that_is_not_canonical(store: Registry) -> None:
    """Accept it on load, because its digest is right; but the same inputs would not give it again."""
    hostile = republish(store, lambda m: m["annotations"].update({"z": "é"}))
    assert any("the manifest is not in canonical form" in text for text in problems(hostile))


def test_a_manifest_over_the_limit_is_not_read(
    store: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "MAX_MANIFEST", 100)
    with pytest.raises(Corrupt, match=r"manifest of \d+ bytes, limit 100$"):
        store.load("trec:1.0.0")
