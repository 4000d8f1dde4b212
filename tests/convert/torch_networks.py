"""Supply networks as PyTorch users write and export them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikewatch.convert.network.elman import ElmanNetwork

WORDS, D, N, CLASSES = 21, 6, 8, 5
TIME = 6


class Last(nn.Module):
    """The tutorial's classifier: nn.RNN, its final state, a linear layer."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, D)
        self.rnn = nn.RNN(D, N, **{"batch_first": True} | options)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(N * (2 if self.rnn.bidirectional else 1), CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        _, h = self.rnn(self.embedding(ids))
        return self.fc(self.dropout(torch.cat(list(h), dim=1)))


class LastOutput(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return torch.softmax(self.fc(out[:, -1, :]), dim=1)


class Mean(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return self.fc(out.mean(dim=1))


class Largest(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        return self.fc(out.max(dim=1).values)


class TimeFirst(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids.t()))
        return torch.log_softmax(self.fc(out[-1]), dim=-1)


class Label(Last):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids).argmax(dim=1)


class ZeroState(Last):
    """An explicit h_0, as in many tutorials."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h0 = torch.zeros(1, x.size(0), N)
        out, _ = self.rnn(x, h0)
        return self.fc(out[:, -1])


class Packed(Last):
    """Packed by lengths: outputs after a question's end are zero."""

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False
        )
        out, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.fc(out.sum(1) / lengths[:, None])


class PackedLast(Packed):
    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False
        )
        out, h = self.rnn(packed)
        out, _ = pad_packed_sequence(out, batch_first=True)  # without it PyTorch 2.13 cannot export
        return self.fc(torch.cat(list(h), dim=1)) + 0 * out.sum()


class GatheredLast(Last):
    """The state at lengths - 1, with padding after it."""

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        at = (lengths - 1).view(-1, 1, 1).expand(-1, 1, out.size(2))
        return self.fc(out.gather(1, at).squeeze(1))


class MaskedMean(Last):
    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        mask = (torch.arange(ids.size(1))[None, :] < lengths[:, None]).unsqueeze(2)
        return self.fc((out * mask).sum(1) / lengths[:, None])


class MaskedLargest(Last):
    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        mask = torch.arange(ids.size(1))[None, :, None] < lengths[:, None, None]
        return self.fc(out.masked_fill(~mask, float("-inf")).max(1).values)


class PaddingMean(Last):
    """The mean over all words but padding, which is word 0."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        mask = (ids != 0).unsqueeze(2).float()
        return self.fc((out * mask).sum(1) / mask.sum(1))


class PaddingLengths(Last):
    """The last state by a length that counts all words but padding, which is word 1 as in torchtext."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        at = ((ids != 1).sum(1) - 1).view(-1, 1, 1).expand(-1, 1, out.size(2))
        return self.fc(out.gather(1, at).squeeze(1))


class CellLoop(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, D)
        self.cell = nn.RNNCell(D, N, **options)
        self.fc = nn.Linear(N, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h = torch.zeros(x.size(0), N)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return self.fc(h)


class HandWritten(nn.Module):
    """Linear(cat[x, h]), as in the name-classification tutorial, followed by any function."""

    def __init__(self, f: Callable[[torch.Tensor], torch.Tensor] = torch.tanh) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, D)
        self.i2h = nn.Linear(D + N, N)
        self.fc = nn.Linear(N, CLASSES)
        self.f = f

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h = x.new_zeros(x.size(0), N)
        for t in range(x.size(1)):
            h = self.f(self.i2h(torch.cat([x[:, t], h], dim=1)))
        return self.fc(h)


class TwoLinear(nn.Module):
    """x W + h U without biases, read from the end, with the mean as a running sum."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, D)
        self.W, self.U = nn.Linear(D, N, bias=False), nn.Linear(N, N, bias=False)
        self.fc = nn.Linear(N, CLASSES, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h = torch.zeros(x.size(0), N)
        total = torch.zeros(x.size(0), N)
        for t in reversed(range(x.size(1))):
            h = torch.relu(self.W(x[:, t]) + self.U(h))
            total = total + h
        return self.fc(total / x.size(1))


class ScriptedLoop(nn.Module):
    """A scripted loop, which is exported as a Loop of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, D)
        self.W, self.U = nn.Linear(D, N), nn.Linear(N, N, bias=False)
        self.fc = nn.Linear(N, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h = torch.zeros([x.size(0), 8])
        for t in range(x.size(1)):
            h = torch.tanh(self.W(x[:, t]) + self.U(h))
        return self.fc(h)


def relu6(x: torch.Tensor) -> torch.Tensor:
    return torch.clamp(torch.relu(x), max=0.8)


def network(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make().eval()


def export(
    model: nn.Module,
    path: Path,
    *,
    dynamo: bool = False,
    batch: int = 2,
    dynamic: bool = True,
    lengths: bool = False,
) -> Path:
    """Export as users do: the old exporter with dynamic axes, the present one with its own defaults."""
    ids = torch.randint(1, WORDS, (batch, TIME))
    inputs = (ids, torch.full((batch,), TIME)) if lengths else (ids,)
    options: dict[str, Any] = {"dynamo": True, "verbose": False} if dynamo else {"dynamo": False}
    if dynamic and dynamo:
        options["dynamic_shapes"] = [{0: torch.export.Dim("batch")} for _ in inputs]
    elif dynamic:
        options["input_names"] = ["ids", "lengths"][: len(inputs)]
        options["dynamic_axes"] = {"ids": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
        options["dynamic_axes"] = {n: options["dynamic_axes"][n] for n in options["input_names"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations and tracing
        torch.onnx.export(model, inputs, str(path), **options)
    return path


def logits(model: nn.Module, question: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the logits of one question, computed by PyTorch."""
    ids = torch.from_numpy(question)[None]
    with torch.no_grad():
        if isinstance(model, Packed | GatheredLast | MaskedMean | MaskedLargest):
            return model(ids, torch.tensor([len(question)]))[0].double().numpy()
        return model(ids)[0].double().numpy()


def answers_as_pytorch(model: nn.Module, read: ElmanNetwork, lengths: list[int]) -> None:
    """Assert that a network read from ONNX equals the PyTorch module, up to a final softmax or argmax."""
    rng = np.random.default_rng(3)
    questions = [rng.integers(2, WORDS, n) for n in lengths]  # 0 and 1 are padding in some networks
    got = read.logits(questions)
    for question, row in zip(questions, got, strict=True):
        wanted = logits(model, question)
        if wanted.ndim == 0:
            assert wanted == row.argmax()
        elif isinstance(model, LastOutput | TimeFirst):
            shown = np.exp(row - row.max())
            shown /= shown.sum()
            shown = np.log(shown) if isinstance(model, TimeFirst) else shown
            np.testing.assert_allclose(shown, wanted, atol=1e-5)
        else:
            np.testing.assert_allclose(row, wanted, atol=1e-5)
