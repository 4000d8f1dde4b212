"""Networks as PyTorch users write and export them: they are read, and answer as onnxruntime and PyTorch do."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn
from torch_networks import (
    TIME,
    WORDS,
    CellLoop,
    GatheredLast,
    HandWritten,
    Label,
    Largest,
    Last,
    LastOutput,
    MaskedLargest,
    MaskedMean,
    Mean,
    Packed,
    PackedLast,
    PaddingLengths,
    PaddingMean,
    ScriptedLoop,
    TimeFirst,
    TwoLinear,
    ZeroState,
    answers_as_pytorch,
    export,
    logits,
    network,
    relu6,
)

from spikewatch.convert.read import FloatModel, read_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    "signed bounds": (
        lambda: HandWritten(nn.functional.hardtanh),
        {"activation": "Affine", "clip": 1},
    ),
    "bounds before tanh": (
        lambda: HandWritten(lambda x: torch.tanh(x.clamp(-0.4, 0.4))),
        {"activation": "Tanh", "clip": 0.4},
    ),
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
    """A model of fixed length runs in onnxruntime at that length only, and `can_run` says for which questions."""
    model = network(CellLoop)
    read, float_model = read_model(export(model, tmp_path / "m.onnx", dynamic=False, batch=1))
    rng = np.random.default_rng(0)
    questions = [rng.integers(0, WORDS, n) for n in (3, TIME, 9, TIME)]
    assert [float_model.can_run(q) for q in questions] == [False, True, False, True]
    got = float_model.logits(questions)
    np.testing.assert_array_equal(got[[0, 2]], read.logits([questions[0], questions[2]]))
    np.testing.assert_allclose(got, read.logits(questions), atol=1e-4)


def test_a_fixed_length_with_padding_takes_shorter_questions(tmp_path: Path) -> None:
    model = network(PaddingMean)
    _, float_model = read_model(export(model, tmp_path / "m.onnx", dynamic=False, batch=1))
    assert (float_model.layout.length, float_model.layout.padding) == (TIME, 0)
    question = np.array([5, 7, 20])
    assert float_model.can_run(question)
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


@pytest.mark.parametrize(("make", "padding"), [(PaddingMean, 0), (PaddingLengths, 1)])
def test_an_id_that_is_padding_at_the_end_only_is_unusable(
    tmp_path: Path, make: type[Last], padding: int
) -> None:
    _, float_model = read_model(export(network(make), tmp_path / "m.onnx"))
    assert float_model.skipped == frozenset()
    assert float_model.unusable == {
        padding: "which the model takes for padding at the end of a question only"
    }
