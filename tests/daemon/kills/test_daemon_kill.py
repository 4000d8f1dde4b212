"""SIGKILL at random moments: every question is answered exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from daemon_support import ask, bench, check_log, check_oracle, content, spool_of

from spikewatch.daemon import put

if TYPE_CHECKING:
    from pathlib import Path

    from daemon_lives import Nursery


def make_input(rng: random.Random, number: int) -> tuple[str, bytes]:
    """Return a random input; most are small, some take several batches."""
    questions = [ask(rng) for _ in range(rng.choice([1, 1, 1, 3, 10, 200]))]
    match rng.choice([".txt", ".jsonl", ".csv"]):
        case ".txt":
            return f"{number}.txt", "\n".join(questions).encode()
        case ".csv":
            return f"{number}.csv", "\n".join(["text", *questions]).encode()
        case _:
            lines = [json.dumps({"id": f"q{i}", "text": q}) for i, q in enumerate(questions)]
            return f"{number}.jsonl", "\n".join([*lines, "{broken"]).encode()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kills", "files"), [(40, 400), pytest.param(400, 4000, marks=pytest.mark.soak)]
)
def test_kills_at_random_moments_lose_and_double_nothing(
    spool: Path, registry: Path, lives: Nursery, tmp_path: Path, kills: int, files: int
) -> None:
    rng = random.Random(20)
    dropped: dict[str, bytes] = {}
    states: Counter[str] = Counter()

    def drop(count: int) -> None:
        for i in range(count):
            name, data = make_input(rng, len(dropped))
            source = tmp_path / name
            source.write_bytes(data)
            if i == 0:
                put(spool, source)
            else:
                source.rename(spool / "in" / name)
            dropped[name] = data

    a_life = files // kills
    for life in range(kills):
        drop(a_life // 2)
        pid = lives.start(spool, group_files=3)  # so that some are claimed ahead
        drop(a_life - a_life // 2)
        if life % 3:  # the others may die while they start
            lives.wait_for("daemon.ready")
        time.sleep(rng.uniform(0, 0.1))  # the random moment is what is tested
        os.kill(pid, signal.SIGKILL)
        assert lives.exit_code() == -signal.SIGKILL
        states.update(e["state"] for e in lives.events("request.recovered"))
    assert lives.live(spool) == 0
    states.update(e["state"] for e in lives.events("request.recovered"))

    clean = spool_of(tmp_path / "clean")
    with bench(clean, registry) as hand:
        for name, data in dropped.items():
            hand.drop(name, data)
        hand.run()
        assert {e["file"] for e in hand.events("request.done")} == set(dropped)
    expected = {name: (clean / "out" / f"{name}.jsonl").read_bytes() for name in dropped}
    check_oracle(spool, dropped, expected)
    check_log(lives.log)
    assert states["claimed"] > 0, "no kill ever hit work in hand"
    print(f"{kills} kills, {len(dropped)} files, recovered: {dict(states)}")  # noqa: T201 - a figure of the test


def test_put_that_is_killed_leaves_the_whole_file_or_nothing(spool: Path, tmp_path: Path) -> None:
    rng = random.Random(21)
    source = tmp_path / "big.txt"
    source.write_bytes(b"who wrote hamlet ?\n" * 100_000)
    script = (
        "import sys; from spikewatch.daemon.producer import put\n"
        "print(flush=True)\n"
        "put(sys.argv[1], sys.argv[2])"
    )
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(spool), str(source)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))  # the random moment is what is tested
            process.kill()
        for name in content(spool / "in"):
            path = spool / "in" / name
            assert (name, path.stat().st_size) == ("big.txt", source.stat().st_size)
            path.unlink()
