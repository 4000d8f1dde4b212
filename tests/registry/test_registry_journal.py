"""A journal that was edited, cut or continued in another way: noticed and refused."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from damage import problems

from spikewatch.registry import Corrupt, Registry


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
