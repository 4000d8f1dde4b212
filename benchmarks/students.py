"""Measure the points between networks of other kinds and the students that `publish` teaches by them.

Plain PyTorch trains and exports the teachers: LSTM, GRU, both directions, two layers, wide Elman networks, an MLP as
the head, attention, convolutions, a transformer's layer.  Their files are published as `spikewatch-convert publish`
does, with 1,500 calibration sentences, none of which they were trained on, and with their training sentences as well;
neither with labels.  All figures are of sentences that nobody was trained on.

`python -m benchmarks.students lstm gru` measures these kinds only; SPIKEWATCH_BENCH_SEED is the seed of the students.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from benchmarks.convert import SHARED
from benchmarks.foreign import tokenizer, write_data
from benchmarks.sentences import generated, trec
from benchmarks.tables import print_table
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source

if TYPE_CHECKING:
    from benchmarks.sentences import Corpus

KINDS: Final = (
    "lstm",
    "bilstm",
    "gru",
    "bigru",
    "two-layers",
    "elman-128",
    "elman-256",
    "mlp-head",
    "attention",
    "cnn",
    "transformer",
)

_EMBEDDING: Final = 64
_HIDDEN: Final = 128
_HEAD: Final = 64
_EPOCHS: Final = 12
_RATE: Final = 2e-3
_DROPOUT: Final = 0.4
_UNKNOWN: Final = 0.03
"""Share of the training words that become unknown, as rare words of new sentences are."""


class Teacher(nn.Module):
    """A text classifier as people train them."""

    def __init__(self, kind: str, words: int, classes: int) -> None:
        super().__init__()
        self.kind = kind
        self.embedding, self.drop = nn.Embedding(words, _EMBEDDING), nn.Dropout(_DROPOUT)
        options: dict[str, Any] = {"batch_first": True, "bidirectional": kind.startswith("bi")}
        width = _HIDDEN * (2 if kind.startswith("bi") else 1)
        if kind.endswith("lstm"):
            self.layer: nn.Module = nn.LSTM(_EMBEDDING, _HIDDEN, **options)
        elif kind.endswith("gru"):
            self.layer = nn.GRU(_EMBEDDING, _HIDDEN, **options)
        elif kind == "transformer":
            width = _EMBEDDING
            self.layer = nn.TransformerEncoderLayer(
                width, 4, _HIDDEN, batch_first=True, dropout=0.1
            )
            self.place = nn.Parameter(0.02 * torch.randn(_HIDDEN, width))
        elif kind == "cnn":
            width = 3 * _HEAD
            self.layer = nn.ModuleList(
                nn.Conv1d(_EMBEDDING, _HEAD, n, padding=n - 1) for n in (2, 3, 4)
            )
        else:
            width = 2 * _HIDDEN if kind == "elman-256" else _HIDDEN
            layers = 2 if kind == "two-layers" else 1
            self.layer = nn.RNN(_EMBEDDING, width, num_layers=layers, batch_first=True)
        self.weigh = nn.Linear(width, 1)
        self.head: nn.Module = nn.Linear(width, classes)
        if kind == "mlp-head":
            self.head = nn.Sequential(nn.Linear(width, _HEAD), nn.ReLU(), nn.Linear(_HEAD, classes))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of sentences of equal length, [batch, classes]."""
        x = self.drop(self.embedding(ids))
        if self.kind == "cnn":
            x = x.transpose(1, 2)
            read = torch.cat([torch.relu(c(x)).amax(2) for c in self.layer.children()], dim=1)
        elif self.kind == "transformer":
            read = self.layer(x + self.place[: ids.shape[1]]).mean(1)
        else:
            states, _ = self.layer(x)
            if self.kind == "attention":
                read = (states * torch.softmax(self.weigh(states), 1)).sum(1)
            elif self.kind.startswith("bi"):
                read = states.amax(1)
            else:
                read = states.mean(1) if self.kind.startswith("elman") else states[:, -1]
        logits: torch.Tensor = self.head(self.drop(read))
        return logits


