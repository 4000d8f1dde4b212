"""A spool with a request of every kind, and its expected end; the sweeps disturb its processing."""

from __future__ import annotations

import json
import os
import random
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from daemon_lives import Nursery, Rest, at_rest, copy
from daemon_support import ask, spool_of

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b"Who wrote Hamlet ?\nhow far is the moon ?\n"
OTHER = b"what is the capital of france ?\n"


@pytest.fixture(scope="session")
def scene(memory: Path, lives: Nursery) -> Path:
    """Create a spool with a request of every kind.

    in/ has small inputs that share batches, one of several batches, failing ones, known bytes under a known name (good
    and bad), and new bytes under an old name.  work/ has an input in each state that a killed daemon can leave.
    """
    spool = spool_of(memory / "scene")
    inbox, work = spool / "in", spool / "work"
    for name in ("old.txt", "again.txt", "answered.txt", "finished.txt"):
        (inbox / name).write_bytes(GOOD)
    for name in ("bad.txt", "quarantined.txt"):
        (inbox / name).write_bytes(b"\xff")
    assert lives.live(spool) == 0
    (spool / "done" / "answered.txt").rename(work / "answered.txt")
    os.link(spool / "done" / "finished.txt", work / "finished.txt")
    os.link(spool / "failed" / "quarantined.txt", work / "quarantined.txt")
    (work / "claimed.txt").write_bytes(GOOD)
    (work / "half.txt").write_bytes(GOOD)
    os.link(work / "half.txt", inbox / "half.txt")
    (spool / "tmp" / "rest.jsonl").write_text('{"id":1')

    rng = random.Random(4)
    (inbox / "again.txt").write_bytes(GOOD)
    (inbox / "old.txt").write_bytes(OTHER)
    (inbox / "bad.txt").write_bytes(b"\xff")
    (inbox / "worse.txt").write_bytes(b"\xfe")
    (inbox / "link.txt").symlink_to("/etc/passwd")
    (inbox / "b.jsonl").write_bytes(b'{"text": "who"}\nnot json\n{"text": "how far"}\n')
    (inbox / "large.csv").write_text("\n".join(["text", *(ask(rng) for _ in range(100))]))
    return spool


@pytest.fixture(scope="session")
def undisturbed(scene: Path, lives: Nursery, memory: Path) -> Rest:
    """Return the end of the scene without disturbances."""
    spool = copy(scene, memory / "undisturbed")
    assert lives.live(spool) == 0
    rest = at_rest(spool)
    assert rest.waiting == frozenset()
    answered = {"old.txt", "again.txt", "answered.txt", "finished.txt", "claimed.txt", "half.txt"}
    answered |= {f"old.txt.{sha256(OTHER).hexdigest()[:12]}", "b.jsonl", "large.csv"}
    assert set(rest.done) == answered
    assert set(rest.results) == {f"{name}.jsonl" for name in answered}
    assert set(rest.keys) == {f"{name}.summary.json" for name in answered}
    assert set(rest.failed) == {"bad.txt", "quarantined.txt", "worse.txt", "link.txt"}
    for result in rest.results.values():
        assert all(json.loads(line)["status"] in {"ok", "error"} for line in result.splitlines())
    return rest
