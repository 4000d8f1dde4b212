"""Many swaps under load: every result comes from the one model that it names, and none is lost."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_support import Daemon, ask, content, records, until
from support import tiny_model_files

from spikewatch.registry import Registry
from spikewatch.simcore import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = ("1.0.0", "2.0.0")
OUTSTANDING = 16
"""Most unanswered files: the daemon always has work, and yet the test ends soon after the last swap."""


class Producer(threading.Thread):
    """Drops files as fast as they are answered, until `enough` is set."""

    def __init__(self, spool: Path, texts: list[str]) -> None:
        super().__init__()
        self.spool = spool
        self.texts = texts
        self.dropped = 0
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            if self.dropped % 8 == 0 and self.dropped - self._answered() >= OUTSTANDING:
                self.enough.wait(0.002)
                continue
            hidden = self.spool / "tmp" / "put-test"
            hidden.write_text(self.texts[self.dropped % len(self.texts)])
            hidden.rename(self.spool / "in" / f"{self.dropped}.txt")
            self.dropped += 1

    def _answered(self) -> int:
        return len(content(self.spool / "done"))


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


@pytest.fixture
def swap_under_load(spool: Path, tmp_path: Path) -> Callable[[int], tuple[int, int]]:
    """Return a function that moves the alias under load, checks all results, and returns the memory in kB."""
    rng = random.Random(7)
    files = {version: tiny_model_files(int(version[0]), tested=True) for version in VERSIONS}
    models = Registry.init(tmp_path / "models")
    for version in VERSIONS:
        created = datetime(2026, 1, 1, tzinfo=UTC)
        models.publish("tiny", version, files[version], created=created)
    models.set_alias("tiny", "production", VERSIONS[0])
    # Most are small and share batches; one in eight is answered in several batches.
    asked = [[ask(rng) for _ in range(40 if i == 0 else 3)] for i in range(8)]
    expected = {}
    for version in VERSIONS:
        classifier = Classifier.from_files(files[version])
        for i, questions in enumerate(asked):
            answers = classifier.classify(questions)
            rows = zip(answers.label, answers.scores.tolist(), strict=True)
            expected[version, i] = [(classifier.labels[label], scores) for label, scores in rows]
    assert all(expected[VERSIONS[0], i] != expected[VERSIONS[1], i] for i in range(len(asked)))

    def check(name: str, i: int) -> str:
        """Check a result against the model that its summary names; return the version."""
        summary = json.loads((spool / "out" / f"{name}.summary.json").read_bytes())
        version: str = summary["model"].removeprefix("tiny:").split("@")[0]
        found = [
            (r["label"], list(r["scores"].values()))
            for r in records(spool / "out" / f"{name}.jsonl")
        ]
        assert found == expected[version, i], name
        return version

    def run(moves: int) -> tuple[int, int]:
        options = (
            "--model",
            "tiny:production",
            "--model-poll-s",
            "0.01",
            "--batch-questions",
            "64",
        )
        producer = Producer(spool, ["\n".join(questions) for questions in asked])
        with Daemon(spool, models.root, *options).ready() as daemon:
            producer.start()
            try:
                swaps = wait_for_swaps(daemon, models, moves, producer)
                memory = swaps[1], resident_kb(daemon.process.pid)
            finally:
                producer.enough.set()
                producer.join()
            until(lambda: len(content(spool / "done")) == producer.dropped, "the last file")
            assert daemon.stop() == 0
            done = daemon.events("request.done")
            swapped = daemon.events("model.swapped")
        names = [f"{i}.txt" for i in range(producer.dropped)]
        assert content(spool / "done") == set(names)
        assert (
            content(spool / "in") == content(spool / "work") == content(spool / "failed") == set()
        )
        versions = Counter(check(n, i % len(asked)) for i, n in enumerate(names))
        assert sorted(e["file"] for e in done) == sorted(names)
        assert versions == Counter(e["model"].removeprefix("tiny:").split("@")[0] for e in done)
        assert versions.total() == producer.dropped
        assert min(versions.values()) > moves // 4
        assert len(swapped) == moves
        assert all(e["self_test"] == "passed" for e in swapped)
        assert all(a["to"] == b["from"] for a, b in pairwise(swapped))
        return memory

    return run


def wait_for_swaps(
    daemon: Daemon, models: Registry, moves: int, producer: Producer
) -> tuple[int, int]:
    """Move the alias to and fro, waiting for each swap; return the moves, and the memory in kB after a tenth."""
    early = 0
    with daemon.log.open("rb") as log:
        rest = b""
        seen = 0
        for i in range(moves):
            models.set_alias("tiny", "production", VERSIONS[(i + 1) % 2])
            before = producer.dropped

            def followed(wanted: int = i + 1) -> bool:
                nonlocal rest, seen
                assert daemon.alive
                *lines, rest = (rest + log.read()).split(b"\n")
                seen += sum(b'"event":"model.swapped"' in line for line in lines)
                return seen >= wanted

            until(followed, f"swap {i + 1}")
            until(lambda before=before: producer.dropped > before, "more files")
            if i == moves // 10:
                early = resident_kb(daemon.process.pid)
    return moves, early


def test_in_a_hundred_swaps_under_load_no_result_is_lost_or_mixed(
    swap_under_load: Callable[[int], tuple[int, int]],
) -> None:
    swap_under_load(100)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_in_a_thousand_swaps_under_load_no_result_is_lost_or_mixed(
    swap_under_load: Callable[[int], tuple[int, int]],
) -> None:
    before, after = swap_under_load(1000)
    assert after - before < 8_000, f"resident memory grew from {before} to {after} kB"
