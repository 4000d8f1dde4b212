"""Heads that pool the states over time, batch norm behind the states, and products that are written as Einsum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from networks import elman, save, weights
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional
from torch_networks import (
    CLASSES,
    TIME,
    WORDS,
    D,
    Last,
    N,
    PaddingMean,
    answers_as_pytorch,
    export,
    network,
)

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    Pool = Callable[[torch.Tensor], torch.Tensor]

LENGTHS = [1, 2, 5, 9, 30]

POOLS: dict[str, tuple[str, Pool]] = {
    "sum": ("sum", lambda h: h.sum(1)),
    "sum over the length": ("mean", lambda h: h.sum(1) / h.shape[1]),
    "adaptive mean": (
        "mean",
        lambda h: functional.adaptive_avg_pool1d(h.transpose(1, 2), 1).squeeze(2),
    ),
    "adaptive largest": (
        "max",
        lambda h: functional.adaptive_max_pool1d(h.transpose(1, 2), 1).squeeze(2),
    ),
    "largest of windows": (
        "max",
        lambda h: functional.max_pool1d(h.transpose(1, 2), 3, 1, 1).max(2).values,
    ),
}


class Pooled(Last):
    def __init__(self, pool: Pool, parts: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.pool = pool
        if parts > 1:
            self.fc = nn.Linear(parts * N, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.rnn(self.embedding(ids))[0]))


@pytest.mark.parametrize("name", POOLS)
def test_heads_that_pool_over_time_are_read(tmp_path: Path, name: str) -> None:
    readout, pool = POOLS[name]
    model = network(lambda: Pooled(pool))
    read, _ = read_model(export(model, tmp_path / "m.onnx"))
    assert read.readout == readout
    answers_as_pytorch(model, read, LENGTHS)


def test_the_sum_of_both_directions_is_read(tmp_path: Path) -> None:
    model = network(lambda: Pooled(lambda h: h.sum(1), bidirectional=True))
    read, _ = read_model(export(model, tmp_path / "m.onnx"))
    assert read.readout == "sum"
    answers_as_pytorch(model, read, LENGTHS)


class PaddingSum(PaddingMean):
    """The sum over all words but padding, which is word 0."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return self.fc((out * (ids != 0).unsqueeze(2)).sum(1))


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_sum_without_padding_is_read(tmp_path: Path, *, dynamic: bool) -> None:
    model = network(PaddingSum)
    read, float_model = read_model(export(model, tmp_path / "m.onnx", dynamic=dynamic))
    assert read.readout == "sum"
    assert dynamic or float_model.layout.padding == 0
    answers_as_pytorch(model, read, LENGTHS)


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("dynamo", [False, True])
def test_pools_as_wide_as_a_question_are_read(tmp_path: Path, kind: str, *, dynamo: bool) -> None:
    pool = getattr(functional, f"{kind}_pool1d")
    model = network(lambda: Pooled(lambda h: pool(h.transpose(1, 2), TIME).squeeze(2)))
    read, _ = read_model(export(model, tmp_path / "m.onnx", dynamic=False, dynamo=dynamo))
    assert read.readout == {"avg": "mean", "max": "max"}[kind]
    answers_as_pytorch(model, read, [TIME])


def test_windows_of_states_are_weighed_as_onnxruntime_weighs_them(tmp_path: Path) -> None:
    # the mean of windows of three with padding counts the states at both ends less often
    model = network(
        lambda: Pooled(lambda h: functional.avg_pool1d(h.transpose(1, 2), 3, 1, 1).mean(2))
    )
    with pytest.raises(
        ModelFileError, match=r"head: weighs the states of a question's words differently; supp"
    ):
        read_model(export(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (
            lambda h: h.sum(1) / h.shape[1] ** 0.5,
            "head: weighs the states otherwise in questions of",
        ),
        (
            lambda h: functional.avg_pool1d(h.transpose(1, 2), TIME).squeeze(2),
            "with questions of 7 words: node '[^']+': the head uses states that have seen only 6 of 7",
        ),
    ],
    ids=["a sum over the root of the length", "a window of fixed width"],
)
def test_heads_that_change_with_the_length_are_refused_with_the_reason(
    tmp_path: Path, pool: Pool, reason: str
) -> None:
    path = export(network(lambda: Pooled(pool)), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=rf"m\.onnx: {reason}"):
        read_model(path)


