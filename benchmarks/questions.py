"""Compare questions per second of the simulated core, spike for spike, with those of the float model in onnxruntime.

Both get the same word ids of the same questions and answer them on one thread; tokenising and batching are not
measured.  onnxruntime runs padded batches with lengths, in the form that the model was exported in, and counts with its
best batch size.  The variants take turns, so that other load on the machine affects all of them; memory is measured in
a separate process for each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.daemon import questions
from benchmarks.memory import peak_kib
from benchmarks.tables import print_table
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier
from spikewatch.simcore.chip._dispatch import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spikewatch.convert.read import FloatModel

ROUNDS = 7
BATCHES = (1, 16, 64, 256, 1024)
SINGLE = 1000  # questions of the runs of batch 1

Flat = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


def flat(ids: list[NDArray[np.int64]]) -> Flat:
    """Return questions in the core's layout: all word ids in one array, and the start of each question."""
    return np.concatenate(ids), np.concatenate([[0], np.cumsum([len(q) for q in ids])])


def batched(
    model: FloatModel, ids: list[NDArray[np.int64]], size: int
) -> tuple[list[dict[str, NDArray[np.int64]]], NDArray[np.int64]]:
    """Return padded batches, sorted by length as a good server would, and the order of the questions in them."""
    order = np.argsort([len(q) for q in ids], kind="stable") if size > 1 else np.arange(len(ids))
    feeds = []
    for i in range(0, len(order), size):
        piece = [ids[k] for k in order[i : i + size]]
        feeds.append(model.layout.feed(piece))
    return feeds, order


def onnxruntime_way(ids: list[NDArray[np.int64]], size: int) -> Callable[[], NDArray[np.int64]]:
    """Return a function that runs onnxruntime and returns the labels in the order of the questions."""
    from spikewatch.convert.read import read_model_bytes  # noqa: PLC0415 - must not count in the core's memory
    from spikewatch.convert.read.session import start_session  # noqa: PLC0415 - with the one before

    files = Registry(bundled()).load("trec:production").files
    _, model = read_model_bytes(files["model.onnx"], what="model.onnx")
    session = start_session(model.session.data)  # here, because pipes to a child would count
    feeds, order = batched(model, ids, size)
    back = np.argsort(order)

    def run() -> NDArray[np.int64]:
        return np.concatenate([session.run(None, f)[0].argmax(axis=-1) for f in feeds])[back]

    return run


def core_way(
    ids: list[NDArray[np.int64]], kernel: str, *, single: bool = False, threads: int = 1
) -> Callable[[], NDArray[np.int64]]:
    """Return a function that runs the core and returns the labels."""
    files = Registry(bundled()).load("trec:production").files
    classifier = Classifier.from_files(files, kernel_name=kernel)
    batches = [flat([q]) for q in ids] if single else [flat(ids)]

    def run() -> NDArray[np.int64]:
        return np.concatenate(
            [classifier.answer_flat(*b, threads=threads).label for b in batches]
        ).astype(np.int64)

    return run


def ways(ids: list[NDArray[np.int64]]) -> dict[str, Callable[[], Callable[[], NDArray[np.int64]]]]:
    """Return the variants by name, each as a function that prepares its run."""
    found: dict[str, Callable[[], Callable[[], NDArray[np.int64]]]] = {}
    for size in BATCHES:
        some = ids[:SINGLE] if size == 1 else ids
        found[f"onnxruntime, batch {size}"] = lambda i=some, s=size: onnxruntime_way(i, s)
    best = kernels()[0]
    found[f"core ({best}), batch 1"] = lambda: core_way(ids[:SINGLE], best, single=True)
    for kernel in kernels():
        found[f"core ({kernel}), all at once"] = lambda k=kernel: core_way(ids, k)
    found[f"core ({best}), all at once, 2 threads"] = lambda: core_way(ids, best, threads=2)
    return found


def memory_of(way: str) -> str:
    """Run one variant in a new process; return its peak memory in MiB."""
    command = [sys.executable, "-m", "benchmarks.questions", way]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Print the table."""
    source, ids = word_ids()
    runs = {way: prepare() for way, prepare in ways(ids).items()}
    labels = {way: run() for way, run in runs.items()}
    speeds: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(ROUNDS):
        for way, run in runs.items():
            begin = time.perf_counter()
            run()
            speeds[way].append(len(labels[way]) / (time.perf_counter() - begin))
    best = max(statistics.median(v) for k, v in speeds.items() if k.startswith("onnxruntime"))
    truth = labels[f"onnxruntime, batch {BATCHES[-1]}"]
    rows = []
    for way, v in speeds.items():
        same = (labels[way] == truth[: len(labels[way])]).mean()
        median = statistics.median(v)
        rows.append(
            [
                way,
                f"{median:,.0f}",
                f"{max(v):,.0f}",
                f"{median / best:.2f}",
                f"{same:.1%}",
                memory_of(way),
            ]
        )
    head = [
        "way",
        "questions/s, median",
        "best",
        "x onnxruntime's best",
        "same answer as float",
        "peak MiB",
    ]
    print_table(f"{len(ids):,} questions ({source}), one thread unless stated", head, rows)
    spiking = [labels[way] for way in labels if way.startswith("core") and "all" in way]
    assert all((answers == spiking[0]).all() for answers in spiking)


def word_ids() -> tuple[str, list[NDArray[np.int64]]]:
    """Return the name of the source, and the word ids of its questions."""
    source, texts = questions()
    classifier = Classifier.from_files(Registry(bundled()).load("trec:production").files)
    return source, [np.array(q, dtype=np.int64) for q in classifier.word_ids(texts)]


if __name__ == "__main__":
    ways(word_ids()[1])[sys.argv[1]]()()
    print(f"{peak_kib() / 1024:,.0f}")
