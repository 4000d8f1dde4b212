"""Questions per second of the bundled model: the simulated core, spike for spike, against onnxruntime in float.

Both get the same word ids of the same questions and answer them on one thread; tokenising is left out on both sides.
onnxruntime runs its best batch of those tried, padded and with lengths, as the model was exported.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.end_to_end import questions
from benchmarks.tables import show
from spikewatch.convert.read import read_model_bytes
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spikewatch.convert.read import FloatModel

ROUNDS = 5
BATCHES = (1, 16, 64, 256, 1024)
SINGLE = 1000  # questions of the runs of batch 1


def batched(
    model: FloatModel, ids: list[NDArray[np.int64]], size: int
) -> list[dict[str, NDArray[np.int64]]]:
    """Pad batches beforehand: only the network is measured. Sorted by length, as a good server would."""
    order = sorted(ids, key=len) if size > 1 else ids
    feeds = []
    for i in range(0, len(order), size):
        piece = order[i : i + size]
        feeds.append(model.layout.feed(piece))
    return feeds


def speed(run: Callable[[], object], count: int) -> float:
    """Answers per second of one call."""
    begin = time.perf_counter()
    run()
    return count / (time.perf_counter() - begin)


def main() -> None:
    """Print the table."""
    files = Registry(bundled()).load("trec:production").files
    classifier = Classifier.from_files(files)
    _, model = read_model_bytes(files["model.onnx"], what="model.onnx")
    source, texts = questions()
    ids = [np.array(q, dtype=np.int64) for q in classifier.word_ids(texts)]
    ways: dict[str, tuple[Callable[[], object], int]] = {}
    for size in BATCHES:
        some = ids[:SINGLE] if size == 1 else ids
        feeds = batched(model, some, size)
        ways[f"onnxruntime, batch {size}"] = (
            lambda f=feeds: [model.session.run(None, feed) for feed in f],
            len(some),
        )
    one = [[q] for q in ids[:SINGLE]]
    ways["core, batch 1"] = (lambda: [classifier.answer_ids(q) for q in one], SINGLE)
    ways["core, all at once"] = (lambda: classifier.answer_ids(ids), len(ids))
    ways["core, all at once, 2 threads"] = (lambda: classifier.answer_ids(ids, threads=2), len(ids))
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, (run, count) in ways.items():
            speeds[way].append(speed(run, count))
    best = max(statistics.median(v) for k, v in speeds.items() if k.startswith("onnxruntime"))
    rows = [
        [
            way,
            f"{statistics.median(v):,.0f}",
            f"{max(v):,.0f}",
            f"{statistics.median(v) / best:.2f}",
        ]
        for way, v in speeds.items()
    ]
    head = ["way", "questions/s, median", "best", "x onnxruntime's best"]
    show(f"{len(ids):,} questions ({source}), one thread unless stated", head, rows)
