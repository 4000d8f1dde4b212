"""Inputs beside the word ids: masks, lengths, token types and initial states, and ids of odd shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import elman, save, weights
from onnx import TensorProto, helper, numpy_helper

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from pathlib import Path

FLOAT, INT32, INT64, BOOL = (
    TensorProto.FLOAT,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
)


def given(name: str, kind: int, axes: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, axes)


def with_state(
    axes: list[int | str], *, ids: list[int | str] | None = None, bidirectional: bool = False
) -> onnx.ModelProto:
    """Return a network whose initial state is an input, and whose final state is its second output."""
    w = weights()
    if bidirectional:
        for name in ("W", "R", "B"):
            w[name] = np.concatenate([w[name], w[name][:, ::-1]])
        w["C"] = np.concatenate([w["C"], w["C"]], axis=1)
    model = elman(w, lengths=False)
    graph = model.graph
    rnn = graph.node[1]
    rnn.input.extend(["", "h0"])
    if bidirectional:
        for a in rnn.attribute:
            if a.name == "direction":
                a.s = b"bidirectional"
            elif a.name == "activations":
                a.strings[:] = [b"Tanh", b"Tanh"]
        graph.initializer.append(numpy_helper.from_array(np.array([0, 16]), "flat"))
        graph.node[2].CopyFrom(helper.make_node("Transpose", ["Y_h"], ["turned"], perm=[1, 0, 2]))
        graph.node.insert(3, helper.make_node("Reshape", ["turned", "flat"], ["h"]))
    del graph.input[:]
    graph.input.extend([given("ids", INT64, ids or ["time", "batch"]), given("h0", FLOAT, axes)])
    graph.output.append(given("Y_h", FLOAT, axes))
    return model


def masked_mean(kind: int, *, ignored: bool = False, name: str = "mask") -> onnx.ModelProto:
    """Return a network with a mask, (batch, time), that reads the mean over the words that it marks."""
    model = elman(weights(), lengths=False, batch_first=True)
    graph = model.graph
    rnn = next(n for n in graph.node if n.op_type == "RNN")
    rnn.output[:] = ["Y", "Y_h"]
    at = list(graph.node).index(rnn) + 1
    for key, value in {"axis1": 1, "axis2": 2}.items():
        graph.initializer.append(numpy_helper.from_array(np.array([value]), key))
    nodes = [
        helper.make_node("Squeeze", ["Y", "axis1"], ["states"]),  # (time, batch, units)
        helper.make_node("Cast", [name], ["number"], to=FLOAT),
        helper.make_node("Transpose", ["number"], ["by_time"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["by_time", "axis2"], ["marked"]),
        helper.make_node("Mul", ["states", "marked"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["marked", "axis"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["mean"]),
    ]
    if not ignored:
        for offset, node in enumerate(nodes):
            graph.node.insert(at + offset, node)
        gemm = next(n for n in graph.node if n.op_type == "Gemm")
        gemm.input[0] = "mean"
        graph.node.remove(next(n for n in graph.node if list(n.output) == ["h"]))
    graph.input.append(given(name, kind, ["batch", "time"]))
    return model


def marked(name: str, kind: int, *, marks: float | None = None) -> onnx.ModelProto:
    """Return a network that adds `marks` times an input's number, or the row of a table that it names, to each word."""
    model = elman(weights(), lengths=False)
    graph = model.graph
    graph.node[0].output[0] = "word"
    table = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
    if marks is None:
        graph.initializer.append(numpy_helper.from_array(table, "table"))
        nodes = [helper.make_node("Gather", ["table", name], ["marks"])]
    else:
        graph.initializer.append(numpy_helper.from_array(np.array([2]), "axis2"))
        graph.initializer.append(numpy_helper.from_array(table[0] * np.float32(marks), "table"))
        nodes = [
            helper.make_node("Cast", [name], ["number"], to=FLOAT),
            helper.make_node("Unsqueeze", ["number", "axis2"], ["column"]),
            helper.make_node("Mul", ["column", "table"], ["marks"]),
        ]
    for at, node in enumerate([*nodes, helper.make_node("Add", ["word", "marks"], ["x"])]):
        graph.node.insert(1 + at, node)
    graph.input.append(given(name, kind, ["time", "batch"]))
    return model


def padding_mask() -> onnx.ModelProto:
    """Return a masked mean whose mask is true for padding."""
    model = masked_mean(BOOL, name="padding_mask")
    graph = model.graph
    cast = next(n for n in graph.node if n.op_type == "Cast")
    cast.input[0] = "words"
    graph.node.insert(0, helper.make_node("Not", ["padding_mask"], ["words"]))
    return model


