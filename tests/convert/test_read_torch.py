"""Networks as PyTorch users write and export them: read, and answering as onnxruntime and PyTorch do."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import FloatModel, read_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikewatch.convert.elman import ElmanNetwork

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
    """h_0 made by hand, as many tutorials do."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        h0 = torch.zeros(1, x.size(0), N)
        out, _ = self.rnn(x, h0)
        return self.fc(out[:, -1])


class Packed(Last):
    """Packed by lengths: behind a question's end the outputs are zero."""

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
    """The last state by lengths - 1, over padding."""

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
    """A mean over the words that are not padding, which is word 0."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.embedding(ids))
        mask = (ids != 0).unsqueeze(2).float()
        return self.fc((out * mask).sum(1) / mask.sum(1))


class PaddingLengths(Last):
    """The last state at a length counted from the words that are not padding, which is word 1 as in torchtext."""

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
    """Linear(cat[x, h]), as the name-classification tutorial does it, with any function behind it."""

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
    """A loop that stays a Loop: scripted, so that its length is free."""

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
    """Export as users do; the old exporter with free axes, the present one with what it gives."""
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
        warnings.simplefilter("ignore")  # the exporters' own
        torch.onnx.export(model, inputs, str(path), **options)
    return path


def logits(model: nn.Module, question: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Compute one question in PyTorch itself."""
    ids = torch.from_numpy(question)[None]
    with torch.no_grad():
        if isinstance(model, Packed | GatheredLast | MaskedMean | MaskedLargest):
            return model(ids, torch.tensor([len(question)]))[0].double().numpy()
        return model(ids)[0].double().numpy()


def answers_as_pytorch(model: nn.Module, read: ElmanNetwork, lengths: list[int]) -> None:
    """Compare the network as read with PyTorch, whose lengths are free, up to an ending."""
    rng = np.random.default_rng(3)
    questions = [rng.integers(2, WORDS, n) for n in lengths]  # 0 and 1 are padding to some
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


OLD: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "final state": (Last, {"activation": "Tanh", "readout": "last", "direction": "forward"}),
    "relu": (lambda: Last(nonlinearity="relu"), {"activation": "Relu"}),
    "no bias": (lambda: Last(bias=False), {}),
    "bidirectional": (lambda: Last(bidirectional=True), {"readout": "last"}),
    "last output": (LastOutput, {"readout": "last"}),
    "mean": (Mean, {"readout": "mean"}),
    "mean, bidirectional": (lambda: Mean(bidirectional=True), {"readout": "mean"}),
    "largest": (Largest, {"readout": "max"}),
    "largest, bidirectional": (lambda: Largest(bidirectional=True), {"readout": "max"}),
    "time first": (lambda: TimeFirst(batch_first=False), {"readout": "last"}),
    "label only": (Label, {}),
    "zero state": (ZeroState, {}),
    "packed": (PackedLast, {"readout": "last"}),
    "packed, bidirectional": (lambda: PackedLast(bidirectional=True), {"readout": "last"}),
    "packed, mean": (Packed, {"readout": "mean"}),
    "gathered by lengths": (GatheredLast, {"readout": "last"}),
    "mean by lengths": (MaskedMean, {"readout": "mean"}),
    "largest by lengths": (MaskedLargest, {"readout": "max"}),
    "mean without padding": (PaddingMean, {"readout": "mean"}),
    "length without padding": (PaddingLengths, {"readout": "last"}),
}


@pytest.mark.parametrize("form", OLD)
def test_the_old_exporter_with_free_axes(tmp_path: Path, form: str) -> None:
    make, wanted = OLD[form]
    model = network(make)
    lengths = isinstance(model, Packed | GatheredLast | MaskedMean | MaskedLargest)
    read, float_model = read_model(export(model, tmp_path / "m.onnx", lengths=lengths))
    assert {name: getattr(read, name) for name in wanted} == wanted
    assert (read.backward is not None) == model.rnn.bidirectional
    assert float_model.layout.length is None
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


UNROLLED: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "cell": (CellLoop, {"activation": "Tanh"}),
    "relu cell": (lambda: CellLoop(nonlinearity="relu", bias=False), {"activation": "Relu"}),
    "one linear": (HandWritten, {"activation": "Tanh"}),
    "sigmoid": (lambda: HandWritten(torch.sigmoid), {"activation": "Sigmoid"}),
    "hard sigmoid": (lambda: HandWritten(nn.functional.hardsigmoid), {"activation": "HardSigmoid"}),
    "clamp": (lambda: HandWritten(lambda x: x.clamp(0, 0.5)), {"ceiling": 0.5, "clip": 0.5}),
    "relu and clamp": (lambda: HandWritten(relu6), {"activation": "Relu", "ceiling": 0.8}),
    "hardtanh": (lambda: HandWritten(lambda x: nn.functional.hardtanh(x, 0, 1)), {"ceiling": 1.0}),
    "two linear": (TwoLinear, {"readout": "mean", "direction": "reverse"}),
}


