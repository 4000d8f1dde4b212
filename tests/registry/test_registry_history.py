"""History, rollback and withdrawal."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from registry_support import (
    CREATED,
    append_entry,
    blob_of,
    flip,
    index_entry,
    model_files,
    publish,
    snapshot,
)

from spikewatch.registry import (
    BadInput,
    BadReference,
    Conflict,
    Corrupt,
    NotFound,
    Registry,
    RegistryError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def store(registry: Registry) -> Registry:
    """Publish three versions; point production at each of them in turn."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        publish(registry, version)
        registry.set_alias("trec", "production", version, actor="ann", reason=f"try {version}")
    return registry


def test_history_records_who_when_why_from_and_to(store: Registry) -> None:
    store.rollback("trec", "production", actor="bob", reason="slow")
    store.remove_alias("trec", "production", actor="cy", reason="retired")
    events = store.history("trec", "production")
    assert [(e.operation, e.actor, e.reason, e.source_version, e.target_version) for e in events] == [
        ("alias", "ann", "try 1.0.0", None, "1.0.0"),
        ("alias", "ann", "try 1.1.0", "1.0.0", "1.1.0"),
        ("alias", "ann", "try 1.2.0", "1.1.0", "1.2.0"),
        ("rollback", "bob", "slow", "1.2.0", "1.1.0"),
        ("remove", "cy", "retired", "1.1.0", None),
    ]  # fmt: skip
    assert [e.generation for e in events] == [2, 4, 6, 7, 8]
    assert [e.target for e in events][:3] == [
        store.resolve(f"trec:{v}").digest for v in ("1.0.0", "1.1.0", "1.2.0")
    ]
    assert len(store.history("trec")) == 8
    assert [e.operation for e in store.history("trec", "1.1.0")] == ["publish"]
    times = [datetime.fromisoformat(e.time) for e in store.history("trec")]
    assert times == sorted(times)


@pytest.mark.usefixtures("clock")
def test_an_alias_can_be_resolved_as_of_a_time(store: Registry) -> None:
    """Use the hourly clock: the alias is set at 2, 4 and 6 o'clock."""
    day, minute = datetime(2026, 2, 1, tzinfo=UTC), timedelta(minutes=1)
    for version, hour in (("1.0.0", 2), ("1.1.0", 4), ("1.2.0", 6)):
        start = day + timedelta(hours=hour)
        assert store.resolve("trec:production", at=start).version == version
        assert store.resolve("trec:production", at=start + 119 * minute).version == version
    assert store.resolve("trec:production", at=day + timedelta(days=30)).version == "1.2.0"
    before = day + timedelta(hours=2) - minute
    with pytest.raises(NotFound, match=r"^model trec: no 'production' at "):
        store.resolve("trec:production", at=before)
    with pytest.raises(BadReference, match="must be MODEL:TAG; a digest never moves$"):
        store.resolve(str(store.resolve("trec:1.0.0")), at=before)


def test_each_rollback_goes_one_version_further_back(store: Registry) -> None:
    assert store.rollback("trec", "production").version == "1.1.0"
    assert store.rollback("trec", "production").version == "1.0.0"
    with pytest.raises(NotFound, match="has no earlier version to roll back to$"):
        store.rollback("trec", "production")
    store.set_alias("trec", "production", "1.2.0")
    assert store.rollback("trec", "production").version == "1.0.0"
    assert store.verify().ok


def test_a_rollback_restores_a_removed_alias(store: Registry) -> None:
    removed = store.remove_alias("trec", "production")
    with pytest.raises(NotFound):
        store.resolve("trec:production")
    assert store.rollback("trec", "production").digest == removed
    assert store.verify().ok