def train(kind: str, corpus: Corpus, folder: Path) -> None:
    """Train a teacher, and write it with everything that publishing needs."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    words = tokenizer(corpus)
    encoded = [(words.encode(text).ids, corpus.labels.index(label)) for label, text in corpus.train]
    by_length: dict[int, list[int]] = {}
    for i, (ids, _) in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(i)
    net = Teacher(kind, words.get_vocab_size(), len(corpus.labels))
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    for _ in range(_EPOCHS):
        pieces = [
            piece
            for length, chosen in by_length.items()
            if length
            for piece in np.array_split(rng.permutation(chosen), -(-len(chosen) // 48))
        ]
        for k in rng.permutation(len(pieces)):
            table = torch.tensor([encoded[i][0] for i in pieces[k]])
            table = torch.where(torch.rand(table.shape) < _UNKNOWN, 0, table)
            labels = torch.tensor([encoded[i][1] for i in pieces[k]])
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(table), labels))
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
        schedule.step()
    write_data(corpus, words, folder)
    texts = "".join(f"{text}\n" for _, text in corpus.train)
    (folder / "more.txt").write_text(texts)
    _export(net.eval(), folder / "model.onnx")


def _export(net: Teacher, path: Path) -> None:
    free = {0: torch.export.Dim("batch", max=4096), 1: torch.export.Dim("time", max=_HIDDEN)}
    options: dict[str, Any] = {"dynamo": False, "dynamic_axes": {"ids": {0: "batch", 1: "time"}}}
    if net.kind == "transformer":  # the older exporter writes the traced length into its reshapes
        options = {"dynamo": True, "verbose": False, "dynamic_shapes": [free]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations and tracing
        example = torch.ones(2, 12, dtype=torch.int64)
        torch.onnx.export(net, (example,), str(path), input_names=["ids"], **options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a student and its teacher answer on the held-out sentences, 0..1, and its CPU minutes."""

    teacher: float
    core: float
    agreement: float
    minutes: float

    @property
    def lost(self) -> float:
        """Points lost from teacher to spiking."""
        return 100 * (self.teacher - self.core)


def measure(folder: Path, *, more: bool) -> Result:
    """Publish a teacher's file as `publish` does."""
    begin = sum(os.times()[:4])  # with the processes that answer for the teacher
    source = Source(
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        calibrate=folder / "calibrate.txt",
        evaluate=folder / "held_out.tsv",
        more=(folder / "more.txt",) if more else (),
    )
    seed = int(os.environ.get("SPIKEWATCH_BENCH_SEED", "0"))
    stages = convert(source, title="benchmark", seed=seed, student=True).evaluation["stages"]
    return Result(
        teacher=stages["teacher"]["accuracy"],
        core=stages["spiking"]["accuracy"],
        agreement=stages["spiking"]["agreement"],
        minutes=(sum(os.times()[:4]) - begin) / 60,
    )


def block(corpus: Corpus, kinds: list[str], folder: Path) -> None:
    """Print each result on one corpus as soon as it is there, and then their table."""
    rows, found = [], []
    for kind in kinds:
        train(kind, corpus, folder / f"{corpus.name}-{kind}")
        pair = [measure(folder / f"{corpus.name}-{kind}", more=more) for more in (False, True)]
        cells = [kind, f"{pair[0].teacher:.1%}"]
        for r in pair:
            cells += [f"{r.core:.1%}", f"{r.agreement:.1%}", f"{r.lost:+.1f}", f"{r.minutes:.1f}"]
        print("#", corpus.name, *cells, flush=True)
        rows.append(cells)
        found.append(pair)
    for name, summary in (("worst", max), ("mean", lambda lost: sum(lost) / len(lost))):
        losses = [f"{summary([pair[i].lost for pair in found]):+.1f}" for i in (0, 1)]
        rows.append([name, "", *[c for lost in losses for c in ("", "", lost, "")]])
    sizes = [len(corpus.calibrate), len(corpus.calibrate) + len(corpus.train)]
    head = ["teacher", "accuracy"]
    for size in sizes:
        head += [f"{size:,} sentences: spiking", "agreement", "lost", "min"]
    title = f"Students, {corpus.name}, {len(corpus.held_out):,} held-out sentences"
    print_table(title, head, rows)


def main(*kinds: str) -> None:
    """Print the tables."""
    chosen = list(kinds) or list(KINDS)
    with tempfile.TemporaryDirectory() as folder:
        if SHARED.exists():
            block(trec(SHARED), chosen, Path(folder))
        block(generated(), chosen, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
