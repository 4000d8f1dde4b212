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
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from daemon_support import MODEL, ask, bench, check_log, check_oracle, content, spool_of, until

from spikewatch.daemon.put import put
from spikewatch.daemon.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 60
FILES_A_LIFE = 6


class Nursery:
    """Starts daemons on one spool, by `daemon_nursery.py`."""

    def __init__(self, process: subprocess.Popen[str], job: dict[str, Any]) -> None:
        self._process = process
        self._job = job

    def start(self, *, once: bool = False) -> int:
        self._pipe(self._process.stdin).write(json.dumps({**self._job, "once": once}) + "\n")
        self._pipe(self._process.stdin).flush()
        return int(self._pipe(self._process.stdout).readline())

    def wait_until_ready(self, pid: int) -> None:
        def ready() -> bool:
            _, start, rest = Path(self._job["log"]).read_text().rpartition(f'"pid":{pid},')
            return bool(start) and '"event":"daemon.ready"' in rest

        until(ready, "daemon.ready")

    def exit_code(self) -> int:
        return int(self._pipe(self._process.stdout).readline())

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.fixture
def nursery(spool: Path, registry: Path, tmp_path: Path) -> Iterator[Nursery]:
    job = {
        "spool": str(spool),
        "registry": str(registry),
        "model": MODEL,
        "log": str(tmp_path / "log"),
    }
    script = Path(__file__).with_name("daemon_nursery.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process, job)
        process.kill()


def make_input(rng: random.Random, number: int) -> tuple[str, bytes]:
    """Make up an input; most are small, some take several batches."""
    questions = [ask(rng) for _ in range(rng.choice([1, 1, 1, 3, 10, 200]))]
    match rng.choice([".txt", ".jsonl", ".csv"]):
        case ".txt":
            return f"{number}.txt", "\n".join(questions).encode()
        case ".csv":
            return f"{number}.csv", "\n".join(["text", *questions]).encode()
        case _:
            lines = [json.dumps({"id": f"q{i}", "text": q}) for i, q in enumerate(questions)]
            return f"{number}.jsonl", "\n".join([*lines, "{broken"]).encode()


def test_kills_at_random_moments_lose_and_double_nothing(
    spool: Path, registry: Path, nursery: Nursery, tmp_path: Path
) -> None:
    rng = random.Random(20)
    dropped: dict[str, bytes] = {}

    def drop(count: int) -> None:
        for i in range(count):
            name, data = make_input(rng, len(dropped))
            source = tmp_path / name
            source.write_bytes(data)
            if i == 0:
                with Spool.make(spool) as producer:
                    put(producer, source)
            else:
                source.rename(spool / "in" / name)
            dropped[name] = data

    for life in range(KILLS):
        drop(FILES_A_LIFE // 2)
        pid = nursery.start()
        drop(FILES_A_LIFE // 2)
        if life % 3:  # the others may die while they start
            nursery.wait_until_ready(pid)
        time.sleep(rng.uniform(0, 0.1))  # the moment is what is tested, nothing waits for it
        os.kill(pid, signal.SIGKILL)
        assert nursery.exit_code() == -signal.SIGKILL
    nursery.start(once=True)
    assert nursery.exit_code() == 0

    clean = spool_of(tmp_path / "clean")
    with bench(clean, registry) as hand:
        for name, data in dropped.items():
            hand.drop(name, data)
        hand.run()
        assert {e["file"] for e in hand.events("request.done")} == set(dropped)
    expected = {name: (clean / "out" / f"{name}.jsonl").read_bytes() for name in dropped}
    check_oracle(spool, dropped, expected)
    check_log(tmp_path / "log")
    events = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    recovered = Counter(e["state"] for e in events if e["event"] == "request.recovered")
    assert recovered["claimed"] > 0, "no kill ever hit work in hand"


def test_put_that_is_killed_leaves_the_whole_file_or_nothing(spool: Path, tmp_path: Path) -> None:
    rng = random.Random(21)
    source = tmp_path / "big.txt"
    source.write_bytes(b"who wrote hamlet ?\n" * 100_000)
    script = (
        "import sys; from pathlib import Path; from spikewatch.daemon.put import put;"
        "from spikewatch.daemon.spool import Spool\n"
        "print(flush=True)\n"
        "with Spool.make(Path(sys.argv[1])) as spool: put(spool, Path(sys.argv[2]))"
    )
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(spool), str(source)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))  # the moment is what is tested
            process.kill()
        for name in content(spool / "in"):
            path = spool / "in" / name
            assert (name, path.stat().st_size) == ("big.txt", source.stat().st_size)
            path.unlink()