def test_the_journal_up_to_any_generation_gives_the_index_of_that_time(
    store: Registry, tmp_path: Path
) -> None:
    """Cut the journal of a copy after each recorded generation, and rebuild the index from it."""
    index = store.root / "trec" / "index.json"
    recorded = [index.read_bytes()]
    for work in (
        lambda: store.rollback("trec", "production"),
        lambda: store.remove_alias("trec", "production"),
        lambda: store.withdraw("trec", "1.2.0"),
        lambda: publish(store, "1.2.0"),
        lambda: publish(store, "1.3.0", "production"),
    ):
        work()
        recorded.append(index.read_bytes())
    for expected in recorded:
        last = int(json.loads(expected)["annotations"]["org.spikewatch.generation"])
        root = tmp_path / f"generation-{last}"
        shutil.copytree(store.root, root)
        for entry in (root / "trec" / ".journal").glob("*.json"):
            if int(entry.stem) > last:
                entry.unlink()
        (root / "trec" / "index.json").write_bytes(b"")  # an index of a later time blocks repair
        Registry(root).repair("trec")
        assert (root / "trec" / "index.json").read_bytes() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda store, expect: store.rollback("trec", "production", expect=expect),
        lambda store, expect: store.remove_alias("trec", "production", expect=expect),
    ],
)
def test_a_change_of_an_alias_that_has_moved_meanwhile_is_refused(
    store: Registry, change: Callable[[Registry, str], object]
) -> None:
    before = snapshot(store.root)
    stale, now = (store.resolve(f"trec:{v}").digest for v in ("1.0.0", "1.2.0"))
    with pytest.raises(Conflict, match=f"^trec:production is {now}, not {stale} as expected$"):
        change(store, stale)
    assert snapshot(store.root) == before
    change(store, now)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda s: s.rollback("trec", "canary"), NotFound, "model trec: no alias 'canary'"),
        (lambda s: s.rollback("qa", "production"), NotFound, "no model 'qa'"),
        (lambda s: s.rollback("trec", "1.0.0"), BadReference, "alias '1.0.0'"),
        (lambda s: s.rollback("trec", "production", expect="x"), BadReference, "digest 'x'"),
        (lambda s: s.remove_alias("trec", "canary"), NotFound, "model trec: no alias 'canary'"),
        (lambda s: s.remove_alias("trec", "1.0.0"), BadReference, "alias '1.0.0'"),
        (lambda s: s.withdraw("trec", "9.0.0"), NotFound, "model trec: no version '9.0.0'"),
        (lambda s: s.withdraw("trec", "production"), BadReference, "version 'production'"),
        (
            lambda s: s.withdraw("trec", "1.2.0"),
            Conflict,
            "trec:1.2.0 cannot be withdrawn while aliases point to it: prod",
        ),
        (lambda s: s.history("trec", "No"), BadReference, "alias 'No'"),
        (lambda s: s.gc(grace=-1), BadInput, "grace -1: must be at least 0 seconds"),
    ],
)
def test_a_bad_change_is_refused_and_changes_nothing(
    store: Registry, change: Callable[[Registry], object], error: type[RegistryError], text: str
) -> None:
    before = snapshot(store.root)
    with pytest.raises(error) as caught:
        change(store)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(store.root) == before


def test_a_rollback_to_a_damaged_version_is_refused(store: Registry) -> None:
    flip(blob_of(store, "trec:1.1.0", "core.safetensors"))
    with pytest.raises(Corrupt, match=r"^trec:production: blob "):
        store.rollback("trec", "production")
    assert store.resolve("trec:production").version == "1.2.0"


def test_history_of_an_edited_journal_is_refused(store: Registry) -> None:
    path = store.root / "trec" / ".journal" / "00000002.json"
    path.write_bytes(path.read_bytes().replace(b"ann", b"eve"))
    for call in (store.history, lambda name: store.rollback(name, "production")):
        with pytest.raises(Corrupt, match=r"00000003\.json: 'prev' is "):
            call("trec")


# Withdrawing


def test_the_name_of_a_withdrawn_version_cannot_be_reused(store: Registry) -> None:
    pin = store.resolve("trec:1.0.0")
    assert store.withdraw("trec", "1.0.0", reason="licence") == pin.digest
    assert store.withdraw("trec", "1.0.0") == pin.digest  # already withdrawn
    for fresh in (store, Registry(store.root)):
        assert [e.tag for e in fresh.list()] == ["1.1.0", "1.2.0", "production"]
        with pytest.raises(NotFound, match=f"^trec:1.0.0@{pin.digest} is withdrawn$"):
            fresh.load("trec:1.0.0")
        with pytest.raises(Conflict, match="before it was withdrawn and cannot become"):
            fresh.publish("trec", "1.0.0", model_files("other"), created=CREATED)
    assert store.verify().ok
    assert publish(store, "1.0.0") == pin  # the same bytes are the same version
    assert store.load("trec:1.0.0").files == model_files("1.0.0")
    assert store.verify().ok


def test_a_rollback_to_a_withdrawn_version_is_refused(store: Registry) -> None:
    store.withdraw("trec", "1.1.0")
    with pytest.raises(Conflict, match=r"^trec:production: was 1\.1\.0@sha256:.* is withdrawn$"):
        store.rollback("trec", "production")
    assert store.resolve("trec:production").version == "1.2.0"


def test_verify_reports_a_withdrawn_version_published_with_other_bytes(store: Registry) -> None:
    store.withdraw("trec", "1.0.0")
    target = index_entry(store, store.resolve("trec:1.1.0").digest)
    del target["annotations"]
    append_entry(store, op="publish", ref="1.0.0", **{"from": None}, to=target)
    texts = [problem.what for problem in store.verify().problems]
    assert "1.0.0 was other bytes before it was withdrawn" in texts
