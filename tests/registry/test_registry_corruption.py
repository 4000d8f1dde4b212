"""Take a good store, break it in one way, and see that nobody is fooled."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import CREATED, checksummed, model_files, publish, snapshot

from spikewatch.registry import Corrupt, NotFound, Registry, RegistryError
from spikewatch.registry import layout as layout_module
from spikewatch.registry import manifest as manifest_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFS = ("trec:1.0.0", "trec:1.1.0", "trec:production")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    registry = Registry.init(tmp_path_factory.mktemp("good"))
    publish(registry, "1.0.0", "production")
    publish(registry, "1.1.0")
    registry.set_alias("trec", "production", "1.1.0", actor="ann", reason="better")
    return registry.root


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Registry:
    shutil.copytree(good, tmp_path / "models", symlinks=True)
    return Registry(tmp_path / "models")


def flip_first(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def flip_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_last(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    """Put a symbolic link to the very same bytes: a link may change later."""
    other = path.with_name("elsewhere")
    path.rename(other)
    path.symlink_to(other)


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [
    flip_first, flip_middle, flip_last, truncate, empty, zero, grow, remove, link, dangle, folder,
    fifo,
]  # fmt: skip


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
    """Each file of the store in turn; what loads all the same is what was published."""
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
def test_damage_to_a_blob_names_what_it_breaks(
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
        # Files that are whole can still be had.
        assert store.load("trec:1.0.0", names=["eval.json"]).files
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(data)
        (path.parent / "elsewhere").unlink(missing_ok=True)
    assert store.verify().ok


def test_the_texts_say_what_is_wrong(store: Registry) -> None:
    layers = {layer.path: layer for layer in store.show("trec:1.0.0").layers}
    core = layers["core.safetensors"]
    pin = store.resolve("trec:1.0.0")
    path = store.root / "trec" / "blobs" / "sha256" / core.digest.removeprefix("sha256:")
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
    core = store.show("trec:1.0.0").layers[0]
    flip_middle(store.root / "trec" / "blobs" / "sha256" / core.digest.removeprefix("sha256:"))
    before = snapshot(store.root)
    with pytest.raises(Corrupt, match=r"^trec:production: blob "):
        store.set_alias("trec", "production", "1.0.0")
    assert snapshot(store.root) == before


def test_a_damaged_version_does_not_hide_the_others(store: Registry) -> None:
    pin = store.resolve("trec:1.0.0")
    (store.root / "trec" / "blobs" / "sha256" / pin.digest.removeprefix("sha256:")).unlink()
    created = {entry.tag: entry.created for entry in store.list()}
    assert created == {
        "1.0.0": None,
        "1.1.0": "2026-01-01T00:00:00Z",
        "production": "2026-01-01T00:00:00Z",
    }
    assert store.load("trec:production").files == model_files("1.1.0")


# Writers that are not ours


def edit_index(
    store: Registry, edit: Callable[[dict[str, Any]], object], *, checksum: bool = True
) -> None:
    path = store.root / "trec" / "index.json"
    index = json.loads(path.read_bytes())
    edit(index)
    plain = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(checksummed(index) if checksum else plain)


def problems(store: Registry) -> list[str]:
    return [f"{problem.path}: {problem.what}" for problem in store.verify().problems]


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


def test_an_index_in_another_form_is_drift(store: Registry) -> None:
    path = store.root / "trec" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))
    assert problems(store) == [
        "index.json: drift, another program wrote it: holds other bytes than the registry writes"
    ]


def test_repair_writes_the_index_from_the_journal(store: Registry) -> None:
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


def test_an_index_without_our_annotations_is_refused(store: Registry) -> None:
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
def test_a_bad_index_is_refused_and_named(
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
def test_what_is_not_strict_json_is_refused(store: Registry, text: str) -> None:
    (store.root / "trec" / "index.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Corrupt) as caught:
        store.load("trec:1.0.0")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


# The journal


def edit_entry(store: Registry, number: int, **changes: object) -> None:
    path = store.root / "trec" / ".journal" / f"{number:08d}.json"
    entry = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(entry, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_edited_entry_breaks_the_chain(store: Registry, number: int) -> None:
    """The newest too: the index names it."""
    edit_entry(store, number, actor="somebody else")
    assert f"{number:08d}.json" in problems(store)[0]


def test_a_removed_newest_entry_is_noticed(store: Registry) -> None:
    (store.root / "trec" / ".journal" / "00000004.json").unlink()
    assert problems(store) == [
        ".journal/00000004.json: is missing: index.json names it, the journal ends at 3"
    ]
    with pytest.raises(Corrupt, match=r"as journal entry 4, which is missing$"):
        store.load("trec:1.0.0")


def test_entries_beyond_a_gap_are_noticed(store: Registry) -> None:
    folder = store.root / "trec" / ".journal"
    shutil.copy(folder / "00000004.json", folder / "00000006.json")
    assert problems(store) == [".journal/00000005.json: is missing, entries up to 6 are there"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gen": 7}, "'gen' is 7, not 5"),
        ({"prev": None}, "'prev' is None, but 00000004.json is sha256:"),
        ({"from": None}, "'from' is None, but production was sha256:"),
        ({"from": 3}, "'from' is 3, not a string"),
        ({"ref": "stage"}, "but stage was absent"),
        ({"to": 7}, "to: 'size' is None, not an integer"),
        ({"op": None}, "'op' is None, not a string"),
    ],
)
def test_a_tail_that_does_not_follow_is_refused(
    store: Registry, changes: dict[str, object], message: str
) -> None:
    """What a crash or a broken writer might leave beyond the index."""
    folder = store.root / "trec" / ".journal"
    last = (folder / "00000004.json").read_bytes()
    entry = json.loads(last)
    entry |= {"gen": 5, "prev": f"sha256:{hashlib.sha256(last).hexdigest()}"}
    entry |= {"from": entry["to"]["digest"]} | changes
    (folder / "00000005.json").write_text(json.dumps(entry, sort_keys=True, separators=(",", ":")))
    with pytest.raises(Corrupt) as caught:
        store.resolve("trec:1.0.0")
    assert message in str(caught.value)
    assert any(message in text for text in problems(store))


def test_a_journal_that_moves_a_version_is_a_problem(store: Registry) -> None:
    folder = store.root / "trec" / ".journal"
    last = (folder / "00000004.json").read_bytes()
    entry = json.loads(last)
    first = store.resolve("trec:1.0.0")
    entry |= {"gen": 5, "prev": f"sha256:{hashlib.sha256(last).hexdigest()}"}
    entry |= {"ref": "1.0.0", "from": first.digest, "op": "publish"}
    (folder / "00000005.json").write_text(json.dumps(entry, sort_keys=True, separators=(",", ":")))
    texts = problems(store)
    assert ".journal/00000005.json: moves 1.0.0: versions are immutable" in texts
    assert any("the manifest of 1.0.0 is of version 1.1.0" in text for text in texts)


# Documents whose digest is right and whose content is not


def republish(store: Registry, edit: Callable[[dict[str, Any]], object]) -> Registry:
    """Let a hostile writer publish a manifest of its own making under a sound journal."""
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
def test_a_hostile_manifest_is_refused_and_named(
    store: Registry, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    hostile = republish(store, edit)
    with pytest.raises(RegistryError) as caught:
        hostile.load("trec:1.0.0")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert any(message in text for text in problems(hostile))


def test_a_manifest_in_another_form_is_named(store: Registry) -> None:
    """Its digest is right, so it loads; but it cannot be made again from the same inputs."""
    hostile = republish(store, lambda m: m["annotations"].update({"z": "é"}))
    assert any("the manifest is not in canonical form" in text for text in problems(hostile))


def test_a_manifest_over_the_limit_is_not_read(
    store: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "MAX_MANIFEST", 100)
    with pytest.raises(Corrupt, match=r"manifest of \d+ bytes, limit 100$"):
        store.load("trec:1.0.0")


# Harmless leftovers


def test_what_a_crash_leaves_is_noted_and_clean(store: Registry) -> None:
    spare = b"never committed"
    name = hashlib.sha256(spare).hexdigest()
    (store.root / "trec" / "blobs" / "sha256" / name).write_bytes(spare)
    (store.root / "trec" / "blobs" / "sha256" / "notes").touch()
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


def test_a_spare_blob_with_wrong_bytes_is_a_problem(store: Registry) -> None:
    (store.root / "trec" / "blobs" / "sha256" / ("0" * 64)).write_bytes(b"x")
    (text,) = problems(store)
    assert text.startswith("blobs/sha256/0000")


def test_a_model_that_lost_a_part_is_still_a_model(store: Registry) -> None:
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
