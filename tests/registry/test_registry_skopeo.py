"""skopeo reads the same from a store as the registry itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from foreign import needs, run_foreign
from registry_support import model_files, publish
from remote_support import sha256
from scenarios import move_while_skopeo_reads

from spikewatch.registry import Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from spikewatch.registry import Registry

pytestmark = needs("skopeo")


def skopeo(*args: str) -> bytes:
    return run_foreign("skopeo", *args)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0-rc.1", "1.0.0-a--b.0"])
def test_skopeo_reads_the_resolved_manifest(registry: Registry, version: str) -> None:
    pin = publish(registry, version, "production")
    for tag in (version, "production"):
        raw = skopeo("inspect", "--raw", f"oci:{registry.root}/trec:{tag}")
        assert sha256(raw) == registry.resolve(f"trec:{tag}").digest == pin.digest


def test_skopeo_copies_a_version_byte_for_byte(registry: Registry, tmp_path: Path) -> None:
    pin = publish(registry, "1.0.0", "production")
    skopeo("copy", f"oci:{registry.root}/trec:production", f"dir:{tmp_path}/out")
    manifest = (tmp_path / "out" / "manifest.json").read_bytes()
    assert sha256(manifest) == pin.digest
    copied = {
        layer["annotations"]["org.opencontainers.image.title"]: (
            tmp_path / "out" / layer["digest"].removeprefix("sha256:")
        ).read_bytes()
        for layer in json.loads(manifest)["layers"]
    }
    assert copied == model_files("1.0.0")


def test_a_write_by_skopeo_into_the_store_is_drift(registry: Registry, tmp_path: Path) -> None:
    first, second = publish(registry, "1.0.0", "production"), publish(registry, "1.1.0")
    skopeo("copy", f"oci:{registry.root}/trec:1.1.0", f"dir:{tmp_path}/out")
    skopeo("copy", f"dir:{tmp_path}/out", f"oci:{registry.root}/trec:production")
    with pytest.raises(Corrupt, match=r"index\.json: another program wrote it"):
        registry.load("trec:production")
    marker, problem = registry.verify().problems
    assert marker.path == "oci-layout"  # skopeo rewrote it with other spaces
    assert problem.path == "index.json"
    assert problem.what == (
        f"drift, another program wrote it: production is {second.digest}, "
        f"by the journal {first.digest}"
    )
    assert registry.repair("trec").ok
    assert registry.resolve("trec:production") == first


def test_skopeo_reads_while_an_alias_moves(registry: Registry, tmp_path: Path) -> None:
    assert move_while_skopeo_reads(tmp_path, registry, reads=40) > 0
