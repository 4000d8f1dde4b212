"""Measure what more cores bring to students: agreement with the teacher, ticks and energy on 1, 2 and 4 cores.

Teachers and sentences are those of `benchmarks/students.py`, of TREC.  `python -m benchmarks.cores lstm` measures this
kind only; SPIKEWATCH_BENCH_SEED is the seed of teachers and students, SPIKEWATCH_BENCH_MORE=1 adds the teachers'
training sentences, without labels.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.convert import SHARED
from benchmarks.sentences import trec
from benchmarks.tables import print_table
from benchmarks.teachers import train
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source

KINDS: Final = ("lstm", "elman-128")

CORES: Final = (1, 2, 4)


def measure(folder: Path, cores: int, *, more: bool, seed: int) -> list[str]:
    """Publish a teacher's file on so many cores; return the figures of the held-out sentences as a row of the table."""
    begin = sum(os.times()[:4])  # with the processes that answer for the teacher
    source = Source(
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        calibrate=folder / "calibrate.txt",
        evaluate=folder / "held_out.tsv",
        more=(folder / "more.txt",) if more else (),
    )
    found: dict[str, Any] = convert(
        source, title="benchmark", seed=seed, student=True, cores=cores
    ).evaluation
    stages, mean = found["stages"], found["per_question"]
    return [
        str(cores),
        str(found["network"]["hidden_units"]),
        f"{stages['teacher']['accuracy']:.1%}",
        f"{stages['spiking']['accuracy']:.1%}",
        f"{stages['spiking']['agreement']:.1%}",
        f"{mean['ticks']:.0f}",
        *[f"{uj:.2f}" for uj in mean["energy_uj"].values()],
        f"{(sum(os.times()[:4]) - begin) / 60:.1f}",
    ]


def main(*kinds: str) -> None:
    """Print each result as soon as it is there, and then the table."""
    if not SHARED.exists():
        print(f"{SHARED} is missing, which has TREC's questions.")
        return
    corpus = trec(SHARED)
    more = os.environ.get("SPIKEWATCH_BENCH_MORE") == "1"
    seed = int(os.environ.get("SPIKEWATCH_BENCH_SEED", "0"))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for kind in kinds or KINDS:
            folder = Path(name) / kind
            train(kind, corpus, folder, seed)
            for cores in CORES:
                row = [kind, *measure(folder, cores, more=more, seed=seed)]
                print("#", *row, flush=True)
                rows.append(row)
    sentences = len(corpus.calibrate) + (len(corpus.train) if more else 0)
    print_table(
        f"Students on several cores, TREC, {sentences:,} sentences, {len(corpus.held_out):,} held out",
        [
            *("teacher", "cores", "units", "teacher right", "spiking", "agreement", "ticks"),
            *("uJ, paper", "uJ, static_marginal", "min"),
        ],
        rows,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
