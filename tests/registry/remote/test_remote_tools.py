"""Docker's registry, skopeo, umoci and ModelPack's client accept what the registry pushes, pulls and stores."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from foreign import docker_registry, needs, run_foreign
from modelpack_client import ModelPackClient
from modelpack_client.schema import CONFIG_SCHEMA
from registry_support import CREATED, snapshot
from remote_support import model_files, publish, sha256

from spikewatch.registry import Corrupt, Registry, RegistryError, bundled
from spikewatch.registry.remote import pull, push

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path / "upstream") as host:
        yield host


@needs("docker-registry")
def test_dockers_registry_stores_and_returns_every_byte(
    registry: Registry, edge: Registry, upstream: str
) -> None:
    pin = publish(registry, "1.0.0", "production")
    remote = f"{upstream}/models/trec"
    assert push(registry, "trec:production", remote).blobs == 4
    assert push(registry, "trec:production", remote).blobs == 0
    assert pull(edge, f"{remote}:production").pin == pin
    assert edge.load(str(pin)) == registry.load(str(pin))
    by_digest = Registry.init(edge.root.with_name("by-digest"))
    assert pull(by_digest, f"{remote}@{pin.digest}").pin == pin
    assert by_digest.verify().ok
    alone = f"{upstream}/models/alone"
    push(registry, "trec:1.0.0", f"{alone}@{pin.digest}")
    assert pull(by_digest, f"{alone}@{pin.digest}").pin.digest == pin.digest


@needs("docker-registry")
@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone"])
def test_a_damaged_upstream_blob_changes_nothing_locally(
    registry: Registry, edge: Registry, upstream: str, tmp_path: Path, damage: str
) -> None:
    publish(registry, "1.0.0")
    publish(edge, "0.9.0", "production")
    push(registry, "trec:1.0.0", f"{upstream}/models/trec")
    digest = sha256(model_files("1.0.0")["core.safetensors"])
    (blob,) = (tmp_path / "upstream").rglob(f"{digest[7:]}/data")
    data = blob.read_bytes()
    if damage == "gone":
        blob.unlink()
    else:
        blob.write_bytes(data[:99] if damage == "truncated" else b"\xff" + data[1:])
    before = snapshot(edge.root)
    with pytest.raises(RegistryError, match=digest) as caught:
        pull(edge, f"{upstream}/models/trec:1.0.0", pause=lambda _: None)
    assert damage == "gone" or caught.type is Corrupt
    assert snapshot(edge.root) == before


@needs("docker-registry")
@needs("skopeo")
def test_skopeo_and_the_registry_read_what_the_other_pushed(
    registry: Registry, edge: Registry, upstream: str
) -> None:
    first, second = publish(registry, "1.0.0", "production"), publish(registry, "1.1.0")
    remote = f"{upstream}/models/trec"
    tls = "--dest-tls-verify=false"
    run_foreign(
        "skopeo", "copy", tls, f"oci:{registry.root}/trec:1.0.0", f"docker://{remote}:1.0.0"
    )
    assert pull(edge, f"{remote}:1.0.0").pin == first
    push(registry, "trec:1.1.0", remote)
    tls = "--tls-verify=false"
    assert sha256(run_foreign("skopeo", "inspect", "--raw", tls, f"docker://{remote}:1.1.0")) == (
        second.digest
    )
    tags = json.loads(run_foreign("skopeo", "list-tags", tls, f"docker://{remote}"))["Tags"]
    assert sorted(tags) == ["1.0.0", "1.1.0"]


@needs("skopeo")
@pytest.mark.parametrize("form", ["oci", "oci-archive", "dir"])
def test_skopeo_copies_a_version_out_and_back_byte_for_byte(
    registry: Registry, tmp_path: Path, form: str
) -> None:
    pin = publish(registry, "1.0.0", "production")
    tag = "" if form == "dir" else ":1.0.0"
    out = f"{form}:{tmp_path}/out{tag}"
    run_foreign("skopeo", "copy", f"oci:{registry.root}/trec:1.0.0", out)
    run_foreign("skopeo", "copy", out, f"oci:{tmp_path}/back:1.0.0")
    raw = run_foreign("skopeo", "inspect", "--raw", f"oci:{tmp_path}/back:1.0.0")
    assert sha256(raw) == pin.digest
    for layer in json.loads(raw)["layers"]:
        data = (tmp_path / "back" / "blobs" / "sha256" / layer["digest"][7:]).read_bytes()
        assert data == model_files("1.0.0")[layer["annotations"]["org.opencontainers.image.title"]]


@needs("umoci")
def test_umoci_lists_the_same_tags(registry: Registry) -> None:
    publish(registry, "1.0.0", "production")
    publish(registry, "1.1.0-rc.1")
    listed = run_foreign("umoci", "ls", "--layout", f"{registry.root}/trec").decode().split()
    assert sorted(listed) == sorted(entry.tag for entry in registry.list("trec"))


def test_configs_conform_to_modelpacks_schema(registry: Registry) -> None:
    registry.publish(
        "trec",
        "1.0.0",
        model_files(),
        created=CREATED,
        config={"architecture": "elman", "capabilities": {"inputTypes": ["text"]}},
        annotations={
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.revision": "abc",
            "org.opencontainers.image.vendor": "us",
        },
    )
    stores = {registry.root: "trec:1.0.0", bundled(): "trec:production"}
    for root, ref in stores.items():
        document: Any = Registry(root).show(ref).manifest
        blob = root / "trec" / "blobs" / "sha256" / document["config"]["digest"][7:]
        config = json.loads(blob.read_bytes())
        jsonschema.Draft202012Validator(CONFIG_SCHEMA).validate(config)
        del config["modelfs"]
        with pytest.raises(jsonschema.ValidationError):  # the schema does refuse something
            jsonschema.Draft202012Validator(CONFIG_SCHEMA).validate(config)


@needs("docker-registry")
def test_modelpacks_client_pulls_a_pushed_version(
    registry: Registry, upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    pin = publish(registry, "1.0.0")
    push(registry, "trec:1.0.0", f"{upstream}/models/trec")
    client = ModelPackClient(insecure=True)
    out = tmp_path / "out"
    for reference in (":1.0.0", f"@{pin.digest}"):
        shutil.rmtree(out, ignore_errors=True)
        client.pull(f"{upstream}/models/trec{reference}", out)
        assert snapshot(out) == model_files("1.0.0")
