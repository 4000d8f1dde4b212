"""Compare heads on the core with heads on the host, for networks that suit both equally and for others.

The networks are trained and exported like those of `convert`, on TREC's questions, and published with the defaults.
Trained networks are kept in the folder SPIKEWATCH_BENCH_CACHE, by default a new temporary one.

`python -m benchmarks.readout development` does the same with other sentences; settings are chosen only on these.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.convert import SHARED
from benchmarks.foreign import Recipe, trained
from benchmarks.sentences import trec
from benchmarks.tables import print_table
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source
from spikewatch.convert.words.question_files import read_questions
from spikewatch.simcore import Classifier

RECIPES: Final = [
    Recipe(activation="relu", readout="last", width=64, hidden=40),
    Recipe(activation="tanh", readout="mean", width=64, hidden=40),
]
LARGEST: Final = [
    Recipe(activation="relu", readout="max", width=64, hidden=40),
    Recipe(activation="tanh", readout="max", width=24, hidden=16),
]
BOTH: Final = [
    Recipe(activation="tanh", readout="last", width=24, hidden=16, both=True),
    Recipe(activation="tanh", readout="last", width=64, hidden=40, both=True),
]
HEADS: Final = ("core", "host")
_REPEATS: Final = 7

if TYPE_CHECKING:
    from benchmarks.sentences import Corpus


def measure(folder: Path, head: str, recipe: str | None = None) -> list[str]:
    """Convert the network of a folder as `publish` does; return the figures as table cells."""
    source = Source(
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        calibrate=folder / "calibrate.txt",
        evaluate=folder / "held_out.tsv",
    )
    begin = time.process_time()
    made = convert(source, title="benchmark", recipe=recipe, readout=head)
    minutes = (time.process_time() - begin) / 60
    found = made.evaluation
    floats, core = (found["stages"][stage]["accuracy"] for stage in ("float", "spiking"))
    question = found["per_question"]
    return [
        head,
        str(question["cores"]),
        f"{found['network']['input_lines']}/{found['network']['hidden_units']}",
        f"{floats:.1%}",
        f"{core:.1%}",
        f"{found['stages']['spiking']['agreement']:.1%}",
        f"{100 * (floats - core):+.1f}",
        f"{minutes:.1f}",
        f"{question['ticks']:.0f}",
        f"{question['synaptic_events']:,.0f}",
        f"{question['energy_uj']['static_marginal']:.2f}",
        f"{_speed(made.files, folder / 'held_out.tsv'):,.0f}",
    ]


def _speed(files: dict[str, bytes], data: Path) -> float:
    """Answer the held-out questions in one batch on one thread; return the median of questions per second."""
    classifier = Classifier.from_files(files)
    ids = classifier.word_ids([q.text for q in read_questions(data, labelled=True)])
    times = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        classifier.answer_ids(ids)
        times.append(time.perf_counter() - begin)
    return len(ids) / float(np.median(times))


HEAD: Final = [
    "network",
    "head on",
    "cores",
    "lines/units",
    "float",
    "spiking",
    "agreement",
    "lost",
    "min",
    "ticks a question",
    "synaptic events",
    "energy, uJ",
    "questions/s",
]


def table(title: str, corpus: Corpus, recipes: list[Recipe], cache: Path) -> None:
    """Print a table of networks, each with the head on the core and on the host."""
    rows = []
    for recipe in recipes:
        folder = trained(corpus, recipe, cache)
        for head in HEADS:
            rows.append([str(recipe), *measure(folder, head)])
            print("#", *rows[-1], flush=True)
    print_table(f"{title}, TREC, {len(corpus.held_out):,} held-out questions", HEAD, rows)


def main(*, development: bool = False) -> None:
    """Print the tables."""
    if not SHARED.exists():
        print("\nreadout: ../shared is absent, so there are no questions")
        return
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(os.environ.get("SPIKEWATCH_BENCH_CACHE", temporary))
        corpus = trec(SHARED, development=development)
        table("Head on the core and on the host", corpus, RECIPES, cache)
        table("Largest states", corpus, LARGEST, cache)
        table("Both directions", corpus, BOTH, cache)


if __name__ == "__main__":
    main(development=sys.argv[1:] == ["development"])
