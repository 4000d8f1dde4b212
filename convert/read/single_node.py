"""Compute one ONNX node whose inputs are all known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray


MOST_ELEMENTS: Final = 2**28
"""Most elements of a tensor that is made of few, such as one of zeros: two gigabytes of int64."""


def compute(node: onnx.NodeProto, opsets: Mapping[str, int], values: list[Any]) -> list[Any]:
    """Return the outputs of a node, None for those without a name.

    onnx's reference implementation is the quicker one for a single run; onnxruntime has what that lacks, such as
    DequantizeLinear before operator set 19 and operators of its own.

    Parameters
    ----------
    node
        The node; it may not have a body.
    opsets
        Version of each domain's operator set.
    values
        Its inputs, None for those that are left out.

    Raises
    ------
    MemoryError
        It would make a tensor of more than MOST_ELEMENTS elements.  Other exceptions come from the implementations.

    """
    made = _elements_made(node, values)
    if made > MOST_ELEMENTS:
        raise MemoryError(f"makes a tensor of {made} elements, limit {MOST_ELEMENTS}")
    try:
        return _reference(node, opsets, values)
    except Exception as e:  # noqa: BLE001 - an implementation of any operator may raise anything
        try:
            return runtime(node, opsets, values)(values)
        except Exception:  # noqa: BLE001 - classes of onnxruntime's C++ side, derived from Exception
            raise e from None


def _elements_made(node: onnx.NodeProto, values: list[Any]) -> int:
    """Return the number of elements that a node makes of few, 0 if it is none that does so."""
    if node.op_type == "ConstantOfShape":
        return int(math.prod(values[0].tolist()))
    if node.op_type == "Expand":
        # a size in the shape may be 1 where the tensor has more
        return max(int(values[0].size), int(math.prod(values[1].tolist())))
    if node.op_type == "Tile":
        return int(values[0].size * math.prod(values[1].reshape(-1).tolist()))
    if node.op_type == "Range":
        start, limit, delta = (float(v) for v in values)
        return math.ceil((limit - start) / delta) if delta else 0
    return 0


def _reference(node: onnx.NodeProto, opsets: Mapping[str, int], values: list[Any]) -> list[Any]:
    present = {n: v for n, v in zip(node.input, values, strict=True) if n}
    info = [onnx.ValueInfoProto(name=n) for n in present]
    outputs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
    graph = helper.make_graph([node], "node", info, outputs)
    results = iter(ReferenceEvaluator(graph, opsets=dict(opsets)).run(None, present))
    return [next(results) if name else None for name in node.output]


def runtime(
    node: onnx.NodeProto, opsets: Mapping[str, int], values: list[NDArray[np.generic] | None]
) -> Callable[[list[Any]], list[Any]]:
    """Return a function that computes a node in onnxruntime, for inputs with the types and ranks of `values`."""
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), [None] * v.ndim)
        for n, v in zip(node.input, values, strict=True)
        if n and v is not None
    ]
    names = [n for n in node.output if n]
    session = _session(node, opsets, inputs, [])

    def run(given: list[Any]) -> list[Any]:
        feed = {n: v for n, v in zip(node.input, given, strict=True) if n and v is not None}
        results = iter(session.run(names, feed))
        return [next(results) if name else None for name in node.output]

    return run


def run_once(
    node: onnx.NodeProto, opsets: Mapping[str, int], values: list[NDArray[np.generic] | None]
) -> list[Any]:
    """Return the outputs of a node in onnxruntime, whose inputs may be of any type, those of few bits included.

    Raises
    ------
    RuntimeError
        onnxruntime cannot compute it.

    """
    constants = [
        numpy_helper.from_array(v, n)
        for n, v in zip(node.input, values, strict=True)
        if n and v is not None
    ]
    try:
        results = iter(_session(node, opsets, [], constants).run(None, {}))
    except Exception as e:  # noqa: BLE001 - classes of onnxruntime's C++ side, derived from Exception
        raise RuntimeError(str(e)) from None
    return [next(results) if name else None for name in node.output]


def _session(
    node: onnx.NodeProto,
    opsets: Mapping[str, int],
    inputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> Any:
    outputs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
    graph = helper.make_graph([node], "node", inputs, outputs, constants)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    # types of four bits need version 10
    model = helper.make_model(graph, opset_imports=imports, ir_version=10 if constants else 8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
