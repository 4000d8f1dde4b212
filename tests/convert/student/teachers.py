"""Networks of other kinds than Elman's, and questions that they can be trained on."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

CLASSES = ("place", "person", "number")
ASKED = {
    "place": ["where is", "in which town is", "which city has"],
    "person": ["who wrote", "who is", "which writer made"],
    "number": ["how many", "how far is", "when was"],
}
THINGS = [
    "paris",
    "hamlet",
    "the",
    "book",
    "river",
    "moon",
    "house",
    "king",
    "old",
    "song",
    "white",
    "game",
    "of",
    "in",
    "and",
    "a",
]
WORDS = [
    "<pad>",
    "<unk>",
    *sorted({w for a in ASKED.values() for p in a for w in p.split()} | {*THINGS}),
]
IDS = {word: i for i, word in enumerate(WORDS)}


def questions(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return labels and texts."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        label = str(rng.choice(CLASSES))
        start = str(rng.choice(ASKED[label]))
        rest = " ".join(rng.choice(THINGS, rng.integers(1, 6)))
        found.append((label, f"{start} {rest}"))
    return found


def tokenizer() -> Tokenizer:
    """Return a tokenizer that splits at white space."""
    made = Tokenizer(models.WordLevel(IDS, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


class Network(nn.Module):
    """A classifier of `kind`: lstm, two layers of gru, attention or cnn; it returns what `tail` makes of its logits."""

    def __init__(
        self, kind: str, outputs: int = len(CLASSES), tail: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.kind, self.tail = kind, tail
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.lstm = nn.LSTM(16, 24, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 24, num_layers=2, batch_first=True)
        self.query, self.key = nn.Linear(16, 16), nn.Linear(16, 16)
        self.convolution = nn.Conv1d(16, 24, 3)
        width = {"lstm": 48, "gru": 24, "attention": 16, "cnn": 24}[kind]
        self.head = nn.Linear(width, outputs)

    def forward(self, ids: torch.Tensor) -> Any:
        """Return the logits of questions, (batch, classes)."""
        x = self.embedding(ids)
        if self.kind == "lstm":
            x = self.lstm(x)[0].amax(1)
        elif self.kind == "gru":
            x = self.gru(x)[0][:, -1]
        elif self.kind == "attention":
            weights = (self.query(x) @ self.key(x).transpose(1, 2)).softmax(-1)
            x = torch.relu(weights @ x).mean(1)
        else:
            x = torch.relu(self.convolution(x.transpose(1, 2))).amax(2)
        logits = self.head(x)
        return logits if self.tail is None else self.tail(logits)


class Placed(Network):
    """A convolution that adds an embedding of each word's position, of which there are `positions`."""

    def __init__(self, positions: int) -> None:
        super().__init__("cnn")
        self.place = nn.Parameter(0.1 * torch.randn(positions, 16))

    def forward(self, ids: torch.Tensor) -> Any:
        """Return the logits of questions, (batch, classes)."""
        x = self.embedding(ids) + self.place[: ids.shape[1]]
        return self.head(torch.relu(self.convolution(x.transpose(1, 2))).amax(2))


def trained(kind: str, asked: Sequence[tuple[str, str]]) -> Network:
    """Return a network that learned the labels of questions."""
    network, split = Network(kind), tokenizer()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    ids = [split.encode(text).ids for _, text in asked]
    longest = max(map(len, ids))
    # repeated to one length, so that one batch holds all
    table = torch.tensor([(i * longest)[:longest] for i in ids])
    labels = torch.tensor([CLASSES.index(label) for label, _ in asked])
    for _ in range(30):
        optimiser.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(table), labels))
        optimiser.step()
    return network.eval()


def exported(
    network: nn.Module, length: int | None = None, traced: int = 2, **options: Any
) -> bytes:
    """Return a network as ONNX, of any length or one, traced with so many questions."""
    file = io.BytesIO()
    free = {"ids": {0: "batch"}} if length else {"ids": {0: "batch", 1: "time"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.ones(traced, length or 7, dtype=torch.int64),),
            file,
            dynamo=False,
            input_names=["ids"],
            dynamic_axes=free,
            opset_version=17,
            **options,
        )
    return file.getvalue()


def asked(n: int = 40, least: int = 3) -> list[NDArray[np.int64]]:
    """Return word ids of questions of at least `least` words."""
    split = tokenizer()
    found = [np.array(split.encode(text).ids) for _, text in questions(4 * n, 5)]
    return [ids for ids in found if len(ids) >= least][:n]