@pytest.mark.parametrize("form", UNROLLED)
def test_loops_that_the_old_exporter_unrolls(tmp_path: Path, form: str) -> None:
    make, wanted = UNROLLED[form]
    model = network(make)
    read, float_model = read_model(export(model, tmp_path / "m.onnx", dynamic=False, batch=1))
    for name, value in wanted.items():
        assert getattr(read, name) == pytest.approx(value), name
    assert (float_model.layout.length, float_model.layout.batch) == (TIME, 1)
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


PRESENT: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "final state": (Last, {}),
    "relu": (lambda: Last(nonlinearity="relu"), {}),
    "bidirectional": (lambda: Last(bidirectional=True), {}),
    "mean, one question": (Mean, {"dynamic": False, "batch": 1}),
    "largest, three questions": (Largest, {"dynamic": False, "batch": 3}),
    "hand-written": (lambda: HandWritten(relu6), {}),
    "cell": (CellLoop, {"dynamic": False, "batch": 1}),
    "time first": (lambda: TimeFirst(batch_first=False), {}),
}


@pytest.mark.parametrize("form", PRESENT)
def test_the_present_exporter_unrolls_every_loop(tmp_path: Path, form: str) -> None:
    pytest.importorskip("onnxscript", reason="PyTorch's present exporter needs it")
    make, options = PRESENT[form]
    model = network(make)
    read, float_model = read_model(export(model, tmp_path / "m.onnx", dynamo=True, **options))
    assert float_model.layout.length == TIME
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


def test_a_scripted_loop_stays_a_loop_and_is_read(tmp_path: Path) -> None:
    model = network(ScriptedLoop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(model)
    read, _ = read_model(export(scripted, tmp_path / "m.onnx"))
    answers_as_pytorch(model, read, [1, 2, 5, TIME, 19])


def test_questions_of_another_length_are_answered_by_the_recurrence(tmp_path: Path) -> None:
    """A model of fixed length runs in onnxruntime at that length; it says which questions those are."""
    model = network(CellLoop)
    read, float_model = read_model(export(model, tmp_path / "m.onnx", dynamic=False, batch=1))
    rng = np.random.default_rng(0)
    questions = [rng.integers(0, WORDS, n) for n in (3, TIME, 9, TIME)]
    assert [float_model.runs(q) for q in questions] == [False, True, False, True]
    got = float_model.logits(questions)
    np.testing.assert_array_equal(got[[0, 2]], read.logits([questions[0], questions[2]]))
    np.testing.assert_allclose(got, read.logits(questions), atol=1e-4)


def test_a_fixed_length_with_padding_takes_shorter_questions(tmp_path: Path) -> None:
    model = network(PaddingMean)
    _, float_model = read_model(export(model, tmp_path / "m.onnx", dynamic=False, batch=1))
    assert (float_model.layout.length, float_model.layout.padding) == (TIME, 0)
    question = np.array([5, 7, 20])
    assert float_model.runs(question)
    np.testing.assert_allclose(float_model.run([question])[0], logits(model, question), atol=1e-5)


def test_a_softmax_head_gives_logits_not_probabilities(tmp_path: Path) -> None:
    model = network(LastOutput)
    _, float_model = read_model(export(model, tmp_path / "m.onnx"))
    question = np.array([5, 7, 20])
    found: FloatModel = float_model
    spread = found.logits([question])[0]
    assert not np.isclose(spread.sum(), 1)
    np.testing.assert_allclose(
        np.exp(spread) / np.exp(spread).sum(), logits(model, question), atol=1e-5
    )


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
    """A learned initial state."""

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
    "initial state": (Trained, r"node '[^']+': an initial state other than constant zero"),
    "another function": (
        lambda: HandWritten(nn.functional.elu),
        r"node '[^']+': operator Elu is not supported",
    ),
    "signed bounds": (
        lambda: HandWritten(nn.functional.hardtanh),
        r"node '[^']+': bounds values to -1\.\.1, supported are ReLUs",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_networks_are_refused_by_the_name_of_a_node(tmp_path: Path, form: str) -> None:
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
