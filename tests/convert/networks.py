"""Build float Elman networks as ONNX models with onnx.helper, independently of spikewatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def weights(
    seed: int = 0, *, words: int = 21, d: int = 6, n: int = 8, classes: int = 6
) -> dict[str, NDArray[Any]]:
    """Return random float32 weights of an Elman network, named as in ONNX's RNN operator."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, spread: float = 0.5) -> NDArray[Any]:
        return rng.normal(0, spread, shape).astype(np.float32)

    return {
        "embedding": draw(words, d, spread=1),
        "W": draw(1, n, d),
        "R": draw(1, n, n, spread=0.3),
        "B": draw(1, 2 * n, spread=0.2),
        "C": draw(classes, n, spread=1),
        "c": draw(classes, spread=0.2),
    }


def elman(
    w: dict[str, NDArray[Any]],
    *,
    activation: str = "Tanh",
    clip: float | None = None,
    direction: str = "forward",
    lengths: bool = True,
    batch_first: bool = False,
    head: str = "Gemm",
    ending: str | None = None,
    operator: str = "RNN",
    vectors: bool = False,
) -> onnx.ModelProto:
    """Return the network in one of the forms that exporters write."""
    w = dict(w)
    n = w["R"].shape[2]
    nodes = []
    ids = "ids"
    if batch_first:
        nodes.append(helper.make_node("Transpose", ["ids"], ["ids_t"], perm=[1, 0]))
        ids = "ids_t"
    if not vectors:
        nodes.append(helper.make_node("Gather", ["embedding", ids], ["x"]))
    options: dict[str, Any] = {"hidden_size": n, "direction": direction}
    if operator == "RNN":
        options["activations"] = [activation]
    if clip is not None:
        options["clip"] = clip
    inputs = ["x", "W", "R", "B", *(["lengths"] if lengths else [])]
    nodes.append(helper.make_node(operator, inputs, ["", "Y_h"], name="rnn", **options))
    w["axis"] = np.array([0], dtype=np.int64)
    nodes.append(helper.make_node("Squeeze", ["Y_h", "axis"], ["h"]))
    out = "logits" if ending is None else "raw"
    if head == "Gemm":
        nodes.append(helper.make_node("Gemm", ["h", "C", "c"], [out], transB=1))
    else:
        w["C_t"] = np.ascontiguousarray(w.pop("C").T)
        nodes.append(helper.make_node("MatMul", ["h", "C_t"], ["hC"]))
        nodes.append(helper.make_node("Add", ["hC", "c"], [out]))
    if ending is not None:
        axis = {} if ending == "Sigmoid" else {"axis": -1}
        nodes.append(helper.make_node(ending, [out], ["logits"], **axis))
    axes = ["batch", "time"] if batch_first else ["time", "batch"]
    graph_inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, axes)]
    if vectors:
        d = w["W"].shape[2]
        graph_inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*axes, d])]
    if lengths:
        graph_inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    graph = helper.make_graph(
        nodes,
        "elman",
        graph_inputs,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(w["c"])])],
        [numpy_helper.from_array(array, name) for name, array in w.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model to a file."""
    path.write_bytes(model.SerializeToString())
    return path


def both_ways(
    forward: dict[str, NDArray[Any]], reverse: dict[str, NDArray[Any]]
) -> onnx.ModelProto:
    """Return a bidirectional ReLU network whose head reads both last states."""
    n = forward["R"].shape[2]
    w = {name: np.concatenate([forward[name], reverse[name]]) for name in ("W", "R", "B")}
    w["embedding"], w["c"] = forward["embedding"], forward["c"]
    w["C"] = np.concatenate([forward["C"], reverse["C"]], axis=1)
    w["shape"] = np.array([0, 2 * n], dtype=np.int64)
    options = {"hidden_size": n, "direction": "bidirectional", "activations": ["Relu", "Relu"]}
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["x"]),
        helper.make_node("RNN", ["x", "W", "R", "B", "lengths"], ["", "Y_h"], **options),
        helper.make_node("Transpose", ["Y_h"], ["last"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["last", "shape"], ["h"]),
        helper.make_node("Gemm", ["h", "C", "c"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "both ways",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["time", "batch"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(w["c"])])],
        [numpy_helper.from_array(a, name) for name, a in w.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
