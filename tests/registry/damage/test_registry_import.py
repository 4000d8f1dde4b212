"""Export to archives and import from them, with skopeo in between; an import is all or nothing."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from foreign import needs, run_foreign
from foreign_layout import GOOD, good_files
from registry_support import CREATED, Run, blob_of, flip, snapshot
from signing import EVALUATION, KEY, pem, public_pem

from spikewatch.registry import BadInput, Conflict, Corrupt, NotFound, Registry
from spikewatch.registry.exchange import archive

if TYPE_CHECKING:
    from pathlib import Path


def skopeo(*args: str) -> bytes:
    return run_foreign("skopeo", *args)


@pytest.fixture
def store(registry: Registry) -> Registry:
    for version in ("1.0.0", "1.1.0"):
        registry.publish("trec", version, good_files(version), created=CREATED, actor="ci")
    registry.set_alias("trec", "production", "1.1.0")
    registry.attach("trec:1.1.0", EVALUATION, created=CREATED)
    registry.sign("trec:1.1.0", pem(KEY))
    return registry


def test_a_whole_model_is_exported_and_imported(
    store: Registry, edge: Registry, tmp_path: Path
) -> None:
    archive = tmp_path / "trec.tar"
    found = store.export("trec", archive)
    assert found.size == archive.stat().st_size
    assert len(found.tags) == 5
    pins = edge.import_(archive, actor="ann", reason="for the edge")
    assert pins == [store.resolve("trec:1.0.0"), store.resolve("trec:1.1.0")]
    for version in ("1.0.0", "1.1.0"):
        assert edge.load(f"trec:{version}").files == good_files(version)
    assert edge.show("trec:1.1.0").attachments == store.show("trec:1.1.0").attachments
    assert edge.verify("trec:1.1.0", deep=True, key=public_pem(KEY)).ok
    with pytest.raises(NotFound):
        edge.resolve("trec:production")  # aliases are not imported
    events = edge.history("trec")
    assert {e.operation for e in events} == {"import", "attach"}
    assert {(e.actor, e.reason) for e in events} == {("ann", "for the edge")}
    assert not list(edge.root.glob(".*"))
    before = snapshot(edge.root)
    assert edge.import_(archive) == pins  # a second import finds everything present
    assert snapshot(edge.root) == before


def test_the_same_content_is_the_same_archive(store: Registry, tmp_path: Path) -> None:
    store.export("trec", tmp_path / "a.tar")
    store.export("trec", tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.tar", "b.tar"]


def test_an_exported_version_includes_its_attachments(
    store: Registry, edge: Registry, tmp_path: Path
) -> None:
    found = store.export("trec:production", tmp_path / "a.tar")
    assert found.tags[:2] == ("1.1.0", "production")
    assert len(found.tags) == 4
    (pin,) = edge.import_(tmp_path / "a.tar", alias="production")
    assert edge.resolve("trec:production") == pin
    assert len(edge.show("trec:1.1.0").attachments) == 2
    assert store.export("trec:1.0.0", tmp_path / "b.tar").tags == ("1.0.0",)


def test_a_layout_can_be_imported_from_its_directory(store: Registry, edge: Registry) -> None:
    before = snapshot(store.root)
    assert len(edge.import_(store.root / "trec")) == 2
    assert snapshot(store.root) == before
    assert edge.verify(deep=True).ok


def test_an_archive_in_gzip_is_imported_up_to_a_size(
    store: Registry, edge: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.export("trec:1.0.0", tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(archive, "_MAX_UNZIPPED", len(data) // 2)
    before = snapshot(edge.root)
    with pytest.raises(Corrupt, match=r"more than \d+ bytes; unpack it first: gzip -dk FILE"):
        edge.import_(tmp_path / "a.tar.gz")
    assert snapshot(edge.root) == before
    monkeypatch.setattr(archive, "_MAX_UNZIPPED", len(data))
    assert edge.import_(tmp_path / "a.tar.gz") == [store.resolve("trec:1.0.0")]


@needs("umoci")
@needs("skopeo")
def test_a_container_image_is_named(edge: Registry, tmp_path: Path) -> None:
    """By umoci; skopeo writes it in its other forms."""
    image = tmp_path / "image"
    run_foreign("umoci", "init", "--layout", str(image))
    run_foreign("umoci", "new", "--image", f"{image}:latest")
    forms = {"oci": "layout", "oci-archive": "a.tar", "docker-archive": "d.tar", "dir": "folder"}
    for form, name in forms.items():
        tag = "" if form == "dir" else ":me/x:latest" if form == "docker-archive" else ":latest"
        skopeo("copy", f"oci:{image}:latest", f"{form}:{tmp_path / name}{tag}")
    before = snapshot(edge.root)
    for name, text in (
        ("image", "import {}: 'latest' is a container image, not a spikewatch model"),
        ("layout", "import {}: 'latest' is a container image, not a spikewatch model"),
        ("a.tar", "import {}: 'latest' is a container image, not a spikewatch model"),
        ("d.tar", "archive {}: is a container image, not a spikewatch model (docker save)"),
        (
            "folder",
            "import {0}: in skopeo's format dir:; make a layout of it: skopeo copy dir:{0} oci:",
        ),
    ):
        with pytest.raises(Corrupt) as caught:
            edge.import_(tmp_path / name)
        assert str(caught.value).startswith(text.format(tmp_path / name))
    assert snapshot(edge.root) == before


def test_an_image_for_several_platforms_is_named(edge: Registry, tmp_path: Path) -> None:
    layout = GOOD().folder(tmp_path / "layout")
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["mediaType"] = "application/vnd.oci.image.index.v1+json"
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(
        Corrupt, match="not a manifest's: it is a container image, not a spikewatch"
    ):
        edge.import_(layout)


def test_a_folder_that_is_no_layout_says_what_to_do(
    store: Registry, edge: Registry, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "core.safetensors").touch()
    with pytest.raises(
        Corrupt,
        match="the files of a model; publish them: spikewatch-registry publish NAME VERSION",
    ):
        edge.import_(files)
    with pytest.raises(
        Corrupt, match=r"a folder of layouts; import one of them, such as '.*/trec'$"
    ):
        edge.import_(store.root)
    (tmp_path / "notes").mkdir()
    with pytest.raises(
        Corrupt,
        match="a folder, but not the layout of a model; to publish its files: spikewatch-registry publish",
    ):
        edge.import_(tmp_path / "notes")


def test_an_import_creates_the_registry_and_a_failed_one_leaves_nothing(
    run: Run, store: Registry, tmp_path: Path
) -> None:
    """As publishing does, by either program."""
    store.export("trec:1.0.0", tmp_path / "a.tar")
    (tmp_path / "bad.tar").write_bytes(b"hello")
    new = tmp_path / "new"
    assert run("import", str(tmp_path / "bad.tar"), "--registry", str(new)).code == 2
    assert not new.exists()
    assert run("import", str(tmp_path / "a.tar"), "--registry", str(new)).code == 0
    assert Registry(new).resolve("trec:1.0.0") == store.resolve("trec:1.0.0")
    files = tmp_path / "files"
    files.mkdir()
    (files / "labels.json").write_text('["a"]')
    other = ("--registry", str(tmp_path / "other"))
    assert run("publish", "qa", "1.0", str(files), *other).code == 2
    assert not (tmp_path / "other").exists()
    assert run("publish", "qa", "1.0.0", str(files), *other).code == 0
    assert (
        run("alias", "set", "qa", "production", "1.0.0", "--registry", str(tmp_path / "x")).code
        == 2
    )
    assert not (tmp_path / "x").exists()


@needs("skopeo")
def test_skopeo_copies_an_archive_and_the_registry_imports_the_copy(
    store: Registry, edge: Registry, tmp_path: Path
) -> None:
    archive, copy = tmp_path / "a.tar", tmp_path / "b.tar"
    store.export("trec", archive)
    pin = store.resolve("trec:production")
    for tag in ("1.1.0", "production"):
        raw = skopeo("inspect", "--raw", f"oci-archive:{archive}:{tag}")
        assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == pin.digest
    skopeo("copy", f"oci-archive:{archive}:production", f"oci-archive:{copy}:production")
    assert edge.import_(copy) == [pin]
    # Directly from the store, into an archive without a tag.
    other = Registry.init(tmp_path / "other")
    skopeo("copy", f"oci:{store.root}/trec:1.0.0", f"oci-archive:{tmp_path}/c.tar")
    assert other.import_(tmp_path / "c.tar") == [store.resolve("trec:1.0.0")]


@needs("skopeo")
def test_skopeo_copies_attachments(store: Registry, edge: Registry, tmp_path: Path) -> None:
    store.export("trec:1.1.0", tmp_path / "a.tar")
    hexadecimal = store.resolve("trec:1.1.0").digest.removeprefix("sha256:")
    for tag in ("1.1.0", f"sha256-{hexadecimal}.eval-1", f"sha256-{hexadecimal}.sig-1"):
        skopeo("copy", f"oci-archive:{tmp_path}/a.tar:{tag}", f"oci:{tmp_path}/layout:{tag}")
    edge.import_(tmp_path / "layout")
    assert edge.verify("trec:1.1.0", key=public_pem(KEY)).ok
    assert len(edge.show("trec:1.1.0").attachments) == 2
    # An attachment alone needs its version.
    only = tmp_path / "only.tar"
    tag = f"sha256-{hexadecimal}.sig-1"
    skopeo("copy", f"oci-archive:{tmp_path}/a.tar:{tag}", f"oci-archive:{only}:{tag}")
    assert edge.import_(only) == []
    with pytest.raises(
        NotFound, match=r"an attachment belongs to sha256:\w+, which is not a version of the model$"
    ):
        Registry.init(tmp_path / "empty").import_(only)


def test_an_import_that_would_change_a_version_changes_nothing(
    store: Registry, edge: Registry, tmp_path: Path
) -> None:
    store.export("trec", tmp_path / "a.tar")
    edge.publish("trec", "1.1.0", good_files("mine"), created=CREATED)
    before = snapshot(edge.root)
    with pytest.raises(Conflict, match="versions are immutable"):
        edge.import_(tmp_path / "a.tar")
    assert snapshot(edge.root) == before


def test_an_import_survives_a_collector_without_grace(
    store: Registry, edge: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector runs after the blobs were written, and before the change that refers to them takes the lock."""
    store.export("trec:1.0.0", tmp_path / "a.tar")
    collector = Registry(edge.root)
    collected = []

    def late(*_: object) -> None:
        monkeypatch.undo()
        collected.extend(collector.gc(grace=0))

    monkeypatch.setattr(fcntl, "flock", late)
    (pin,) = edge.import_(tmp_path / "a.tar")
    assert len(collected[0].blobs) == 5  # three files, config and manifest
    assert edge.load(str(pin)).files == store.load(str(pin)).files
    assert edge.verify().ok


