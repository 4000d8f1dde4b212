"""A journal that was edited, truncated or wrongly continued is detected and refused."""

from __future__ import annotations

import json
import shutil

import pytest
from damage import problems
from registry_support import append_entry

from spikewatch.registry import Corrupt, Registry


def edit_entry(store: Registry, number: int, **changes: object) -> None:
    path = store.root / "trec" / ".journal" / f"{number:08d}.json"
    entry = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(entry, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_edited_entry_breaks_the_chain(store: Registry, number: int) -> None:
    """Edit any entry, even the newest: the index contains its digest."""
    edit_entry(store, number, actor="somebody else")
    assert f"{number:08d}.json" in problems(store)[0]


def test_a_missing_newest_entry_is_detected(store: Registry) -> None:
    (store.root / "trec" / ".journal" / "00000004.json").unlink()
    assert problems(store) == [
        ".journal/00000004.json: is missing: index.json names it, the journal ends at 3"
    ]
    with pytest.raises(Corrupt, match=r"as journal entry 4, which is missing$"):
        store.load("trec:1.0.0")


def test_a_gap_in_the_journal_is_detected(store: Registry) -> None:
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
def test_an_entry_that_contradicts_the_previous_ones_is_refused(
    store: Registry, changes: dict[str, object], message: str
) -> None:
    """Append an entry that a crash or a faulty writer might leave, newer than the index."""
    append_entry(store, **{"from": store.resolve("trec:production").digest} | changes)
    with pytest.raises(Corrupt) as caught:
        store.resolve("trec:1.0.0")
    assert message in str(caught.value)
    assert any(message in text for text in problems(store))


def test_verify_reports_a_journal_that_moves_a_version(store: Registry) -> None:
    first = store.resolve("trec:1.0.0")
    append_entry(store, op="publish", ref="1.0.0", **{"from": first.digest})
    texts = problems(store)
    assert ".journal/00000005.json: moves 1.0.0: versions are immutable" in texts
    assert any("the manifest of 1.0.0 is of version 1.1.0" in text for text in texts)
