"""Compare the bundled model's lookup with the tokenizers library: the time from text to word ids."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.daemon import questions
from benchmarks.tables import print_table
from spikewatch.registry import Registry, bundled
from spikewatch.simcore.text.splitting import LibrarySplitter, read_splitter, read_tokenizer

if TYPE_CHECKING:
    from spikewatch.simcore.text.splitting import Splitter

ROUNDS = 15
BATCHES = (1, 64, 5000)


def microseconds(splitter: Splitter, texts: list[str], size: int) -> float:
    """Return the time of one pass in batches, in microseconds per text."""
    begin = time.perf_counter()
    for i in range(0, len(texts), size):
        splitter.split(texts[i : i + size])
    return (time.perf_counter() - begin) / len(texts) * 1e6


def main() -> None:
    """Print the table."""
    source, texts = questions()
    files = Registry(bundled()).load("trec:production").files
    ways: dict[str, Splitter] = {
        "tokenizers library": LibrarySplitter(read_tokenizer(files["tokenizer.json"])),
        "lookup": read_splitter(files),
    }
    found = [way.split(texts) for way in ways.values()]
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    rows = []
    for size in BATCHES:
        some = texts[:1000] if size == 1 else texts
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, splitter in ways.items():
                taken[name].append(microseconds(splitter, some, size))
        library = statistics.median(taken["tokenizers library"])
        for name, values in taken.items():
            median = statistics.median(values)
            ratio = f"{library / median:.1f}"
            rows.append([f"{size:,}", name, f"{median:.2f}", f"{min(values):.2f}", ratio])
    print_table(
        f"Splitting {len(texts):,} questions ({source}) into words, one thread",
        ["batch", "way", "us each, median", "best", "x library"],
        rows,
    )
