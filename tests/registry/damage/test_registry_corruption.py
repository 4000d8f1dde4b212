"""Damage a good store in one way at a time: verify reports it, and no damaged byte is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest
from damage import DAMAGES, flip_middle, problems
from registry_support import blob_of, blob_path, model_files, snapshot

from spikewatch.registry import Corrupt, NotFound, Registry, RegistryError
from spikewatch.registry.formats import manifest as manifest_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFS = ("trec:1.0.0", "trec:1.1.0", "trec:production")


def test_the_good_store_is_clean(store: Registry) -> None:
    report = store.verify()
    assert report.ok
    assert report.notes == ()
    assert (report.models, report.references, report.blobs) == (1, 3, 8)
    sizes = [p.stat().st_size for p in (store.root / "trec" / "blobs" / "sha256").iterdir()]
    assert report.size == sum(sizes)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_found_and_never_loaded(
    good: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Damage each file in turn; a reference that still loads must load what was published."""
    published = {ref: Registry(good).load(ref) for ref in REFS}
    names = [name for name in snapshot(good) if (good / name).is_file()]
    assert len(names) == 8 + 4 + 2  # blobs, journal entries, index.json and oci-layout
    for i, name in enumerate(names):
        root = tmp_path / str(i)
        shutil.copytree(good, root)
        damage(root / name)
        store = Registry(root)
        report = store.verify()
        below = name.rpartition("/")[2]
        texts = [f"{problem.path}: {problem.what}" for problem in report.problems]
        assert any(below in text for text in texts), (name, texts)
        for ref, model in published.items():
            with contextlib.suppress(RegistryError):
                assert store.load(ref) == model


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_names_the_tags_that_a_damaged_blob_breaks(
    store: Registry, damage: Callable[[Path], None]
) -> None:
    layers = {layer.path: layer.digest for layer in store.show("trec:1.0.0").layers}
    for file, breaks in (
        ("core.safetensors", ("1.0.0",)),
        ("labels.json", ("1.0.0", "1.1.0", "production")),
    ):
        name = layers[file].removeprefix("sha256:")
        path = store.root / "trec" / "blobs" / "sha256" / name
        data = path.read_bytes()
        damage(path)
        (problem,) = [p for p in store.verify().problems if name in p.path]
        assert (problem.model, problem.breaks) == ("trec", breaks)
        with pytest.raises(Corrupt, match=r"^trec:1.0.0@sha256:"):
            store.load("trec:1.0.0")
        # Undamaged files can still be loaded.
        assert store.load("trec:1.0.0", names=["eval.json"]).files
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(data)
        (path.parent / "elsewhere").unlink(missing_ok=True)
    assert store.verify().ok


def test_each_error_message_names_the_damage(store: Registry) -> None:
    layers = {layer.path: layer for layer in store.show("trec:1.0.0").layers}
    core = layers["core.safetensors"]
    pin = store.resolve("trec:1.0.0")
    path = blob_path(store, core.digest)
    path.write_bytes(bytes(core.size))
    zeroed = hashlib.sha256(bytes(core.size)).hexdigest()
    with pytest.raises(Corrupt) as caught:
        store.load("trec:1.0.0")
    assert str(caught.value) == (
        f"{pin}: core.safetensors: blob {core.digest} of {core.size} bytes holds {core.size} bytes "
        f"with sha256:{zeroed}"
    )
    path.write_bytes(bytes(core.size + 1))
    with pytest.raises(Corrupt) as caught:
        store.load("trec:1.0.0")
    assert str(caught.value) == (
        f"{pin}: core.safetensors: {path}: {core.size + 1} bytes, more than the limit of {core.size}"
    )
    path.unlink()
    with pytest.raises(Corrupt) as caught:
        store.load("trec:1.0.0")
    assert str(caught.value) == f"{pin}: core.safetensors: blob {core.digest} is missing"


def test_an_alias_does_not_move_to_a_damaged_version(store: Registry) -> None:
    flip_middle(blob_of(store, "trec:1.0.0", "core.safetensors"))
    before = snapshot(store.root)
    with pytest.raises(Corrupt, match=r"^trec:production: blob "):
        store.set_alias("trec", "production", "1.0.0")
    assert snapshot(store.root) == before


def test_a_damaged_version_does_not_hide_the_others(store: Registry) -> None:
    pin = store.resolve("trec:1.0.0")
    blob_path(store, pin.digest).unlink()
    created = {entry.tag: entry.created for entry in store.list()}
    assert created == {
        "1.0.0": None,
        "1.1.0": "2026-01-01T00:00:00Z",
        "production": "2026-01-01T00:00:00Z",
    }
    assert store.load("trec:production").files == model_files("1.1.0")


# Harmless leftovers


def test_leftovers_of_a_crash_are_notes_and_not_problems(store: Registry) -> None:
    spare = b"never committed"
    name = hashlib.sha256(spare).hexdigest()
    blob_path(store, name).write_bytes(spare)
    blob_path(store, "notes").touch()
    (store.root / "trec" / ".ingest" / "0123").touch()
    (store.root / ".new-0123").mkdir()
    report = store.verify()
    assert report.ok
    assert report.notes == (
        "trec: blobs/sha256/'notes' is not a blob",
        "trec: 1 blobs that no version needs",
        "trec: 1 unfinished files in .ingest",
        ".new-0123: a model that was never finished",
    )


def test_an_unneeded_blob_with_wrong_bytes_is_a_problem(store: Registry) -> None:
    blob_path(store, "0" * 64).write_bytes(b"x")
    (text,) = problems(store)
    assert text.startswith("blobs/sha256/0000")


def test_verify_reports_a_model_with_a_missing_part(store: Registry) -> None:
    for part in ("oci-layout", "index.json", ".journal"):
        root = store.root / "trec" / part
        root.rename(store.root / "kept")
        assert not store.verify().ok
        (store.root / "kept").rename(root)
    assert store.verify().ok
    shutil.rmtree(store.root / "trec")
    with pytest.raises(NotFound):
        store.load("trec:1.0.0")


def test_the_layer_limit_is_checked_before_reading(
    store: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_module, "MAX_LAYER", 100)
    with pytest.raises(Corrupt, match=r"2048 bytes, more than the limit of 100$"):
        store.load("trec:1.0.0")
