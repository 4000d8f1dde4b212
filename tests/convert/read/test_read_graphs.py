"""Graphs built with onnx.helper, as people and tools other than PyTorch and Keras write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import elman, save, weights
from onnx import TensorProto, helper, numpy_helper

from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def model(
    nodes: list[onnx.NodeProto],
    arrays: dict[str, NDArray[Any]],
    *,
    shape: tuple[int | str, ...] = ("batch", "time"),
    opset: int = 17,
) -> onnx.ModelProto:
    """Build a graph that takes word ids and returns logits."""
    graph = helper.make_graph(
        nodes,
        "elman",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None] * len(shape))],
        [numpy_helper.from_array(a, name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def scan() -> onnx.ModelProto:
    """Build a Scan over time, the form of tf2onnx before it wrote loops, with a mean of its outputs."""
    w = weights()
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "W_t"], ["from_x"]),
            helper.make_node("MatMul", ["before", "R_t"], ["from_h"]),
            helper.make_node("Add", ["from_x", "from_h"], ["sum"]),
            helper.make_node("Add", ["sum", "b"], ["pre"]),
            helper.make_node("Tanh", ["pre"], ["after"]),
            helper.make_node("Identity", ["after"], ["out"]),
        ],
        "cell",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, None])
            for n in ("before", "x")
        ],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, None])
            for n in ("after", "out")
        ],
    )
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["x_all"]),
        helper.make_node("Shape", ["ids"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["batch"]),
        helper.make_node("Concat", ["batch", "n"], ["state_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["state_shape"], ["start"]),
        helper.make_node(
            "Scan",
            ["start", "x_all"],
            ["end", "all"],
            body=body,
            num_scan_inputs=1,
            scan_input_axes=[1],
            scan_output_axes=[1],
            scan_input_directions=[1],
            scan_output_directions=[1],
        ),
        helper.make_node("ReduceMean", ["all"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["mean", "C", "c"], ["logits"], transB=1),
    ]
    arrays = {
        "embedding": w["embedding"],
        "W_t": w["W"][0].T.copy(),
        "R_t": w["R"][0].T.copy(),
        "b": w["B"][0, :8],
        "C": w["C"],
        "c": w["c"],
        "zero": np.array([0]),
        "one": np.array([1]),
        "n": np.array([8]),
    }
    return model(nodes, arrays)


def batch_first_node() -> onnx.ModelProto:
    """Build an RNN node of layout 1, which onnxruntime itself does not run."""
    w = weights()
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["x"]),
        helper.make_node("RNN", ["x", "W", "R", "B"], ["Y", ""], hidden_size=8, layout=1),
        helper.make_node("Squeeze", ["Y", "two"], ["states"]),
        helper.make_node("ReduceMax", ["states"], ["largest"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["largest", "C", "c"], ["logits"], transB=1),
    ]
    return model(nodes, w | {"two": np.array([2])})


def one_question() -> onnx.ModelProto:
    """Build a graph without a batch axis: (time,) in, (classes,) out."""
    w = weights()
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "one"], ["x"]),
        helper.make_node("RNN", ["x", "W", "R", "B"], ["", "h"], hidden_size=8),
        helper.make_node("Reshape", ["h", "n"], ["state"]),
        helper.make_node("MatMul", ["C", "state"], ["scores"]),
        helper.make_node("Add", ["scores", "c"], ["logits"]),
    ]
    return model(nodes, w | {"one": np.array([1]), "n": np.array([8])}, shape=("time",))


def old_opset() -> onnx.ModelProto:
    """Build a graph of opset 11, where axes are attributes, with weights that it dequantises."""
    w = weights()
    nodes = [
        helper.make_node("Cast", ["whole"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "step"], ["embedding"]),
        helper.make_node("Transpose", ["ids"], ["by_time"], perm=[1, 0]),
        helper.make_node("Gather", ["embedding", "by_time"], ["x"]),
        helper.make_node("RNN", ["x", "W", "R", "B"], ["Y", "h"], hidden_size=8),
        helper.make_node("Squeeze", ["h"], ["state"], axes=[0]),
        helper.make_node("Dropout", ["state"], ["kept"], ratio=0.5),
        helper.make_node("MatMul", ["kept", "C_t"], ["scores"]),
        helper.make_node("Add", ["c", "scores"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["logits"], axis=1),
    ]
    arrays = {name: w[name] for name in ("W", "R", "B", "c")}
    arrays["whole"] = np.round(w["embedding"] * 50).astype(np.int8)
    arrays["step"] = np.array(0.02, dtype=np.float32)
    arrays["C_t"] = w["C"].T.copy()
    return model(nodes, arrays, opset=11)


def two_nodes() -> onnx.ModelProto:
    """Build a graph with an RNN node for each direction, with different functions bounded by `clip`."""
    w, v = weights(), weights(1)
    arrays = w | {f"{n}2": v[n] for n in ("W", "R", "B")} | {"zero": np.array([0])}
    arrays["C"] = np.concatenate([w["C"], v["C"]], axis=1)
    nodes = [
        helper.make_node("Transpose", ["ids"], ["by_time"], perm=[1, 0]),
        helper.make_node("Gather", ["embedding", "by_time"], ["x"]),
        helper.make_node(
            "RNN", ["x", "W", "R", "B"], ["", "h1"], hidden_size=8, activations=["Relu"], clip=0.9
        ),
        helper.make_node(
            "RNN", ["x", "W2", "R2", "B2"], ["", "h2"], hidden_size=8, direction="reverse", clip=1.1
        ),
        helper.make_node("Concat", ["h1", "h2"], ["h"], axis=2),
        helper.make_node("Squeeze", ["h", "zero"], ["state"]),
        helper.make_node("Gemm", ["state", "C", "c"], ["logits"], transB=1),
    ]
    return model(nodes, arrays)


FORMS: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, Any]]] = {
    "Scan": (scan, {"readout": "mean", "direction": "reverse"}),
    "layout 1": (batch_first_node, {"readout": "max"}),
    "one question": (one_question, {"readout": "last"}),
    "opset 11": (old_opset, {"activation": "Tanh"}),
    "two nodes": (two_nodes, {"activation": "Relu", "ceiling": pytest.approx(0.9)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_network_as_read_answers_as_onnxruntime_does(tmp_path: Path, form: str) -> None:
    make, wanted = FORMS[form]
    network, float_model = read_model(save(make(), tmp_path / "m.onnx"))
    assert {name: getattr(network, name) for name in wanted} == wanted
    rng = np.random.default_rng(1)
    questions = [rng.integers(0, 21, n) for n in rng.integers(1, 30, 40)]
    assert all(float_model.can_run(q) for q in questions)
    np.testing.assert_allclose(network.logits(questions), float_model.logits(questions), atol=1e-4)


def test_the_second_direction_of_two_nodes_has_its_own_function(tmp_path: Path) -> None:
    network, _ = read_model(save(two_nodes(), tmp_path / "m.onnx"))
    assert network.backward is not None
    assert (network.backward.activation, network.backward.direction) == ("Tanh", "reverse")
    assert network.backward.clip == pytest.approx(1.1)
    np.testing.assert_array_equal(network.C[:, 8:], network.backward.C)


@pytest.mark.parametrize("form", ["Scan", "opset 11", "two nodes"])
def test_an_optimised_graph_is_read_as_the_same_network(tmp_path: Path, form: str) -> None:
    path = save(FORMS[form][0](), tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "fast.onnx")
    options.intra_op_num_threads = 1
    onnxruntime.InferenceSession(str(path), options)
    assert (tmp_path / "fast.onnx").read_bytes() != path.read_bytes()
    network, _ = read_model(tmp_path / "fast.onnx")
    original, _ = read_model(path)
    questions = [np.array([3, 1, 2]), np.array([20])]
    np.testing.assert_allclose(network.logits(questions), original.logits(questions), atol=1e-5)


def test_a_unit_that_nothing_reads_is_left_out(tmp_path: Path) -> None:
    w = weights()
    w["R"][0, :, 3] = 0
    w["C"][:, 3] = 0
    network, _ = read_model(save(elman(w), tmp_path / "m.onnx"))
    assert network.n_hidden == 7
