"""Random histories of a spool: producers, readers, kills, faults and restarts in any order, checked against a model."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from daemon_lives import FAULTS, Hook
from daemon_support import content, spool_of
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

if TYPE_CHECKING:
    from daemon_lives import Nursery

Input = tuple[str, bytes]

NAMES = ("a.txt", "b.txt", "c.csv")
TEXTS = (
    b"text\nwho wrote hamlet ?\n",
    b"text\nhow far is the moon ?\nwhat is the capital of france ?\n",
    b"text\n" + b"who is in france ?\n" * 70,
    b"\xff no text\n",
)
BAD = TEXTS[-1]
KIND = {"max_attempts": 100, "group_files": 2}
"""So many attempts that random kills quarantine nothing, and small groups, so that files are claimed ahead."""


@dataclass
class Spool:
    """A spool and its expected content.

    Attributes
    ----------
    owed
        Inputs that were dropped and not overwritten by their producer.
    taken
        Inputs whose result a reader has taken.

    """

    path: Path
    truth: dict[Input, bytes]
    owed: set[Input] = field(default_factory=set)
    taken: set[Input] = field(default_factory=set)

    def holding(self, *folders: str) -> Counter[Input]:
        """Count the inputs in folders; tags in their names are ignored."""
        found: Counter[Input] = Counter()
        for folder in folders:
            for path in (self.path / folder).iterdir():
                if not path.name.endswith(".error.json") and path.name[0] != ".":
                    name = path.name if path.name in NAMES else path.name.rpartition(".")[0]
                    found[name, path.read_bytes()] += 1
        return found

    def results(self) -> Counter[Input]:
        """Count the results by input; each must be complete and correct."""
        found: Counter[Input] = Counter()
        for path in (self.path / "out").glob("*.jsonl"):
            summary = path.with_name(path.name.removesuffix(".jsonl") + ".summary.json")
            key = json.loads(summary.read_bytes())["key"]
            asked = next(
                i for i in self.truth if key == f"sha256:{sha256(i[1]).hexdigest()}/{i[0]}"
            )
            assert path.read_bytes() == self.truth[asked]
            found[asked] += 1
        return found

    def check(self) -> None:
        """Check what must be true at every moment."""
        everywhere = self.holding("in", "work", "done", "failed")
        assert self.owed <= everywhere.keys(), "lost"
        assert set(self.results().values()) <= {1}, "doubled"
        assert set(self.holding("done").values()) <= {1}
        assert set(self.holding("failed").values()) <= {1}
        settled = self.holding("done").keys() - self.holding("in", "work").keys()
        assert settled - self.taken == self.results().keys() & settled

    def check_at_rest(self) -> None:
        """Check what must be true when nothing is left to do."""
        self.check()
        left = {n for f in ("in", "work", "tmp") for n in content(self.path / f)}
        assert left <= {".trial.json", ".spikewatchd-canary"}, left
        assert self.holding("done").keys() == {i for i in self.owed if i[1] != BAD}
        assert self.holding("failed").keys() == {i for i in self.owed if i[1] == BAD}
        assert self.results().keys() == self.holding("done").keys() - self.taken

    def drop(self, name: str, data: bytes, *, in_place: bool) -> None:
        """Act as a producer, which may overwrite a waiting file."""
        target = self.path / "in" / name
        before = (name, target.read_bytes()) if target.exists() else None
        hidden = target if in_place else self.path / "tmp" / "put-model"
        hidden.write_bytes(data)
        hidden.rename(target)
        if before and before not in self.holding("in", "work"):
            if before not in self.holding("done", "failed"):
                self.owed.discard(before)
            elif before not in self.results():
                self.taken.add(before)  # as it was before a new file was dropped and overwritten
        self.owed.add((name, data))
        self.taken.discard((name, data))

    def take(self, number: int, *, summary: bool) -> None:
        """Act as a reader, which takes a result; an input that is still in work/ is then answered again."""
        results = sorted((self.path / "out").glob("*.jsonl"))
        path = results[number % len(results)]
        (asked,) = (
            i
            for i, result in self.truth.items()
            if result == path.read_bytes() and path.name.startswith(i[0])
        )
        path.unlink()
        base = path.name.removesuffix(".jsonl")
        if summary:
            path.with_name(base + ".summary.json").unlink()
        if asked not in self.holding("in", "work"):
            self.taken.add(asked)


def machine(memory: Path, lives: Nursery, truth: dict[Input, bytes]) -> type[RuleBasedStateMachine]:
    """Return the state machine that generates histories."""

    class History(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.spool = Spool(spool_of(Path(mkdtemp(dir=memory)) / "spool"), truth)

        def teardown(self) -> None:
            try:
                assert lives.live(self.spool.path, **KIND) == 0
                self.spool.check_at_rest()
            finally:
                shutil.rmtree(self.spool.path.parent)

        @rule(name=st.sampled_from(NAMES), data=st.sampled_from(TEXTS), in_place=st.booleans())
        def drop(self, name: str, data: bytes, *, in_place: bool) -> None:
            self.spool.drop(name, data, in_place=in_place)
            self.spool.check()

        @precondition(lambda self: any((self.spool.path / "out").glob("*.jsonl")))
        @rule(number=st.integers(0, 9), summary=st.booleans())
        def take(self, number: int, *, summary: bool) -> None:
            self.spool.take(number, summary=summary)
            self.spool.check()

        @precondition(lambda self: self.spool.owed)
        @rule()
        def live(self) -> None:
            assert lives.live(self.spool.path, **KIND) == 0
            self.spool.check_at_rest()

        @precondition(lambda self: self.spool.owed)
        @rule(n=st.integers(1, 110))
        def end(self, n: int) -> None:
            code = lives.live(self.spool.path, hook=Hook(kill_at=n), **KIND)
            assert code in {0, -signal.SIGKILL}, lives.said()
            self.spool.check()

        @precondition(lambda self: self.spool.owed)
        @rule(n=st.integers(1, 250), fault=st.sampled_from(FAULTS), count=st.integers(1, 8))
        def fail(self, n: int, fault: int, count: int) -> None:
            hook = Hook(reads=True, fault_at=n, fault_count=count, fault=fault)
            code = lives.live(self.spool.path, hook=hook, **KIND)
            assert code in {0, os.EX_TEMPFAIL}, lives.said()
            self.spool.check() if code else self.spool.check_at_rest()

    return History


@pytest.fixture(scope="module")
def truth(memory: Path, lives: Nursery) -> dict[Input, bytes]:
    """Answer every possible input without disturbance; return the results."""
    answers: dict[Input, bytes] = {}
    for i, data in enumerate(TEXTS):
        spool = spool_of(memory / f"truth-{i}")
        for name in NAMES:
            (spool / "in" / name).write_bytes(data)
        assert lives.live(spool) == 0
        answers |= {
            (n, data): (spool / "out" / f"{n}.jsonl").read_bytes() for n in NAMES if data != BAD
        }
        shutil.rmtree(spool)
    return answers


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("examples", "steps"), [(10, 14), pytest.param(200, 40, marks=pytest.mark.soak)]
)
def test_no_history_loses_or_doubles_anything(
    memory: Path, lives: Nursery, truth: dict[Input, bytes], examples: int, steps: int
) -> None:
    run_state_machine_as_test(
        machine(memory, lives, truth),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking takes minutes: every step runs a daemon or two
            suppress_health_check=list(HealthCheck),
        ),
    )
