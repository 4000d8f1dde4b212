"""A corpus through `spikewatchd batch` on worker processes, against the plain classifier over the same texts.

The workers are there before the clock starts, and have loaded the model; a batch of its own starts them, which the last
table shows.  Plain: the texts lie in memory, and nothing is written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.end_to_end import PROGRAM, questions
from benchmarks.tables import show
from spikewatch.daemon.batch import BatchSettings
from spikewatch.daemon.batch.cluster import QUIET
from spikewatch.daemon.batch.run import run
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = 12  # the questions, so often
ROUNDS = 2
PART_MIB = 0.5
LAYOUTS = {"1 worker": (1, 1), "2 workers": (2, 1), "1 worker of 2 threads": (1, 2)}


@contextmanager
def cluster(processes: int, threads: int) -> Iterator[str]:
    """Start workers; give the address of their scheduler."""
    import dask  # noqa: PLC0415 - settings before the import of distributed

    dask.config.set(QUIET)
    from distributed import LocalCluster  # noqa: PLC0415 - likewise

    with LocalCluster(
        n_workers=processes, threads_per_worker=threads, dashboard_address=None
    ) as started:
        yield started.scheduler_address


def batch(address: str, file: Path, out: Path, *, force: bool) -> tuple[float, int]:
    """Run a batch; seconds, and questions that were answered."""
    settings = BatchSettings(
        inputs=[str(file)], out=str(out), scheduler=address, part_mib=PART_MIB, force=force
    )
    begin = time.perf_counter()
    outcome = run(settings, lambda _: None)
    return time.perf_counter() - begin, outcome.questions_ok


def plain(texts: list[str]) -> float:
    """Answer the texts in this process, on one thread; seconds."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    classifier = Classifier.from_files(Registry(bundled()).load("trec:production").files)
    classifier.classify(texts[:512])
    begin = time.perf_counter()
    for i in range(0, len(texts), 512):
        classifier.classify(texts[i : i + 512])
    return time.perf_counter() - begin


def main() -> None:
    """Print the tables."""
    source, once = questions()
    texts = once * TIMES
    seconds: dict[str, list[float]] = {"plain classifier, one thread": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "few.txt").write_text("\n".join(once[:100]) + "\n")
        file = folder / "corpus.txt"
        file.write_text("\n".join(texts) + "\n")
        for i in range(ROUNDS):
            seconds["plain classifier, one thread"].append(plain(texts))
            for layout, (processes, threads) in LAYOUTS.items():
                with cluster(processes, threads) as address:
                    batch(address, folder / "few.txt", folder / f"warm {layout} {i}", force=True)
                    took, answered = batch(address, file, folder / layout, force=True)
                    assert answered == len(texts)
                    seconds.setdefault(f"batch, {layout}", []).append(took)
                    if layout == "2 workers":
                        again = batch(address, file, folder / layout, force=False)[0]
                        seconds.setdefault("the same again: nothing to do", []).append(again)
        command = [PROGRAM, "batch", folder / "few.txt", "--out", folder / "out", "--workers", "2"]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        alone = time.perf_counter() - begin
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import distributed"], check=True)
        imported = time.perf_counter() - begin
    base = min(seconds["plain classifier, one thread"])
    rows = [
        [
            way,
            f"{min(v):.2f}",
            f"{max(v):.2f}",
            f"{len(texts) / min(v):,.0f}",
            f"{base / min(v):.2f}",
        ]
        for way, v in seconds.items()
    ]
    head = ["way", "seconds, best", "worst", "questions/s, best", "x plain"]
    show(f"{len(texts):,} questions in one file ({source}), parts of {PART_MIB} MiB", head, rows)
    print(
        f"\nThe program over 100 questions, from start to end with 2 workers of its own: {alone:.1f} s;"
    )
    print(f"`import distributed` alone takes {imported:.1f} s of each of its 3 processes.")


if __name__ == "__main__":
    main()
