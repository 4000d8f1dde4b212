"""Compare this checkout with another one, e.g. the previous build: `python -m benchmarks.against OTHER_CHECKOUT`.

Both need their .venv (`make demo` creates it).  Every round measures both, in alternating order, because the machine's
speed drifts; the table has medians, and the median of the ratios of all rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import daemon
from benchmarks.tables import machine, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES: Final = 10_000
QUESTIONS: Final = 500_000
DROPS: Final = 200
TEXTS: Final = 100_000
BATCH: Final = 2048

CLASSIFY: Final = """
import json, sys, time
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier
texts, batch = json.load(sys.stdin)
classifier = Classifier.from_files(Registry(bundled()).load("trec:production").files)
classifier.classify(texts[:batch])
begin = time.perf_counter()
for first in range(0, len(texts), batch):
    classifier.classify(texts[first : first + batch])
print(len(texts) / (time.perf_counter() - begin))
"""
"""Prints questions per second; runs in the interpreter of either checkout."""


def figures(checkout: Path) -> Iterator[tuple[str, float]]:
    """Measure a checkout once: names and figures."""
    daemon.PROGRAM = checkout / ".venv" / "bin" / "spikewatchd"
    yield from kernels(checkout)
    yield "classifier, questions/s", classify(checkout)
    _, texts = daemon.questions(QUESTIONS)
    yield from small(texts)
    yield "one large file, questions/s", large(texts)
    yield from idle(texts)


def kernels(checkout: Path) -> Iterator[tuple[str, float]]:
    """Measure the kernels on one thread, in millions of ticks per second."""
    for name, network in (("a dense core", []), ("trec:production", ["trec:production"])):
        command = ["spikewatch-sim", "bench", *network, "--threads", "1", "--json"]
        for found in json.loads(run(checkout, *command))["measured"]:
            what = "derived-network" if found["runs"] > 1 else "chip"
            yield f"{name}, {what} kernel, {found['kernel']}, Mticks/s", found["ticks_per_s"] / 1e6


def classify(checkout: Path) -> float:
    """Measure the classifier in batches, on one thread, in questions per second."""
    _, texts = daemon.questions(TEXTS)
    return float(run(checkout, "python", "-c", CLASSIFY, given=json.dumps([texts, BATCH])))


def small(texts: list[str]) -> Iterator[tuple[str, float]]:
    """Measure files of one question that are all present at the start, strict."""
    spool = daemon.Spool()
    spool.fill(range(FILES), texts)
    with daemon.Daemon(spool.path) as running:
        running.wait_for(FILES)
        yield f"{FILES:,} files, files/s", FILES / running.busy_s()
        yield "CPU a file, us", running.cpu_s / FILES * 1e6
        yield "peak memory, MB", running.peak_mb


def large(texts: list[str]) -> float:
    """Measure one large file, strict, in questions per second from claim to commit."""
    spool = daemon.Spool()
    (spool.path / "in" / "large.txt").write_text("\n".join(texts) + "\n")
    os.sync()
    with daemon.Daemon(spool.path) as running:
        running.wait_for(1)
        ms = running.events("request.done")[0]["latency_ms"]
    return len(texts) / ((ms["total"] - ms["wait"]) * 1e-3)


def idle(texts: list[str]) -> Iterator[tuple[str, float]]:
    """Measure a start, and single files dropped into an idle daemon."""
    spool = daemon.Spool()
    with daemon.Daemon(spool.path) as running:
        yield "start to ready, s", running.ready_s
        seen_ms = [daemon.drop_ms(spool.path, i, texts[i]) for i in range(DROPS)]
        yield "resident, MB", running.resident_mb
    middle, tail = daemon.tails(seen_ms)
    yield "drop to result, ms, p50", middle
    yield "drop to result, ms, p99", tail


def run(checkout: Path, program: str, *arguments: str, given: str = "") -> str:
    """Run a program of a checkout's environment, outside the checkout; return what it prints."""
    command = [str(checkout / ".venv" / "bin" / program), *arguments]
    return subprocess.run(
        command, input=given, capture_output=True, text=True, check=True, cwd="/"
    ).stdout


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout, with its .venv")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    checkouts = {"this": Path(__file__).parents[1], "other": asked.other.absolute()}
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(asked.rounds):
        for side in list(checkouts)[:: -1 if turn % 2 else 1]:
            for name, figure in figures(checkouts[side]):
                found[name][side].append(figure)
    print(f"Measured on {machine()}.")
    print_table(
        f"This checkout and {asked.other.name}, {asked.rounds} rounds in alternating order",
        ["figure", "this", "other", "ratio, median", "least", "most"],
        [row(name, sides) for name, sides in found.items()],
    )
    return 0


def row(name: str, sides: dict[str, list[float]]) -> list[Any]:
    """Return one row of the table."""
    ratios = [a / b for a, b in zip(sides["this"], sides["other"], strict=True)]
    medians = [f"{statistics.median(sides[side]):,.4g}" for side in ("this", "other")]
    return [name, *medians, *(f"{f(ratios):.2f}" for f in (statistics.median, min, max))]


if __name__ == "__main__":
    sys.exit(main())
