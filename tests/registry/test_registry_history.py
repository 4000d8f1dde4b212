"""Who moved what, when and why; and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from registry_support import CREATED, flip, model_files, publish, snapshot

from spikewatch.registry import (
    BadInput,
    BadReference,
    Conflict,
    Corrupt,
    NotFound,
    Registry,
    RegistryError,
)
from spikewatch.registry.layout.changes import Attribution, publication
from spikewatch.registry.layout.commit import commit
from spikewatch.registry.layout.index import render_index
from spikewatch.registry.layout.journal import ModelState
from spikewatch.registry.layout.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def store(registry: Registry) -> Registry:
    """Three versions; production has been the first, the second, and the third."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        publish(registry, version)
        registry.set_alias("trec", "production", version, actor="ann", reason=f"try {version}")
    return registry


def test_history_tells_who_when_why_from_and_to(store: Registry) -> None:
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


def test_what_an_alias_was_at_a_time_can_be_asked(store: Registry) -> None:
    folder = store.root / "trec" / ".journal"
    moves = {e.target_version: e.time for e in store.history("trec", "production")}
    for version, time in moves.items():
        pin = store.resolve("trec:production", at=datetime.fromisoformat(time))
        # Moves within one millisecond: the last of them counts.
        assert pin.version in {v for v, t in moves.items() if t == time}
        assert version in {v for v, t in moves.items() if t == time}
    assert store.resolve("trec:production", at=datetime.now(UTC)).version == "1.2.0"
    first = json.loads((folder / "00000001.json").read_bytes())["time"]
    before = datetime.fromisoformat(first) - timedelta(seconds=1)
    with pytest.raises(NotFound, match=r"^model trec: no 'production' at "):
        store.resolve("trec:production", at=before)
    with pytest.raises(BadReference, match="must be MODEL:TAG; a digest never moves$"):
        store.resolve(str(store.resolve("trec:1.0.0")), at=before)


def test_a_rollback_goes_one_step_back_and_the_next_one_further(store: Registry) -> None:
    assert store.rollback("trec", "production").version == "1.1.0"
    assert store.rollback("trec", "production").version == "1.0.0"
    with pytest.raises(NotFound, match="has no earlier version to roll back to$"):
        store.rollback("trec", "production")
    store.set_alias("trec", "production", "1.2.0")
    assert store.rollback("trec", "production").version == "1.0.0"
    assert store.verify().ok


def test_a_rollback_brings_a_removed_alias_back(store: Registry) -> None:
    removed = store.remove_alias("trec", "production")
    with pytest.raises(NotFound):
        store.resolve("trec:production")
    assert store.rollback("trec", "production").digest == removed
    assert store.verify().ok


def test_every_recorded_generation_can_be_replayed(store: Registry) -> None:
    """The journal, replayed to each generation, gives the index that was there at that time."""
    layout = Layout(store.root / "trec")
    indexes = [layout.index.read_bytes()]
    for work in (
        lambda: store.rollback("trec", "production"),
        lambda: store.remove_alias("trec", "production"),
        lambda: store.withdraw("trec", "1.2.0"),
        lambda: publish(store, "1.2.0"),
        lambda: publish(store, "1.3.0", "production"),
    ):
        work()
        indexes.append(layout.index.read_bytes())
    entries = list(layout.entries(0))
    replayed = [
        render_index(ModelState().replay(iter(entries[:n]), what="journal"))
        for n in range(len(entries) + 1)
    ]
    assert all(index in replayed for index in indexes)
    assert replayed[-1] == indexes[-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda store, expect: store.rollback("trec", "production", expect=expect),
        lambda store, expect: store.remove_alias("trec", "production", expect=expect),
    ],
)
def test_a_change_of_an_alias_that_means_something_else_by_now_is_refused(
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
def test_what_cannot_be_is_refused_and_changes_nothing(
    store: Registry, change: Callable[[Registry], object], error: type[RegistryError], text: str
) -> None:
    before = snapshot(store.root)
    with pytest.raises(error) as caught:
        change(store)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(store.root) == before


def test_a_rollback_to_a_damaged_version_is_refused(store: Registry) -> None:
    core = store.show("trec:1.1.0").layers[0]
    flip(store.root / "trec" / "blobs" / "sha256" / core.digest.removeprefix("sha256:"))
    with pytest.raises(Corrupt, match=r"^trec:production: blob "):
        store.rollback("trec", "production")
    assert store.resolve("trec:production").version == "1.2.0"


def test_history_of_an_edited_journal_is_refused(store: Registry) -> None:
    path = store.root / "trec" / ".journal" / "00000002.json"
    path.write_bytes(path.read_bytes().replace(b"ann", b"eve"))
    for ask in (store.history, lambda name: store.rollback(name, "production")):
        with pytest.raises(Corrupt, match=r"00000003\.json: 'prev' is "):
            ask("trec")


# Withdrawing


def test_the_name_of_a_withdrawn_version_stays_taken(store: Registry) -> None:
    pin = store.resolve("trec:1.0.0")
    assert store.withdraw("trec", "1.0.0", reason="licence") == pin.digest
    assert store.withdraw("trec", "1.0.0") == pin.digest  # again: done already
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


def test_a_rollback_does_not_bring_back_what_was_withdrawn(store: Registry) -> None:
    store.withdraw("trec", "1.1.0")
    with pytest.raises(Conflict, match=r"^trec:production: was 1\.1\.0@sha256:.* is withdrawn$"):
        store.rollback("trec", "production")
    assert store.resolve("trec:production").version == "1.2.0"


def test_a_journal_that_publishes_other_bytes_after_a_withdrawal_is_a_problem(
    store: Registry,
) -> None:
    store.withdraw("trec", "1.0.0")
    layout = Layout(store.root / "trec")
    target = layout.state().tags["1.1.0"]
    decide = publication("trec", "1.0.0", target, Attribution.of("eve", ""))
    # A hostile writer leaves out what refuses another digest: the state's record of the withdrawal.
    commit(layout, lambda state: decide(replace(state, withdrawn={})))
    texts = [problem.what for problem in store.verify().problems]
    assert "1.0.0 was other bytes before it was withdrawn" in texts