MIXED: dict[str, tuple[int, Pool, str]] = {
    "last and largest": (
        2,
        lambda h: torch.cat([h[:, -1], h.max(1).values], 1),
        "head: reads the largest over time and other states",
    ),
    "mean and largest": (
        2,
        lambda h: torch.cat([h.mean(1), h.max(1).values], 1),
        "head: reads the largest over time and other states",
    ),
    "last and mean": (
        2,
        lambda h: torch.cat([h[:, -1], h.mean(1)], 1),
        "head: reads the last state and the mean over time",
    ),
    "first and last": (
        2,
        lambda h: torch.cat([h[:, 0], h[:, -1]], 1),
        "head: reads the first state and the last state",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_heads_that_read_several_things_are_refused(tmp_path: Path, name: str) -> None:
    parts, pool, reason = MIXED[name]
    path = export(network(lambda: Pooled(pool, parts)), tmp_path / "m.onnx")
    supported = "supported is a head that reads one of the last state, the mean, the sum and the"
    with pytest.raises(ModelFileError, match=rf"m\.onnx: {reason}; {supported} largest over time"):
        read_model(path)


class Normalised(Last):
    """Batch norm in evaluation mode behind the last state, or behind all states."""

    def __init__(self, *, every: bool) -> None:
        super().__init__()
        self.every, self.norm = every, nn.BatchNorm1d(N)
        self.norm.running_mean, self.norm.running_var = torch.randn(N), torch.rand(N) + 0.5
        self.norm.weight.data, self.norm.bias.data = torch.randn(N), torch.randn(N)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return self.fc(
            self.norm(out.transpose(1, 2)).mean(2) if self.every else self.norm(out[:, -1])
        )


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("dynamo", [False, True])
def test_batch_norm_behind_the_states_is_part_of_the_head(
    tmp_path: Path, *, every: bool, dynamo: bool
) -> None:
    model = network(lambda: Normalised(every=every))
    read, _ = read_model(export(model, tmp_path / "m.onnx", dynamo=dynamo))
    answers_as_pytorch(model, read, [TIME] if dynamo else LENGTHS)


class EinsumCell(nn.Module):
    """Every product of the network by torch.einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.fc = nn.Embedding(WORDS, D), nn.Linear(N, CLASSES)
        self.W, self.U = nn.Parameter(torch.randn(D, N) * 0.5), nn.Parameter(torch.randn(N, N) / 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = torch.einsum("bte,eh->tbh", self.embedding(ids), self.W)
        h = x.new_zeros(x.size(1), N)
        for t in range(x.size(0)):
            h = torch.tanh(x[t] + torch.einsum("bh,hg->bg", h, self.U))
        return torch.einsum("kh,...h->...k", self.fc.weight, h) + self.fc.bias


@pytest.mark.parametrize("dynamo", [False, True])
def test_products_by_einsum_are_read(tmp_path: Path, *, dynamo: bool) -> None:
    model = network(EinsumCell)
    read, _ = read_model(export(model, tmp_path / "m.onnx", dynamo=dynamo, dynamic=False))
    answers_as_pytorch(model, read, [TIME])


def _headed(
    equation: str, constants: list[np.ndarray[Any, Any]], *, first: bool
) -> onnx.ModelProto:
    """Return a network whose head is one Einsum of the state "h" (batch, n) and constants, before or after it."""
    w = weights()
    model = elman(w)
    graph = model.graph
    names = [f"constant{i}" for i in range(len(constants))]
    inputs = ["h", *names] if first else [*names, "h"]
    nodes = [n for n in graph.node if n.op_type != "Gemm"]
    nodes.append(helper.make_node("Einsum", inputs, ["logits"], equation=equation))
    arrays = [numpy_helper.from_array(c, n) for n, c in zip(names, constants, strict=True)]
    kept = [i for i in graph.initializer if i.name not in {"C", "c"}]
    graph = helper.make_graph(nodes, "einsum", graph.input, graph.output, [*kept, *arrays])
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)


C = weights()["C"]
SCALE = np.linspace(0.5, 2, 8, dtype=np.float32)

EINSUMS: dict[str, tuple[str, list[np.ndarray[Any, Any]], bool]] = {
    "implicit output": ("bh,hk", [np.ascontiguousarray(C.T)], True),
    "constant first, dots": ("kh,...h->...k", [C], False),
    "spaces": (" bh , kh -> bk ", [C], True),
    "two constants": ("bh,h,kh->bk", [SCALE, C], True),
    "a sum over an axis of the constant": ("bh,khj->bk", [np.stack([C, C / 2], 2)], True),
    "an axis of size 1 in the dots": ("...h,...kh->...k", [C[None]], True),
    "a diagonal of the constant": ("bh,kkh->bk", [np.stack([C] * 6)], True),
}


@pytest.mark.parametrize("name", EINSUMS)
def test_equations_of_einsum_are_read(tmp_path: Path, name: str) -> None:
    equation, constants, first = EINSUMS[name]
    # the proof compares the logits with onnxruntime's
    read, _ = read_model(save(_headed(equation, constants, first=first), tmp_path / "m.onnx"))
    assert (read.readout, read.C.shape) == ("last", (6, 8))


def test_einsum_of_two_states_is_refused(tmp_path: Path) -> None:
    model = _headed("bh,bh,kh->bk", [C], first=True)
    model.graph.node[-1].input.insert(1, "h")
    with pytest.raises(
        ModelFileError, match=r"node 'Einsum': multiplies two values that both depe"
    ):
        read_model(save(model, tmp_path / "m.onnx"))
