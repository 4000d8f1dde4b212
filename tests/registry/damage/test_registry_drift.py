"""An index that another program wrote, or that is damaged, is detected, refused and repaired."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from damage import DAMAGES, edit_index, flip_middle, folder, link, problems, remove, truncate
from registry_support import snapshot

from spikewatch.registry import Corrupt, Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_tag_that_another_program_moved_is_drift(store: Registry) -> None:
    first, second = store.resolve("trec:1.0.0"), store.resolve("trec:1.1.0")

    def move(index: dict[str, Any]) -> None:
        index["manifests"][2] |= {"digest": first.digest}

    edit_index(store, move, checksum=False)
    for use in (store.load, store.resolve, lambda ref: store.set_alias("trec", "new", ref)):
        with pytest.raises(Corrupt) as caught:
            use("trec:1.0.0")
        assert str(caught.value) == (
            f"{store.root}/trec/index.json: another program wrote it; verify says what it changed"
        )
    assert problems(store) == [
        (
            f"index.json: drift, another program wrote it: production is {first.digest}, "
            f"by the journal {second.digest}"
        )
    ]


def test_a_tag_that_another_program_added_is_drift(store: Registry) -> None:
    def add(index: dict[str, Any]) -> None:
        entry = index["manifests"][0]
        name = {"org.opencontainers.image.ref.name": "stage"}
        index["manifests"].append(entry | {"annotations": name})

    first = store.resolve("trec:1.0.0")
    edit_index(store, add, checksum=False)
    assert problems(store) == [
        f"index.json: drift, another program wrote it: stage is {first.digest}, by the journal absent"
    ]


def test_an_index_that_is_not_canonical_is_drift(store: Registry) -> None:
    path = store.root / "trec" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))
    assert problems(store) == [
        "index.json: drift, another program wrote it: holds other bytes than the registry writes"
    ]


def test_repair_rebuilds_the_index_from_the_journal(store: Registry) -> None:
    before = snapshot(store.root)
    path = store.root / "trec" / "index.json"
    for damage in DAMAGES:
        if damage is not folder:
            damage(path)
            assert store.repair("trec").ok
            assert snapshot(store.root).items() >= before.items()
            path.with_name("elsewhere").unlink(missing_ok=True)
    edit_index(store, lambda index: index["manifests"].clear())
    (store.root / "trec" / "oci-layout").unlink()
    assert store.repair("trec").ok
    assert snapshot(store.root) == before


@pytest.mark.parametrize("damage", [remove, flip_middle, truncate, link])
def test_repair_does_not_hide_a_damaged_journal(
    store: Registry, damage: Callable[[Path], None]
) -> None:
    damage(store.root / "trec" / ".journal" / "00000004.json")
    index = store.root / "trec" / "index.json"
    before = index.read_bytes()
    with pytest.raises(Corrupt, match=r"00000004\.json|journal entry 4"):
        store.repair("trec")
    assert index.read_bytes() == before


def test_a_version_that_another_program_moved_is_not_loaded(store: Registry) -> None:
    second = store.resolve("trec:1.1.0")

    def move(index: dict[str, Any]) -> None:
        index["manifests"][0] |= {"digest": second.digest}
        index["manifests"].pop(1)

    edit_index(store, move)
    with pytest.raises(
        Corrupt, match=r"^trec:1\.0\.0@sha256:.*: the manifest is of version '1\.1\.0'$"
    ):
        store.load("trec:1.0.0")


def test_an_index_without_the_registrys_annotations_is_refused(store: Registry) -> None:
    edit_index(store, lambda index: index.pop("annotations"), checksum=False)
    with pytest.raises(Corrupt, match=r"index\.json: 'annotations' is None, not an object$"):
        store.load("trec:1.0.0")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda i: i["annotations"].update({"org.spikewatch.generation": "9" * 9}),
            "1 to 8 digits",
        ),
        (lambda i: i["annotations"].update({"org.spikewatch.generation": "-1"}), "1 to 8 digits"),
        (lambda i: i["annotations"].update({"org.spikewatch.generation": 4}), "not a string"),
        (lambda i: i["annotations"].update({"org.spikewatch.generation": "5"}), "which is missing"),
        (lambda i: i["annotations"].update({"org.spikewatch.generation": "3"}), "which is sha256:"),
        (
            lambda i: i["annotations"].update({"org.spikewatch.journal": "md5:1"}),
            "must be 'sha256:'",
        ),
        (lambda i: i["annotations"].pop("org.spikewatch.journal"), "names None as journal entry 4"),
        (lambda i: i["manifests"].append(i["manifests"][0]), "'1.0.0' appears twice"),
        (lambda i: i["manifests"][0].update({"digest": "sha256:../../x"}), "must be 'sha256:'"),
        (lambda i: i["manifests"][0].update({"size": -1}), "'size' is -1, less than 0"),
        (lambda i: i["manifests"][0].update({"size": True}), "'size' is True, not an integer"),
        (lambda i: i["manifests"][0].update({"size": 1e3}), "'size' is 1000.0, not an integer"),
        (lambda i: i["manifests"][0].pop("mediaType"), "'mediaType' is None, not a string"),
        (lambda i: i.update({"manifests": {}}), "'manifests' is {}, not a list"),
    ],
)
def test_a_bad_index_is_refused_and_reported(
    store: Registry, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_index(store, edit)
    with pytest.raises(Corrupt) as caught:
        store.load("trec:1.0.0")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert any("index.json" in text for text in problems(store))
    with pytest.raises(Corrupt):
        store.set_alias("trec", "production", "1.0.0")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"schemaVersion":NaN}',
        "[" * 100_000,
        "1" * 5000,
        '"\\ud800"',
        "\udcff",
        "null",
        "[]",
        "",
    ],
    ids=range(9),
)
def test_an_index_that_is_not_strict_json_is_refused(store: Registry, text: str) -> None:
    (store.root / "trec" / "index.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Corrupt) as caught:
        store.load("trec:1.0.0")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
