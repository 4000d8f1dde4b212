"""Word ids that a model skips, or takes for padding: found by asking onnxruntime, and part of what is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import elman, save, weights
from onnx import TensorProto, helper, numpy_helper

from spikewatch.convert.read import read_model

KERAS = Path(__file__).parents[1] / "keras"


def compared(operator: str, number: int, on_match: str) -> onnx.ModelProto:
    """Return a network that compares every id with a number, and multiplies the word vectors that match."""
    model = elman(weights(), lengths=False)
    graph = model.graph
    factor = {"zero": 0.0, "same": 1.0, "double": 2.0}[on_match]
    for name, value in {
        "number": np.array(number),
        "match": np.float32(factor),
        "other": np.float32(1),
        "axis2": np.array([2]),
    }.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    graph.node[0].output[0] = "word"
    added = [
        helper.make_node(operator, ["ids", "number"], ["matches"]),
        helper.make_node("Where", ["matches", "match", "other"], ["factor"]),
        helper.make_node("Unsqueeze", ["factor", "axis2"], ["factors"]),
        helper.make_node("Mul", ["word", "factors"], ["x"]),
    ]
    for at, node in enumerate(added):
        graph.node.insert(1 + at, node)
    return model


def masked_loop(state: str = "h") -> onnx.ModelProto:
    """Return a Scan over the words that keeps its state where an id is below 2, as people write masks by hand.

    With `state` "zero" it sets its state to 0 there.
    """
    w = weights()
    n = w["R"].shape[2]
    arrays = {
        "embedding": w["embedding"],
        "W": np.ascontiguousarray(w["W"][0].T),
        "U": np.ascontiguousarray(w["R"][0].T),
        "b": w["B"][0, :n] + w["B"][0, n:],
        "C": np.ascontiguousarray(w["C"].T),
        "two": np.array(2),
        "axis1": np.array([1]),
        "zero": np.zeros((1, n), dtype=np.float32),
        "n": np.array([n]),
    }
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["embedding", "id"], ["x"]),
            helper.make_node("MatMul", ["x", "W"], ["wx"]),
            helper.make_node("MatMul", ["h", "U"], ["uh"]),
            helper.make_node("Add", ["wx", "uh"], ["sum"]),
            helper.make_node("Add", ["sum", "b"], ["pre"]),
            helper.make_node("Tanh", ["pre"], ["new"]),
            helper.make_node("Less", ["id", "two"], ["skip"]),
            helper.make_node("Unsqueeze", ["skip", "axis1"], ["skips"]),
            helper.make_node("Where", ["skips", state, "new"], ["next"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("h", TensorProto.FLOAT, ["batch", n]),
            helper.make_tensor_value_info("id", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("next", TensorProto.FLOAT, ["batch", n])],
    )
    nodes = [
        helper.make_node("Shape", ["ids"], ["batch"], start=1),
        helper.make_node("Concat", ["batch", "n"], ["shape"], axis=0),
        helper.make_node("Expand", ["zero", "shape"], ["h0"]),
        helper.make_node("Scan", ["h0", "ids"], ["last"], body=body, num_scan_inputs=1),
        helper.make_node("MatMul", ["last", "C"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "masked",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["time", "batch"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", w["C"].shape[0]])],
        [numpy_helper.from_array(a, name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_an_id_that_keras_masks_is_skipped() -> None:
    network, model = read_model(KERAS / "mask.onnx")
    assert (model.skipped, model.unusable) == ({0}, {})
    given = np.array([0, 5, 0, 7, 3, 0])
    np.testing.assert_allclose(model.run([given]), network.logits([given[given != 0]]), atol=1e-4)


def test_ids_that_a_hand_written_loop_skips_are_found(tmp_path: Path) -> None:
    _, model = read_model(save(masked_loop(), tmp_path / "m.onnx"))
    assert (model.skipped, model.unusable) == ({0, 1}, {})


@pytest.mark.parametrize("operator", ["Equal", "LessOrEqual"])
def test_an_id_that_the_graph_compares_with_may_be_a_word_all_the_same(
    tmp_path: Path, operator: str
) -> None:
    _, model = read_model(save(compared(operator, 3, "same"), tmp_path / "m.onnx"))
    assert (model.skipped, model.unusable) == (frozenset(), {})


@pytest.mark.parametrize("on_match", ["zero", "double"])
def test_an_id_whose_vector_the_graph_changes_is_a_word_with_that_vector(
    tmp_path: Path, on_match: str
) -> None:
    """A word vector of zeros is still a step of the recurrence."""
    network, model = read_model(save(compared("Equal", 3, on_match), tmp_path / "m.onnx"))
    assert (model.skipped, model.unusable) == (frozenset(), {})
    questions = [np.array([3]), np.array([5, 3, 7]), np.array([3, 3, 1])]
    np.testing.assert_allclose(network.logits(questions), model.run(questions), atol=1e-5)


def test_an_id_that_is_neither_a_word_nor_skipped_is_unusable(tmp_path: Path) -> None:
    _, model = read_model(save(masked_loop("zero"), tmp_path / "m.onnx"))
    assert model.skipped == frozenset()
    assert model.unusable == dict.fromkeys((0, 1), "which the model treats in a way of its own")
