"""Reading ONNX: every supported form answers as onnxruntime does, and anything else is refused in one clear line."""

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
    "hard sigmoid": {"activation": "HardSigmoid"},
    "sigmoid at the end": {"ending": "Sigmoid"},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_network_as_read_answers_as_onnxruntime_does(tmp_path: Path, form: str) -> None:
    network, model = read_model(save(elman(weights(), **FORMS[form]), tmp_path / "m.onnx"))
    rng = np.random.default_rng(1)
    questions = [rng.integers(0, 21, n) for n in rng.integers(1, 30, 40)]
    wanted, got = model.logits(questions), network.logits(questions)
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
    message = (
        r"inner/m\.onnx: weight 'embedding' is in '\.\./m\.bin', outside the model's own folder$"
    )
    with pytest.raises(ModelFileError, match=message):
        read_model(tmp_path / "inner" / "m.onnx")


@pytest.mark.parametrize("way", ["link", "absolute", "missing"])
def test_weights_are_not_read_through_links_or_from_another_folder(
    tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    onnx.save_model(
        elman(weights()),
        str(folder / "m.onnx"),
        save_as_external_data=True,
        location="m.bin",
        size_threshold=0,
    )
    (folder / "m.bin").rename(tmp_path / "secret.bin")
    wanted = r"'m\.bin', outside the model's own folder"
    if way == "link":
        (folder / "m.bin").symlink_to(tmp_path / "secret.bin")
    elif way == "missing":
        wanted = r"not a valid ONNX file: .*m\.bin"
    else:
        model = onnx.load_model_from_string((folder / "m.onnx").read_bytes())
        for tensor in model.graph.initializer:
            next(e for e in tensor.external_data if e.key == "location").value = str(
                tmp_path / "secret.bin"
            )
        (folder / "m.onnx").write_bytes(model.SerializeToString())
        wanted = r"secret\.bin', outside the model's own folder"
    with pytest.raises(ModelFileError, match=rf"^[^\n]*m\.onnx: [^\n]*{wanted}[^\n]*$"):
        read_model(folder / "m.onnx")


def _without(name: str) -> onnx.ModelProto:
    """Return a model in which a weight is an input."""
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
    w = weights()
    model = elman(w)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w["R"], "W2"))
    model.graph.node[1].output[0] = "Y"
    nodes = [
        helper.make_node("Squeeze", ["Y", "axis1"], ["x2"]),
        helper.make_node("RNN", ["x2", "W2", "R"], ["", "second"], hidden_size=8, name="upper"),
    ]
    for at, node in enumerate(nodes):
        model.graph.node.insert(2 + at, node)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axis1"))
    next(n for n in model.graph.node if list(n.output) == ["h"]).input[0] = "second"
    return model


REFUSED = {
    "LSTM": (_lstm, "node 'rnn': operator LSTM is not supported, only one RNN (Elman) layer is"),
    "two layers": (
        _two_layers,
        "node 'upper': reads hidden states of more than one step (among them node 'rnn'): several layers, skips and"
        " attention are not supported; supported is one Elman layer, in one direction or both, and a linear head",
    ),
    "activation": (
        lambda: elman(weights(), activation="Softplus"),
        "node 'rnn': activation Softplus does not fit a core, where a neuron's spikes follow one line between two"
        " bounds; Relu, Tanh, Sigmoid, HardSigmoid, Softsign, ScaledTanh and Affine fit",
    ),
    "dynamic weight": (
        lambda: _without("W"),
        "node 'rnn': input 'W' is not a constant weight",
    ),
    "dynamic embedding": (
        lambda: _without("embedding"),
        "node 'Gather': embedding 'embedding' is not a constant weight",
    ),
    "NaN": (_nan, "node 'rnn': weight 'R': holds values that are not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unsupported_network_is_refused_naming_the_node(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    path = save(make(), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_model(path)


@pytest.mark.parametrize("data", [b"", b"not onnx at all", b"\x00" * 100])
def test_a_file_that_is_not_onnx_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"^[^\n]*m\.onnx: not a valid ONNX file[^\n]*$"):
        read_model(path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"Who wrote Hamlet?\n", "text"),
        (
            b"\x80\x04\x95" + b"\x00" * 20,
            "a Python pickle, which is never opened because it can run code",
        ),
        (b"\x89HDF\r\n\x1a\n" + b"keras_version", "Keras weights (HDF5)"),
        (b'{"model": {}, "pre_tokenizer": null}', "a tokenizer (JSON of the tokenizers library)"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    export = "export the network to ONNX (torch.onnx.export, tf2onnx)"
    assert str(caught.value) == f"{path}: not a valid ONNX file, but {kind}: {export}"


def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path) -> None:
    data = elman(weights()).SerializeToString()
    path = tmp_path / "m.onnx"
    for size in range(1, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(ModelFileError, match=r"^[^\n]*m\.onnx: [^\n]*$"):
            read_model(path)


def test_a_reading_that_onnxruntime_contradicts_is_refused(tmp_path: Path) -> None:
    """The state at the last time of a batch is that of the last word only if the question has no padding."""
    model = elman(weights())
    rnn, squeeze = model.graph.node[1], model.graph.node[2]
    rnn.output[0] = "Y"
    taken = helper.make_node("Gather", ["Y", "end"], ["at_end"], axis=0)
    model.graph.node.insert(2, taken)
    squeeze.input[0] = "at_end"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(-1), "end"))
    path = save(model, tmp_path / "m.onnx")
    message = r"m\.onnx: the network as read differs from onnxruntime by [\d.]+ on random sequences, limit 0\.0001$"
    with pytest.raises(ModelFileError, match=message):
        read_model(path)


def test_a_model_that_onnxruntime_cannot_run_is_refused(tmp_path: Path) -> None:
    """ONNX defines the operator in double precision, but onnxruntime does not implement it."""
    w = {name: array.astype(np.float64) for name, array in weights().items()}
    model = elman(w)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    with pytest.raises(ModelFileError, match=r"^[^\n]*m\.onnx: onnxruntime cannot run it: [^\n]*$"):
        read_model(save(model, tmp_path / "m.onnx"))