def test_a_bad_import_or_export_is_refused(store: Registry, edge: Registry, tmp_path: Path) -> None:
    store.export("trec", tmp_path / "a.tar")
    before = snapshot(tmp_path)
    with pytest.raises(BadInput, match="the source has 2 versions, not 1"):
        edge.import_(tmp_path / "a.tar", alias="production")
    with pytest.raises(NotFound, match="no such file or directory"):
        edge.import_(tmp_path / "none.tar")
    with pytest.raises(NotFound):
        store.export("trec:9.0.0", tmp_path / "b.tar")
    with pytest.raises(NotFound):
        store.export("qa", tmp_path / "b.tar")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.tar").symlink_to(tmp_path / "b.tar")
    for place in ("", "none/b.tar", "pipe", "link.tar"):
        with pytest.raises(
            BadInput, match="is not a regular file, or its directory does not exist$"
        ):
            store.export("trec", tmp_path / place)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link.tar").is_symlink()
    assert snapshot(tmp_path) == before


def test_a_damaged_version_is_not_exported(store: Registry, tmp_path: Path) -> None:
    flip(blob_of(store, "trec:1.0.0", "core.safetensors"))
    before = snapshot(tmp_path)
    with pytest.raises(Corrupt):
        store.export("trec", tmp_path / "a.tar")
    assert snapshot(tmp_path) == before
    store.export("trec:1.1.0", tmp_path / "a.tar")


