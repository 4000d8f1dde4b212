"""Compare `spikewatchd batch` on worker processes with the plain classifier, over the same corpus.

The workers are started and have loaded the model before the clock starts; the last line shows the time with start-up.
The plain classifier has the texts in memory and writes nothing.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dask

from benchmarks.daemon import PROGRAM, questions
from benchmarks.tables import print_table
from spikewatch.daemon.batch import BatchSettings
from spikewatch.daemon.batch.cluster import QUIET
from spikewatch.daemon.batch.run import run
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = 12  # repetitions of the questions
ROUNDS = 3
PART_MIB = 0.5
LAYOUTS = {"1 worker": (1, 1), "2 workers": (2, 1), "1 worker of 2 threads": (1, 2)}


class Taken(NamedTuple):
    """Wall-clock seconds, CPU seconds and answered questions of a run."""

    seconds: float
    cpu_s: float
    questions: int


@contextmanager
def cluster(processes: int, threads: int) -> Iterator[str]:
    """Start workers; yield the address of their scheduler."""
    dask.config.set(QUIET)
    from distributed import LocalCluster  # noqa: PLC0415 - reads the settings above

    with LocalCluster(
        n_workers=processes, threads_per_worker=threads, dashboard_address="127.0.0.1:0"
    ) as started:
        yield started.scheduler_address


def cpu_s(address: str) -> float:
    """Return the CPU seconds of the workers plus those of this process, which runs the scheduler."""
    from distributed import Client  # noqa: PLC0415 - reads the settings that `cluster` sets

    with Client(address) as client:
        return sum(client.run(time.process_time).values()) + time.process_time()


def batch(address: str, file: Path, out: Path, *, force: bool) -> Taken:
    """Answer a file by a batch on the workers."""
    settings = BatchSettings(
        inputs=[str(file)], out=str(out), scheduler=address, part_mib=PART_MIB, force=force
    )
    used, begin = cpu_s(address), time.perf_counter()
    outcome = run(settings, lambda _: None)
    seconds = time.perf_counter() - begin
    return Taken(seconds, cpu_s(address) - used, outcome.questions_ok)


def plain(texts: list[str]) -> Taken:
    """Answer the texts with the plain classifier in this process, on one thread."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    classifier = Classifier.from_files(Registry(bundled()).load("trec:production").files)
    classifier.classify(texts[:512])
    begin, used = time.perf_counter(), time.process_time()
    for i in range(0, len(texts), 512):
        classifier.classify(texts[i : i + 512])
    return Taken(time.perf_counter() - begin, time.process_time() - used, len(texts))


def main() -> None:
    """Print the tables."""
    source, once = questions()
    texts = once * TIMES
    ways: dict[str, list[Taken]] = {"plain classifier, one thread": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "few.txt").write_text("\n".join(once[:100]) + "\n")
        file = folder / "corpus.txt"
        file.write_text("\n".join(texts) + "\n")
        for i in range(ROUNDS):
            ways["plain classifier, one thread"].append(plain(texts))
            for layout, (processes, threads) in LAYOUTS.items():
                with cluster(processes, threads) as address:
                    batch(address, folder / "few.txt", folder / f"warm {layout} {i}", force=True)
                    taken = batch(address, file, folder / layout, force=True)
                    assert taken.questions == len(texts)
                    ways.setdefault(f"batch, {layout}", []).append(taken)
                    if layout == "2 workers":
                        again = batch(address, file, folder / layout, force=False)
                        ways.setdefault("the same again: nothing to do", []).append(again)
        command = [PROGRAM, "batch", folder / "few.txt", "--out", folder / "out", "--workers", "2"]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        alone = time.perf_counter() - begin
    base, base_cpu, _ = map(min, zip(*ways["plain classifier, one thread"], strict=True))
    rows = []
    for way, taken_by in ways.items():
        seconds, cpu, _ = map(min, zip(*taken_by, strict=True))
        rows.append(
            [
                way,
                f"{seconds:.2f}",
                f"{len(texts) / seconds:,.0f}",
                f"{base / seconds:.2f}",
                f"{cpu:.2f}",
                f"{cpu / base_cpu:.2f}",
            ]
        )
    head = ["way", "seconds, best", "questions/s", "x plain", "CPU s, best", "x plain's CPU"]
    print_table(
        f"{len(texts):,} questions in one file ({source}), parts of {PART_MIB} MiB", head, rows
    )
    print(
        f"\nThe program over 100 questions, from start to end with 2 workers of its own: {alone:.1f} s."
    )


if __name__ == "__main__":
    main()
