"""What a graph computes from one word alone becomes the embedding, whichever operators compute it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn
from torch_networks import (
    CLASSES,
    TIME,
    WORDS,
    D,
    N,
    answers_as_pytorch,
    export,
    network,
)

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from pathlib import Path


class Words(nn.Module):
    """Functions of a word, each a method that takes ids (batch, time) and returns vectors of N components."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.embedding, self.other = nn.Embedding(WORDS, D), nn.Embedding(WORDS, N - D)
        self.wide = nn.Embedding(WORDS, N)
        self.project = nn.Linear(D, N)
        self.norm, self.batch = nn.LayerNorm(N), nn.BatchNorm1d(N)
        self.batch.running_mean, self.batch.running_var = torch.randn(N), torch.rand(N) + 0.5
        self.slope = nn.PReLU(N)
        self.hot = nn.Linear(WORDS, N)
        self.register_buffer("classes", torch.arange(WORDS) % 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return getattr(self, self.name)(ids)

    def projected(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.project(self.embedding(ids)))

    def tanh(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.wide(ids))

    def twice(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(torch.sigmoid(self.wide(ids)) * 2 - torch.tanh(self.wide(ids)))

    def silu(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.silu(self.wide(ids))

    def gated(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.glu(torch.cat([self.wide(ids), self.projected(ids)], -1))

    def layer_norm(self, ids: torch.Tensor) -> torch.Tensor:
        return self.norm(self.wide(ids))

    def batch_norm(self, ids: torch.Tensor) -> torch.Tensor:
        return self.batch(self.wide(ids).transpose(1, 2)).transpose(1, 2)

    def unit_length(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.wide(ids), dim=-1)

    def soft(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.wide(ids), -1)

    def side_by_side(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.embedding(ids), self.other(ids)], -1)

    def summed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(ids) + self.project(self.embedding(ids))

    def classed(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.embedding(ids), self.other(self.classes[ids])], -1)

    def one_hot(self, ids: torch.Tensor) -> torch.Tensor:
        return self.hot(nn.functional.one_hot(ids, WORDS).float())

    def compared(self, ids: torch.Tensor) -> torch.Tensor:
        return self.hot((ids.unsqueeze(-1) == torch.arange(WORDS)).float())

    def offset(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide((ids + 1) % WORDS)

    def clamped(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(ids.clamp(2, 9))

    def replaced(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(torch.where(ids == 3, torch.zeros_like(ids), ids))

    def rare(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(torch.where(ids > 11, torch.ones_like(ids), ids))

    def halved(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(torch.div(ids, 2, rounding_mode="floor").to(torch.int32))

    def zeroed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(ids) * (ids != 4).unsqueeze(-1)

    def parity(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(ids) * (1 - 2.0 * (ids % 2)).unsqueeze(-1)

    def bounded(self, ids: torch.Tensor) -> torch.Tensor:
        return self.wide(ids).clamp(-0.3, 0.8)

    def rectified(self, ids: torch.Tensor) -> torch.Tensor:
        return self.slope(self.wide(ids).transpose(1, 2)).transpose(1, 2)

    def scaled_id(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [self.embedding(ids), ids.unsqueeze(-1) / 10.0, torch.sin(ids * 1.0).unsqueeze(-1)], -1
        )


FUNCTIONS = sorted(set(vars(Words)) - {"__init__", "forward", "__module__", "__doc__"})


class Node(nn.Module):
    """An RNN node over functions of the words."""

    def __init__(self, name: str, *, head: str = "last", **options: Any) -> None:
        super().__init__()
        self.words = Words(name)
        self.rnn = nn.RNN(N, N, batch_first=True, **options)
        self.fc = nn.Linear(N * (1 + self.rnn.bidirectional), CLASSES)
        self.head = head

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, h = self.rnn(self.words(ids))
        read = {"last": torch.cat(list(h), 1), "mean": out.mean(1), "max": out.max(1).values}
        return self.fc(read[self.head])


class Cell(nn.Module):
    """A loop over the words, unrolled or scripted, that computes the function of each word in its step."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.words = Words(name)
        self.cell = nn.RNNCell(N, N)
        self.fc = nn.Linear(N, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(ids.size(0), N)
        for t in range(ids.size(1)):
            h = self.cell(self.words(ids[:, t : t + 1])[:, 0], h)
        return self.fc(h)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_before_an_rnn_node(tmp_path: Path, function: str) -> None:
    model = network(lambda: Node(function))
    read, _ = read_model(export(model, tmp_path / "m.onnx"))
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_in_every_step_of_an_unrolled_loop(tmp_path: Path, function: str) -> None:
    model = network(lambda: Cell(function))
    read, _ = read_model(export(model, tmp_path / "m.onnx", dynamic=False, batch=1))
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


@pytest.mark.parametrize("function", ["classed", "layer_norm", "projected", "rare"])
def test_as_the_present_exporter_writes_it(tmp_path: Path, function: str) -> None:
    pytest.importorskip("onnxscript", reason="PyTorch's present exporter needs it")
    model = network(lambda: Node(function, head="mean"))
    path = export(model, tmp_path / "m.onnx", dynamo=True, dynamic=False, batch=1)
    read, _ = read_model(path)
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


@pytest.mark.parametrize("options", [{"head": "max"}, {"bidirectional": True}])
def test_with_every_head_and_in_both_directions(tmp_path: Path, options: dict[str, Any]) -> None:
    model = network(lambda: Node("projected", **options))
    read, _ = read_model(export(model, tmp_path / "m.onnx"))
    assert (read.backward is not None) == ("bidirectional" in options)
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


class Scripted(nn.Module):
    """A scripted loop, which is exported as a Loop of any length; its body computes functions of the word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.project = nn.Embedding(WORDS, D), nn.Linear(D, D)
        self.norm = nn.LayerNorm(D)
        self.W, self.U = nn.Linear(D, N), nn.Linear(N, N, bias=False)
        self.fc = nn.Linear(N, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = torch.zeros([ids.size(0), 8])
        for t in range(ids.size(1)):
            x = torch.relu(self.project(self.embedding(ids[:, t] % 9)))
            h = torch.tanh(self.W(self.norm(x)) + self.U(h))
        return self.fc(h)


def test_inside_a_loop(tmp_path: Path) -> None:
    model = network(Scripted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(model)
    read, _ = read_model(export(scripted, tmp_path / "m.onnx"))
    model.eval()
    answers_as_pytorch(model, read, [1, 2, 5, TIME])


def test_words_are_those_for_which_the_function_is_defined(tmp_path: Path) -> None:
    class Shifted(Node):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return super().forward(ids + 1)

    read, _ = read_model(export(network(lambda: Shifted("tanh")), tmp_path / "m.onnx"))
    assert len(read.rows) == WORDS - 1


class Placed(Node):
    """Position embeddings, learned or of sines, before an activation or not."""

    def __init__(self, kind: str) -> None:
        super().__init__("tanh")
        self.kind = kind
        self.places = nn.Embedding(TIME, N)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        place = torch.arange(ids.size(1))
        x = self.words(ids)
        if self.kind == "learned":
            x = x + self.places(place)
        elif self.kind == "sine":
            x = x + torch.sin(place[:, None] * torch.arange(N).float())
        else:
            x = torch.relu(x + self.places(place))
        return self.fc(self.rnn(x)[1][0])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("learned", r"node '[^']+': its bias changes from word to word, as a position embedding"),
        ("sine", r"node '[^']+': its bias changes from word to word, as a position embedding"),
        ("relu", r"node '[^']+': computes something else from its word at each position, as a pos"),
    ],
)
def test_position_embeddings_are_refused_by_name(tmp_path: Path, kind: str, message: str) -> None:
    path = export(network(lambda: Placed(kind)), tmp_path / "m.onnx", dynamic=False)
    with pytest.raises(ModelFileError, match=message):
        read_model(path)
