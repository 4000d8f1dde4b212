"""Publish and load: contents, immutability, refused input."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import CONFIG, CREATED, NOTES, model_files, publish, snapshot

from spikewatch.registry import BadInput, BadReference, Conflict, NotFound, Reference, Registry
from spikewatch.registry.formats import manifest as manifest_module

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = "sha256:cda87bc7a70734bcf72d3285cbc1cac8c9da21a360b7bc3e5a6197f32ef2747c"
"""Digest of the golden publish below. It may never change: edge devices pin digests, and the same inputs must give the
same digest in every release."""


def golden(registry: Registry, files: dict[str, bytes] | None = None) -> str:
    files = model_files("golden") if files is None else files
    pin = registry.publish(
        "trec", "1.0.0", files, created=CREATED, config=CONFIG, annotations=NOTES
    )
    return pin.digest


def test_a_published_version_is_loaded_unchanged(registry: Registry) -> None:
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


def test_only_the_requested_files_are_loaded(registry: Registry) -> None:
    publish(registry, "1.0.0")
    model = registry.load("trec:1.0.0", names=["labels.json"])
    assert model.files == {"labels.json": model_files()["labels.json"]}


def test_one_name_instead_of_a_list_is_refused(registry: Registry) -> None:
    publish(registry, "1.0.0")
    with pytest.raises(
        BadInput, match=r"^names: expected a list of file names, got one str; pass \[name\]$"
    ):
        registry.load("trec:1.0.0", "labels.json")


def test_a_file_that_the_model_does_not_have_is_not_found(registry: Registry) -> None:
    pin = publish(registry, "1.0.0")
    with pytest.raises(NotFound, match=f"^{re.escape(str(pin))}: has no file 'encoder'$"):
        registry.load("trec:1.0.0", names=["encoder"])


def test_an_empty_file_can_be_published(registry: Registry) -> None:
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


def test_the_default_time_of_creation_is_now(registry: Registry) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    registry.publish("trec", "1.0.0", model_files(), created=None)
    created = datetime.fromisoformat(registry.show("trec:1.0.0").created)
    assert before <= created <= datetime.now(UTC)


# Immutability


def test_publishing_the_same_bytes_again_succeeds_and_changes_nothing(
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


def test_publishing_again_repairs_damaged_blobs(registry: Registry) -> None:
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


def test_the_limits_are_64_and_4_mebibytes() -> None:
    assert manifest_module.MAX_LAYER == 64 * 1024 * 1024
    assert manifest_module.MAX_MANIFEST == 4 * 1024 * 1024


def test_a_file_over_the_limit_is_refused_with_both_sizes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_module, "MAX_LAYER", 10)
    with pytest.raises(BadInput, match=r"^file 'a\.txt': 11 bytes, more than the limit of 10$"):
        registry.publish("trec", "1.0.0", {"a.txt": b"12345678901"}, created=CREATED)


def test_the_values_are_shown_in_one_readable_line(registry: Registry) -> None:
    pin = publish(registry, "1.0.0")
    assert repr(Registry(str(registry.root))) == f"Registry('{registry.root}')"
    assert repr(pin) == f"<Pin trec:1.0.0@{pin.digest}>"
    assert repr(Reference.parse("trec:production")) == "<Reference trec:production>"
    assert repr(registry.load("trec:1.0.0", ["labels.json"])) == (
        f"<Model trec:1.0.0@{pin.digest}: labels.json (15 bytes)>"
    )