def aged(axes: list[int | str], ids: list[int | str]) -> onnx.ModelProto:
    """Return a network that adds a number of the question to its logits."""
    model = elman(weights(), lengths=False)
    graph = model.graph
    graph.node[-1].output[0] = "z"
    graph.node.append(helper.make_node("Cast", ["age"], ["number"], to=FLOAT))
    graph.node.append(helper.make_node("Mul", ["number", "slope"], ["shift"]))
    graph.node.append(helper.make_node("Add", ["z", "shift"], ["logits"]))
    graph.initializer.append(numpy_helper.from_array(np.arange(6, dtype=np.float32), "slope"))
    graph.input[0].CopyFrom(given("ids", INT64, ids))
    graph.input.append(given("age", INT64, axes))
    return model


def typed() -> onnx.ModelProto:
    """Return a network that adds a vector of the token's type to each word vector."""
    model = elman(weights(), lengths=False)
    graph = model.graph
    table = np.random.default_rng(5).normal(size=(2, 6)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(table, "types"))
    graph.node[0].output[0] = "word"
    graph.node.insert(1, helper.make_node("Gather", ["types", "token_type_ids"], ["type"]))
    graph.node.insert(2, helper.make_node("Add", ["word", "type"], ["x"]))
    graph.input.insert(0, given("token_type_ids", INT64, ["time", "batch"]))
    return model


def reshaped(axes: list[int | str], squeezed: int) -> onnx.ModelProto:
    """Return a network whose ids have an axis of size 1."""
    model = elman(weights(), lengths=False, batch_first=True)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([squeezed]), "one"))
    graph.node[0].input[0] = "flat"
    graph.node.insert(0, helper.make_node("Squeeze", ["ids", "one"], ["flat"]))
    graph.input[0].CopyFrom(given("ids", INT64, axes))
    return model