def test_a_killed_import_is_reported_and_collected(edge: Registry) -> None:
    (edge.root / ".quarantine" / "0123" / "blobs").mkdir(parents=True)
    assert edge.verify().notes == ("0123: an import that was never finished",)
    edge.gc(grace=0)
    assert edge.verify().notes != ()  # it is young and may still be running
    os.utime(edge.root / ".quarantine" / "0123", (0, 0))
    edge.gc()
    assert edge.verify().notes == ()


def test_the_program_exports_and_imports(
    run: Run, store: Registry, edge: Registry, tmp_path: Path
) -> None:
    archive = tmp_path / "a.tar"
    result = run("export", "trec:1.0.0", str(archive))
    assert result.out == f"{archive}: trec:1.0.0\n{archive.stat().st_size} bytes\n"
    pin = store.resolve("trec:1.0.0")
    where = ("--registry", str(edge.root))
    assert run("import", str(archive), "--alias", "production", *where) == (0, f"{pin}\n", "")
    assert run("resolve", "trec:production", *where).out == f"{pin}\n"
    assert json.loads(run("import", str(archive), "--json", *where).out)[0]["pin"] == str(pin)
    assert json.loads(run("export", "trec", str(archive), "--json").out)["name"] == "trec"


def test_the_good_layout_of_the_hostile_corpus_is_good(edge: Registry, tmp_path: Path) -> None:
    """Check the corpus itself: each hostile case must be refused because of its one change."""
    (tmp_path / "good.tar").write_bytes(GOOD().tar())
    (pin,) = edge.import_(tmp_path / "good.tar")
    assert edge.load(str(pin)).files == good_files("1.0.0")
    ours = Registry.init(tmp_path / "ours")
    created = datetime(2026, 1, 1, tzinfo=UTC)
    assert ours.publish("trec", "1.0.0", good_files("1.0.0"), created=created) == pin
