"""Reading ONNX: every form gives onnxruntime's answers, everything else one clear line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from networks import elman, save, weights
from onnx import helper

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from pathlib import Path

FORMS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "relu": {"activation": "Relu"},
    "relu with clip": {"activation": "Relu", "clip": 0.7},
    "sigmoid": {"activation": "Sigmoid"},
    "reverse": {"direction": "reverse"},
    "no lengths": {"lengths": False},
    "batch first": {"batch_first": True},
    "MatMul and Add": {"head": "MatMul"},
    "Softmax": {"ending": "Softmax"},
    "LogSoftmax": {"ending": "LogSoftmax"},
}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_read_answers_as_onnxruntime(tmp_path: Path, form: str) -> None:
    network, model = read_model(save(elman(weights(), **FORMS[form]), tmp_path / "m.onnx"))
    rng = np.random.default_rng(1)
    questions = [rng.integers(0, 21, n) for n in rng.integers(1, 30, 40)]
    wanted, got = model.logits(questions), network.logits(questions)
    np.testing.assert_array_equal(wanted.argmax(axis=1), got.argmax(axis=1))
    if "ending" not in FORMS[form]:
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_words_that_share_a_vector_share_its_row(tmp_path: Path) -> None:
    w = weights()
    w["rows"] = np.array([5, 5, 0, 20], dtype=np.int64)
    model = elman(w)
    model.graph.node[0].input[1] = "row"
    model.graph.node.insert(0, helper.make_node("Gather", ["rows", "ids"], ["row"]))
    network, _ = read_model(save(model, tmp_path / "m.onnx"))
    assert network.rows.tolist() == [5, 5, 0, 20]
    np.testing.assert_array_equal(network.embedding, w["embedding"].astype(np.float64))


def test_weights_outside_the_file_are_read_from_its_folder(tmp_path: Path) -> None:
    onnx.save_model(
        elman(weights()),
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="m.bin",
        size_threshold=0,
    )
    network, model = read_model(tmp_path / "m.onnx")
    np.testing.assert_array_equal(network.C, weights()["C"].astype(np.float64))
    read_back = onnx.load_model_from_string(model.data)
    assert all(i.data_location != onnx.TensorProto.EXTERNAL for i in read_back.graph.initializer)


def test_weights_in_another_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    onnx.save_model(
        elman(weights()),
        str(tmp_path / "inner" / "m.onnx"),
        save_as_external_data=True,
        location="m.bin",
        size_threshold=0,
    )
    data = (tmp_path / "inner" / "m.onnx").read_bytes()
    (tmp_path / "inner" / "m.bin").rename(tmp_path / "m.bin")
    model = onnx.load_model_from_string(data)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../m.bin"
    (tmp_path / "inner" / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"inner/m\.onnx: not a valid ONNX file: "):
        read_model(tmp_path / "inner" / "m.onnx")


def _without(name: str) -> onnx.ModelProto:
    """Make a weight an input of the model."""
    model = elman(weights())
    tensor = next(i for i in model.graph.initializer if i.name == name)
    model.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    model.graph.initializer.remove(tensor)
    return model


def _nan() -> onnx.ModelProto:
    w = weights()
    w["R"][0, 2, 3] = np.nan
    return elman(w)


def _lstm() -> onnx.ModelProto:
    w = weights()
    w |= {"W": np.repeat(w["W"], 4, 1), "R": np.repeat(w["R"], 4, 1), "B": np.repeat(w["B"], 4, 1)}
    return elman(w, operator="LSTM")


def _two_layers() -> onnx.ModelProto:
    model = elman(weights())
    twin = helper.make_node("RNN", ["x", "W", "R", "B"], ["", "Y_h2"], hidden_size=8, name="second")
    model.graph.node.insert(2, twin)
    return model


def _bidirectional() -> onnx.ModelProto:
    w = weights()
    w |= {"W": np.repeat(w["W"], 2, 0), "R": np.repeat(w["R"], 2, 0), "B": np.repeat(w["B"], 2, 0)}
    model = elman(w, direction="bidirectional")
    next(n for n in model.graph.node if n.op_type == "RNN").attribute[1].CopyFrom(
        helper.make_attribute("activations", ["Tanh", "Tanh"])
    )
    return model


REFUSED = {
    "LSTM": (_lstm, "node 'rnn': operator LSTM is not supported, only one RNN (Elman) layer is"),
    "two layers": (_two_layers, "2 RNN nodes, expected exactly one Elman layer"),
    "activation": (
        lambda: elman(weights(), activation="Softsign"),
        "node 'rnn': activation 'Softsign' is not supported, Relu, Tanh, Sigmoid are",
    ),
    "dynamic weight": (lambda: _without("W"), "node 'rnn': input 'W' is not a constant weight"),
    "dynamic embedding": (
        lambda: _without("embedding"),
        "node 'rnn': its input is not an embedding (Gather of a constant by token ids)",
    ),
    "NaN": (_nan, "weight 'R': holds values that are not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_by_name(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    path = save(make(), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_model(path)


@pytest.mark.parametrize("data", [b"", b"not onnx at all", b"\x00" * 100])
def test_files_that_are_not_onnx_are_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(
        ModelFileError, match=r"^[^\n]*m\.onnx: (not a valid ONNX file|0 RNN nodes)[^\n]*$"
    ):
        read_model(path)


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    data = elman(weights()).SerializeToString()
    path = tmp_path / "m.onnx"
    for size in range(1, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(ModelFileError, match=r"^[^\n]*m\.onnx: [^\n]*$"):
            read_model(path)


def test_a_reading_that_onnxruntime_contradicts_is_refused(tmp_path: Path) -> None:
    """Casts count as plumbing, but these two drop the fraction of every hidden state."""
    model = elman(weights())
    head = next(node for node in model.graph.node if node.op_type == "Gemm")
    head.input[0] = "whole"
    casts = [
        helper.make_node("Cast", ["h"], ["int"], to=onnx.TensorProto.INT32),
        helper.make_node("Cast", ["int"], ["whole"], to=onnx.TensorProto.FLOAT),
    ]
    for node in casts:
        model.graph.node.insert(len(model.graph.node) - 1, node)
    path = save(model, tmp_path / "m.onnx")
    message = r"m\.onnx: the network as read differs from onnxruntime by [\d.]+ on random sequences, limit 0\.0001$"
    with pytest.raises(ModelFileError, match=message):
        read_model(path)


def test_a_model_that_onnxruntime_cannot_run_is_refused(tmp_path: Path) -> None:
    model = elman(weights())
    head = next(node for node in model.graph.node if node.op_type == "Gemm")
    head.input[0] = "swapped"
    swap = helper.make_node("Transpose", ["h"], ["swapped"], perm=[1, 0])
    model.graph.node.insert(len(model.graph.node) - 1, swap)
    with pytest.raises(ModelFileError, match=r"^[^\n]*m\.onnx: onnxruntime cannot run it: [^\n]*$"):
        read_model(save(model, tmp_path / "m.onnx"))
