"""What `check_publication` refuses before a version is made, and that nothing of it stays on the disk."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import CREATED, model_files, publish, snapshot

from spikewatch.registry import (
    BadInput,
    BadReference,
    Conflict,
    Corrupt,
    Registry,
    RegistryError,
    StorageError,
)
from spikewatch.registry.preflight import check_publication

if TYPE_CHECKING:
    from pathlib import Path


def checked(root: Path, version: str = "2.0.0", **changes: Any) -> str | None:
    options = {"created": CREATED, "alias": None, "actor": None, "reason": ""}
    name = changes.pop("name", "trec")
    return check_publication(root, name, version, **(options | changes))


def test_a_registry_that_does_not_exist_is_tried_out_and_not_created(tmp_path: Path) -> None:
    assert checked(tmp_path / "new" / "models") is None
    assert list(tmp_path.iterdir()) == []


def test_a_registry_stays_as_it_is(registry: Registry) -> None:
    publish(registry, "1.0.0")
    before = snapshot(registry.root)
    assert checked(registry.root) is None
    assert snapshot(registry.root) == before


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": "Trec"}, BadReference),
        ({"version": "v2"}, BadReference),
        ({"alias": "1.0.0"}, BadReference),
        ({"actor": "two\nlines"}, BadInput),
        ({"reason": "x" * 4097}, BadInput),
        ({"created": CREATED.replace(tzinfo=None)}, BadInput),
    ],
)
def test_it_refuses_what_publishing_refuses(
    registry: Registry, changes: dict[str, Any], error: type[RegistryError]
) -> None:
    with pytest.raises(error):
        checked(registry.root, **changes)


@pytest.mark.parametrize("created", [None, CREATED + timedelta(seconds=1)])
def test_a_published_version_is_a_conflict_that_names_the_highest(
    registry: Registry, created: Any
) -> None:
    pin = publish(registry, "2.0.0")
    publish(registry, "10.0.0")
    with pytest.raises(
        Conflict,
        match=rf"^trec:2\.0\.0 is published as {pin.digest}; versions are immutable: choose another, the highest is"
        r" 10\.0\.0$",
    ):
        checked(registry.root, created=created)


def test_a_withdrawn_version_is_a_conflict(registry: Registry) -> None:
    publish(registry, "2.0.0")
    registry.withdraw("trec", "2.0.0")
    with pytest.raises(Conflict, match=r"^trec:2\.0\.0 was withdrawn; versions are immutable"):
        checked(registry.root, created=None)


@pytest.mark.parametrize("withdrawn", [False, True])
def test_the_time_of_the_published_version_may_give_its_bytes(
    registry: Registry, *, withdrawn: bool
) -> None:
    pin = registry.publish("trec", "2.0.0", model_files(), created=CREATED)
    if withdrawn:
        registry.withdraw("trec", "2.0.0")
    assert checked(registry.root) is None
    assert registry.publish("trec", "2.0.0", model_files(), created=CREATED) == pin


def test_a_damaged_manifest_can_still_be_repaired_by_publishing_it_again(
    registry: Registry,
) -> None:
    pin = registry.publish("trec", "2.0.0", model_files(), created=CREATED)
    blob = registry.root / "trec" / "blobs" / "sha256" / pin.digest.removeprefix("sha256:")
    blob.unlink()
    assert checked(registry.root, created=CREATED) is None


def test_a_lower_version_is_allowed_and_the_highest_is_returned(registry: Registry) -> None:
    publish(registry, "2.0.0")
    publish(registry, "10.0.0-rc.1")
    assert checked(registry.root, "1.9.9") == "10.0.0-rc.1"
    assert checked(registry.root, "10.0.0") is None


def test_a_damaged_model_is_named(registry: Registry) -> None:
    publish(registry, "1.0.0")
    (registry.root / "trec" / "index.json").write_text("{")
    with pytest.raises(Corrupt, match=r"index\.json"):
        checked(registry.root)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/models: .*file is not a folder$"):
        checked(tmp_path / "file" / "models")


def test_a_file_system_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    with pytest.raises(StorageError, match="no hard links here"):
        checked(tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("below", ["", "trec"])
def test_a_folder_that_may_not_be_written_is_refused(registry: Registry, below: str) -> None:
    publish(registry, "1.0.0")
    folder = registry.root / below
    folder.chmod(0o500)
    try:
        with pytest.raises(StorageError):
            checked(registry.root)
    finally:
        folder.chmod(0o700)