def as_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network that takes its word ids as float, as Keras has it."""
    graph = model.graph
    graph.node[0].input[0] = "whole"
    graph.node.insert(0, helper.make_node("Cast", ["ids"], ["whole"], to=INT64))
    graph.input[0].type.tensor_type.elem_type = FLOAT
    return model


def lengths_of_rank_2(kind: int = INT32) -> onnx.ModelProto:
    model = elman(weights())
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    graph.node[1].input[4] = "counts"
    graph.node.insert(0, helper.make_node("Cast", ["numbers"], ["counts"], to=INT32))
    graph.node.insert(0, helper.make_node("Squeeze", ["lengths", "one"], ["numbers"]))
    graph.input[1].CopyFrom(given("lengths", kind, ["batch", 1]))
    return model


FORMS: dict[str, tuple[onnx.ModelProto, bool]] = {
    # the model, and whether its batches may hold questions of different lengths
    "state": (with_state([1, "batch", 8]), False),
    "state, all axes free": (with_state(["layers", "batch", "units"]), False),
    "state, one question": (with_state([1, 1, 8], ids=["time", 1]), False),
    "state, one question of six words": (with_state([1, 1, 8], ids=[6, 1]), False),
    "state of both directions": (with_state([2, "batch", 8], bidirectional=True), False),
    "mask": (masked_mean(INT64), True),
    "mask, int32": (masked_mean(INT32), True),
    "mask, bool": (masked_mean(BOOL), True),
    "mask, float": (masked_mean(FLOAT), True),
    "mask with another name": (masked_mean(INT64, name="attention"), True),
    "mask that is ignored": (masked_mean(INT64, ignored=True), False),
    "token types": (typed(), False),
    "ids (batch, 1, time)": (reshaped(["batch", 1, "time"], 1), False),
    "ids (batch, time, 1)": (reshaped(["batch", "time", 1], 2), False),
    "ids (1, batch, time)": (reshaped([1, "batch", "time"], 0), False),
    "ids (batch, time, 1), float": (as_float(reshaped(["batch", "time", 1], 2)), False),
    "mask that is true for padding": (padding_mask(), True),
    "lengths (batch, 1)": (lengths_of_rank_2(), True),
    "lengths (batch, 1), float": (lengths_of_rank_2(FLOAT), True),
}


def direct(model: onnx.ModelProto, question: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the logits of the unchanged file for one question, with inputs made by hand."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feed: dict[str, Any] = {}
    n = len(question)
    types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
    for i in session.get_inputs():
        sizes = {"time": n, "batch": 1, "layers": 1, "units": 8}
        shape = [s if isinstance(s, int) else sizes[s] for s in i.shape]
        if i.name == "h0":
            value = np.zeros(shape)
        elif i.name == "lengths":
            value = np.full(shape, n)
        else:
            zeros = {"token_type_ids": np.zeros(n), "padding_mask": np.zeros(n)}
            value = ({"ids": question} | zeros).get(i.name, np.ones(n))
        feed[i.name] = value.reshape(shape).astype(types.get(i.type, np.float32))
    return np.asarray(session.run(["logits"], feed)[0]).reshape(-1)


@pytest.mark.parametrize("form", FORMS)
def test_inputs_beside_the_ids_are_fed_by_their_purpose(tmp_path: Path, form: str) -> None:
    model, mixed = FORMS[form]
    network, float_model = read_model(save(model, tmp_path / "m.onnx"))
    rng = np.random.default_rng(3)
    lengths = [float_model.layout.length] if float_model.layout.length else [1, 6, 2, 30]
    questions = [rng.integers(1, 21, n) for n in lengths]
    wanted = np.array([direct(model, q) for q in questions])
    np.testing.assert_allclose(float_model.run(questions), wanted, atol=1e-5)
    np.testing.assert_allclose(network.logits(questions), wanted, atol=1e-4)
    assert (float_model.layout.padding is not None) == mixed


def test_features_that_the_head_reads_are_not_an_initial_state(tmp_path: Path) -> None:
    model = elman(weights(), lengths=False)
    graph = model.graph
    graph.node.insert(3, helper.make_node("Add", ["h", "features"], ["both"]))
    graph.node[4].input[0] = "both"
    graph.input.append(given("features", FLOAT, ["batch", 8]))
    with pytest.raises(
        ModelFileError, match=r"m\.onnx: head: reads the input 'features'; supported"
    ):
        read_model(save(model, tmp_path / "m.onnx"))


def test_features_that_every_step_reads_are_not_an_initial_state(tmp_path: Path) -> None:
    model = elman(weights(), lengths=False)
    graph = model.graph
    graph.node[0].output[0] = "word"
    graph.node.insert(1, helper.make_node("Add", ["word", "features"], ["x"]))
    graph.input.append(given("features", FLOAT, ["batch", 6]))
    message = r"m\.onnx: node 'rnn': reads the input 'features', which is not its initial state; supported"
    with pytest.raises(ModelFileError, match=message):
        read_model(save(model, tmp_path / "m.onnx"))


TAKEN = (
    r"m\.onnx: input '{}': was taken for {}, but leaves out no word; if it is that, name it '{}', otherwise export the"
    r" model without it$"
)


@pytest.mark.parametrize(("kind", "marks"), [(INT64, None), (INT64, 0.5), (FLOAT, 0.5)])
def test_a_number_for_each_word_that_is_no_mask_is_refused(
    tmp_path: Path, kind: int, marks: float | None
) -> None:
    """Tags of words, for instance: the answers for tag 1 are not those for other tags."""
    message = TAKEN.format("tags", "a mask, 1 for each word", "attention_mask")
    with pytest.raises(ModelFileError, match=message):
        read_model(save(marked("tags", kind, marks=marks), tmp_path / "m.onnx"))


def test_a_number_for_each_word_beside_a_mask_is_refused_as_well(tmp_path: Path) -> None:
    model = masked_mean(INT64)
    graph = model.graph
    table = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(table, "table"))
    graph.node[1].output[0] = "word"
    for at, node in enumerate(
        [
            helper.make_node("Transpose", ["tags"], ["tags_t"], perm=[1, 0]),
            helper.make_node("Gather", ["table", "tags_t"], ["tag"]),
            helper.make_node("Add", ["word", "tag"], ["x"]),
        ]
    ):
        graph.node.insert(2 + at, node)
    graph.input.append(given("tags", INT64, ["batch", "time"]))
    message = TAKEN.format("tags", "a mask, 1 for each word", "attention_mask")
    with pytest.raises(ModelFileError, match=message):
        read_model(save(model, tmp_path / "m.onnx"))


def test_a_position_embedding_of_an_input_is_refused(tmp_path: Path) -> None:
    message = r"m\.onnx: node 'rnn': its bias changes from word to word, as a position embedding makes it; supported"
    with pytest.raises(ModelFileError, match=message):
        read_model(save(marked("position_ids", INT64), tmp_path / "m.onnx"))


def test_positions_that_change_nothing_are_fed(tmp_path: Path) -> None:
    model = marked("position_ids", INT64, marks=0)
    network, float_model = read_model(save(model, tmp_path / "m.onnx"))
    questions = [np.array([4, 7, 9]), np.array([2])]
    np.testing.assert_allclose(float_model.run(questions), network.logits(questions), atol=1e-4)


def test_a_number_of_a_question_that_is_no_length_is_refused(tmp_path: Path) -> None:
    free = save(aged(["batch", 1], ["time", "batch"]), tmp_path / "m.onnx")
    with pytest.raises(
        ModelFileError, match=r"m\.onnx: head: weighs the states otherwise in questions of"
    ):
        read_model(free)
    # at one length alone, a number that is always the same looks like a part of the bias
    fixed = save(aged([1], [6, 1]), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=TAKEN.format("age", "the number of words", "lengths")):
        read_model(fixed)


def test_an_input_without_a_known_purpose_is_named(tmp_path: Path) -> None:
    model = elman(weights(), lengths=False)
    model.graph.input.append(given("image", FLOAT, ["batch", 3, 8, 8]))
    message = (
        r"m\.onnx: input 'image' is not a constant weight, and neither word ids, lengths, a mask"
        r" nor an initial state$"
    )
    with pytest.raises(ModelFileError, match=message):
        read_model(save(model, tmp_path / "m.onnx"))
