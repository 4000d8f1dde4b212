"""Import refuses each hostile layout and archive in one line, and leaves no trace of it.

Every case has one change from a layout that can be imported (see test_registry_import).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from foreign_layout import GOOD, good_files
from hostile_files import ARCHIVES, FOLDERS
from hostile_layouts import LAYOUTS
from registry_support import CREATED, Run, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from spikewatch.registry import Registry


@pytest.fixture
def store(registry: Registry) -> Registry:
    """Return a store in use, which no refused import may change."""
    registry.publish("trec", "0.9.0", good_files("0.9.0"), created=CREATED, alias="production")
    return registry


def assert_refused(run: Run, store: Registry, source: Path, text: str, outside: Path) -> None:
    """Import the source; check the error, and that nothing below `outside` has changed."""
    before = snapshot(outside)
    result = run("import", str(source), "--alias", "production")
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("spikewatch-registry: ")
    assert result.err.count("\n") == 1
    assert result.err[:-1].isprintable()
    assert len(result.err) < 1000
    assert text in result.err
    assert snapshot(outside) == before  # includes the store
    assert not (store.root / ".quarantine").exists()
    assert store.verify().ok
    assert store.verify().notes == ()
    assert store.resolve("trec:production").version == "0.9.0"


@pytest.mark.parametrize("kind", ["archive", "folder"])
@pytest.mark.parametrize("case", LAYOUTS)
def test_a_hostile_layout_is_refused(
    run: Run, store: Registry, tmp_path: Path, case: str, kind: str
) -> None:
    make, text = LAYOUTS[case]
    source = tmp_path / "source"
    if kind == "folder":
        make().folder(source)
    else:
        source.write_bytes(make().tar())
    assert_refused(run, store, source, text, tmp_path)


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_hostile_archive_is_refused(run: Run, store: Registry, tmp_path: Path, case: str) -> None:
    make, text = ARCHIVES[case]
    (tmp_path / "source.tar").write_bytes(make())
    assert_refused(run, store, tmp_path / "source.tar", text, tmp_path)


@pytest.mark.parametrize("case", FOLDERS)
def test_a_hostile_directory_is_refused(
    run: Run, store: Registry, tmp_path: Path, case: str
) -> None:
    spoil, text = FOLDERS[case]
    source = GOOD().folder(tmp_path / "source")
    spoil(source)
    assert_refused(run, store, source, text, tmp_path)


def test_the_corpus_is_large_enough() -> None:
    assert len(LAYOUTS) + len(ARCHIVES) + len(FOLDERS) >= 40
