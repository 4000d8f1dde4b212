"""Converting networks that know nothing of spikewatch: accuracy of every stage on held-out sentences.

Sixteen float Elman networks (eight without ../shared: the generated sentences alone) are trained by plain PyTorch,
exported, and brought onto one core: in closed form, by distillation without labels, and with labels.  Calibration
sentences are neither trained on nor held out.  Trained networks are kept in the folder that SPIKEWATCH_BENCH_CACHE
names, by default a new temporary one.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from tokenizers import Tokenizer

from benchmarks.foreign import RECIPES, trained
from benchmarks.sentences import generated, trec
from benchmarks.tables import show
from spikewatch.convert.elman import ElmanNetwork
from spikewatch.convert.recipe import bring_to_core
from spikewatch.simcore import QuestionCore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.foreign import Recipe as Foreign
    from benchmarks.sentences import Corpus
    from spikewatch.convert.recipe import Finished, Recipe

SHARED: Final = Path(__file__).parents[2] / "shared" / "trec" / "train_5500.label"
WAYS: Final[tuple[Recipe, ...]] = ("closed-form", "distill", "labels")
ACTIVATIONS: Final = {"relu": "Relu", "tanh": "Tanh"}

Ids = list["NDArray[np.int64]"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """A float network with the sentences it is converted and counted on."""

    network: ElmanNetwork
    calibrate: Ids
    calibrate_labels: NDArray[np.int64]
    held_out: Ids
    held_out_labels: NDArray[np.int64]


def load(corpus: Corpus, foreign: Foreign, cache: Path) -> Case:
    """Train a network or take it from the cache, and split its sentences into word ids."""
    folder = trained(corpus, foreign, cache)
    words = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def split(part: list[tuple[str, str]]) -> tuple[Ids, NDArray[np.int64]]:
        ids = [np.array(e.ids, dtype=np.int64) for e in words.encode_batch([t for _, t in part])]
        labels = np.array([corpus.labels.index(label) for label, _ in part])
        spoken = [i for i, question in enumerate(ids) if len(question)]
        return [ids[i] for i in spoken], labels[spoken]

    calibrate, held_out = split(corpus.calibrate), split(corpus.held_out)
    return Case(
        network=network(folder, foreign),
        calibrate=calibrate[0],
        calibrate_labels=calibrate[1],
        held_out=held_out[0],
        held_out_labels=held_out[1],
    )


def network(folder: Path, foreign: Foreign) -> ElmanNetwork:
    """Take the network from PyTorch's own state."""
    state = {k: v.double().numpy() for k, v in torch.load(folder / "state.pt").items()}
    return ElmanNetwork(
        embedding=state["embedding.weight"],
        rows=np.arange(len(state["embedding.weight"]), dtype=np.int32),
        W=state["rnn.weight_ih_l0"],
        U=state["rnn.weight_hh_l0"],
        b=state["rnn.bias_ih_l0"] + state["rnn.bias_hh_l0"],
        activation=ACTIVATIONS[foreign.activation],
        clip=float("inf"),
        direction="forward",
        C=state["head.weight"],
        c=state["head.bias"],
        readout=foreign.readout,
    )


def answers(finished: Finished, questions: Ids) -> NDArray[np.int32]:
    """Answer questions on the simulated core."""
    core = QuestionCore(finished.matched.image, finished.placed.encoder())
    return core.answer(questions).label


def measure(case: Case, ways: tuple[Recipe, ...] = WAYS) -> tuple[list[str], dict[str, float]]:
    """Convert in every way; return the row, and the points lost in each way."""
    right = case.held_out_labels
    floats = case.network.logits(case.held_out).argmax(axis=1)
    accuracy = float((floats == right).mean())
    row, lost = [f"{accuracy:.1%}"], {}
    for way in ways:
        begin = time.process_time()
        finished = bring_to_core(case.network, case.calibrate, way, truth=case.calibrate_labels)
        minutes = (time.process_time() - begin) / 60
        found = answers(finished, case.held_out)
        core = float((found == right).mean())
        lost[way] = 100 * (accuracy - core)
        if way == "closed-form":
            integer = finished.constrained.core.logits(case.held_out).argmax(axis=1)
            row.append(f"{(integer == right).mean():.1%}")
        row += [
            f"{core:.1%}",
            f"{(found == floats).mean():.1%}",
            f"{lost[way]:+.1f}",
            f"{minutes:.1f}",
        ]
    return row, lost


def main() -> None:
    """Print the table."""
    kept = os.environ.get("SPIKEWATCH_BENCH_CACHE")
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(kept or temporary)
        corpora = [generated(), *([trec(SHARED)] if SHARED.exists() else [])]
        rows, losses = [], []
        for corpus in corpora:
            for foreign in RECIPES:
                row, lost = measure(load(corpus, foreign, cache))
                rows.append([corpus.name, str(foreign), *row])
                losses.append(lost)
                print("#", *rows[-1], flush=True)
    head = ["sentences", "network", "float", "closed form: integer"]
    for way in WAYS:
        head += [f"{way}: core", "agreement", "lost", "min"]
    worst = [f"{max(lost[way] for lost in losses):+.1f}" for way in WAYS]
    rows.append(["worst", "", "", "", *[c for w in worst for c in ("", "", w, "")]])
    show("Foreign networks, 1,000 held-out sentences each", head, rows)
