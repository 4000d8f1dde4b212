"""Train and export classifiers of many kinds for the benchmark of students, in plain PyTorch and Keras.

They are trained as a careful user would: with dropout, with unknown words, on sentences of equal length or, where the
file takes one length only, on padded ones.  The kinds share PyTorch's two exporters between them; an RNN layer needs
the older one, because the present one writes the words of its example into the file.

Keras needs TensorFlow and tf2onnx, which nothing else here needs: `keras_teachers.py` is run by the interpreter that
SPIKEWATCH_BENCH_KERAS names.
"""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from benchmarks.foreign import tokenizer, write_data

if TYPE_CHECKING:
    from benchmarks.sentences import Corpus

    Encoded = list[tuple[list[int], int]]

KINDS: Final = {
    "lstm": "old",
    "bilstm": "present",
    "gru": "old",
    "bigru": "present",
    "two-layers": "old",
    "elman-128": "old",
    "elman-256": "old",
    "mlp-head": "old",
    "attention": "old",
    "cnn": "present",
    "transformer": "present",
    "keras-lstm": "keras",
    "keras-gru": "keras",
    "keras-cnn": "keras",
}
"""Kind, and what exports it."""

PAD_TO: Final = 40
"""Words that the sentences of keras-cnn are filled up to."""

_EMBEDDING: Final = 64
_HIDDEN: Final = 128
_HEAD: Final = 64
_EPOCHS: Final = 12
_BATCH: Final = 48
_RATE: Final = 2e-3
_DROPOUT: Final = 0.4
_UNKNOWN: Final = 0.03
"""Share of the training words that become unknown, as rare words of new sentences are."""

_KERAS: Final = "SPIKEWATCH_BENCH_KERAS"


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
            else:  # plain recurrences are averaged: read at the last word, they learn little from few sentences
                read = states[:, -1] if self.kind in {"lstm", "gru"} else states.mean(1)
        logits: torch.Tensor = self.head(self.drop(read))
        return logits


def available(kind: str) -> bool:
    """Return whether this kind of teacher can be trained here."""
    return KINDS[kind] != "keras" or _KERAS in os.environ


def padding(kind: str, folder: Path) -> dict[str, int]:
    """Return the options of `publish` that say how the teacher's own code fills sentences up."""
    if kind != "keras-cnn":
        return {}
    return {"pad_to": PAD_TO, "pad_id": json.loads((folder / "encoded.json").read_text())["words"]}


def train(kind: str, corpus: Corpus, folder: Path, seed: int) -> None:
    """Train a teacher, and write it with everything that publishing needs."""
    words = tokenizer(corpus)
    write_data(corpus, words, folder)
    texts = "".join(f"{text}\n" for _, text in corpus.train)
    (folder / "more.txt").write_text(texts)
    both = [*corpus.calibrate, *corpus.train]
    lines = "".join(f"{label}\t{text}\n" for label, text in both)
    (folder / "all.tsv").write_text(lines)
    encoded = [(words.encode(text).ids, corpus.labels.index(label)) for label, text in both]
    encoded = [(ids, label) for ids, label in encoded if ids]
    if KINDS[kind] == "keras":
        _train_keras(kind, encoded, words.get_vocab_size(), len(corpus.labels), folder, seed)
        return
    classes = len(corpus.labels)
    write_network(kind, encoded, words.get_vocab_size(), classes, folder / "model.onnx", seed)


def write_network(
    kind: str, encoded: Encoded, words: int, classes: int, path: Path, seed: int
) -> None:
    """Train a network of PyTorch on word ids and classes, and export it."""
    torch.manual_seed(seed)
    net = Teacher(kind, words, classes)
    _fit(net, encoded, np.random.default_rng(seed))
    _export(net.eval(), path)


def _fit(net: Teacher, encoded: Encoded, rng: np.random.Generator) -> None:
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    lengths = np.array([len(ids) for ids, _ in encoded])
    for _ in range(_EPOCHS):
        pieces = [
            piece
            for length in np.unique(lengths)
            for chosen in [rng.permutation(np.flatnonzero(lengths == length))]
            for piece in np.array_split(chosen, -(-len(chosen) // _BATCH))
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


def _train_keras(
    kind: str, encoded: Encoded, words: int, classes: int, folder: Path, seed: int
) -> None:
    data = {
        "ids": [ids for ids, _ in encoded],
        "labels": [label for _, label in encoded],
        "words": words,
        "classes": classes,
        "pad_to": PAD_TO,
        "epochs": _EPOCHS,
        "unknown": _UNKNOWN,
    }
    (folder / "encoded.json").write_text(json.dumps(data))
    script = Path(__file__).with_name("keras_teachers.py")
    command = [os.environ[_KERAS], str(script), kind, str(folder), str(seed)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _export(net: Teacher, path: Path) -> None:
    free = {0: torch.export.Dim("batch", max=4096), 1: torch.export.Dim("time", max=_HIDDEN)}
    options: dict[str, Any] = {"dynamo": False, "dynamic_axes": {"ids": {0: "batch", 1: "time"}}}
    if KINDS[net.kind] == "present":
        options = {"dynamo": True, "verbose": False, "dynamic_shapes": [free]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations and tracing
        example = torch.ones(2, 12, dtype=torch.int64)
        torch.onnx.export(net, (example,), str(path), input_names=["ids"], **options)
