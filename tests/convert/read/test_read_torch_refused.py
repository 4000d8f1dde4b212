"""PyTorch networks that are not Elman networks: refused, naming a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn
from torch_networks import CellLoop, D, HandWritten, Last, N, export, network

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class HiddenHead(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        _, h = self.rnn(self.embedding(ids))
        return self.fc(torch.relu(h[-1]))


class Leaky(HandWritten):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h = x.new_zeros(x.size(0), N)
        for t in range(x.size(1)):
            h = 0.5 * h + 0.5 * torch.tanh(self.i2h(torch.cat([x[:, t], h], dim=1)))
        return self.fc(h)


class Attention(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, h = self.rnn(self.embedding(ids))
        weights = torch.softmax(out @ h[-1].unsqueeze(2), dim=1)
        return self.fc((out * weights).sum(1))


class BackwardsStart(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return self.fc(out[:, -1])


class Trained(Last):
    """The initial state is learned."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        out, _ = self.rnn(x, torch.ones(1, x.size(0), N))
        return self.fc(out[:, -1])


class Recurrent(Last):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.rnn = kind(D, N, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return self.fc(out[:, -1])


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "LSTM": (lambda: Recurrent(nn.LSTM), r"operator LSTM is not supported"),
    "GRU": (lambda: Recurrent(nn.GRU), r"operator GRU is not supported"),
    "two layers": (
        lambda: Recurrent(lambda d, n, **o: nn.RNN(d, n, num_layers=2, **o)),
        r"reads hidden states of more than one step \(among them node '[^']+'\)",
    ),
    "a layer before the head": (HiddenHead, r"node '[^']+': reads hidden states but no word"),
    "leaky": (Leaky, r"node '[^']+': reads hidden states of more than one step"),
    "attention": (Attention, r"node '[^']+': multiplies two values that both depend on"),
    "backwards start": (lambda: BackwardsStart(bidirectional=True), r"h_n, not output\[:, -1\]"),
    "initial state": (Trained, r"node '[^']+': its initial state is not constant zero"),
    "another function": (
        lambda: HandWritten(nn.functional.elu),
        r"node '[^']+': operator Elu is not supported",
    ),
    "bounds that are not symmetric": (
        lambda: HandWritten(lambda x: nn.functional.hardtanh(x, -1, 2)),
        r"node '[^']+': bounds values to -1\.\.2; supported are bounds from 0 up, and from -B to B",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_networks_are_refused_naming_a_node(tmp_path: Path, form: str) -> None:
    make, message = REFUSED[form]
    path = export(network(make), tmp_path / "m.onnx", dynamic=form != "leaky")
    with pytest.raises(ModelFileError, match=rf"^[^\n]*m\.onnx: [^\n]*{message}[^\n]*$"):
        read_model(path)


def test_an_unrolled_lstm_is_refused_at_its_gate(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="PyTorch's present exporter needs it")
    path = export(network(CellLstm), tmp_path / "m.onnx", dynamic=False, batch=1)
    with pytest.raises(ModelFileError, match=r"as a gate or attention does$"):
        read_model(path)


class CellLstm(CellLoop):
    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(D + N, 4 * N)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h, c = torch.zeros(x.size(0), N), torch.zeros(x.size(0), N)
        for t in range(x.size(1)):
            i, f, g, o = self.gates(torch.cat([x[:, t], h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.fc(h)
