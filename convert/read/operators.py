"""ONNX operators on affine expressions (see `affine`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from .activation import Activation
from .affine import (
    Affine,
    TooLarge,
    Unsupported,
    WrongLayout,
    add,
    constant,
    matmul,
    scale,
    stack,
    total,
)
from .session import first_line
from .single_node import compute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..errors import ModelFileError
    from .unknowns import Unknowns

    Handler = Callable[["Frame", onnx.NodeProto, list[Any]], list[Any]]

DATA: Final[dict[str, tuple[int, ...] | None]] = {
    "Compress": (0,),
    "Concat": None,
    "DepthToSpace": (0,),
    "Expand": (0,),
    "Flatten": (0,),
    "Gather": (0,),
    "GatherElements": (0,),
    "GatherND": (0,),
    "Reshape": (0,),
    "ReverseSequence": (0,),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
    "Slice": (0,),
    "Split": (0,),
    "Squeeze": (0,),
    "Tile": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}
"""Operators that only move elements, and the positions of the inputs that hold the elements (None: all inputs)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """The context of a node: the unknowns, the operator sets, and whether its graph is the outermost one."""

    unknowns: Unknowns
    opsets: Mapping[str, int]
    outermost: bool

    def for_body(self) -> Frame:
        """Return the context of the nodes in a body of this graph's node."""
        return Frame(unknowns=self.unknowns, opsets=self.opsets, outermost=False)

    def reference(self, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
        """Compute a node whose inputs are known; return its outputs, None for those without a name."""
        return compute(node, self.opsets, values)


def failure(node: onnx.NodeProto, e: Exception) -> ModelFileError:
    """Return the refusal of a node that NumPy, onnx or onnxruntime cannot compute."""
    line = first_line(e) or type(e).__name__
    refusal = TooLarge if isinstance(e, MemoryError) else WrongLayout
    return refusal(f"node {node.name or node.op_type!r}: operator {node.op_type} fails: {line}")


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of an attribute, or `default` if the node does not have it."""
    for a in node.attribute:
        if a.name == name:
            return onnx.helper.get_attribute_value(a)
    return default


def weight(node: onnx.NodeProto, position: int, values: list[Any]) -> NDArray[np.float64]:
    """Return a constant input as float64; raise if it depends on the question or is not finite."""
    value = values[position]
    name = node.input[position]
    if not isinstance(value, np.ndarray):
        raise Unsupported(f"input {name!r} is not a constant weight")
    value = value.astype(np.float64)
    if not np.isfinite(value).all():
        raise Unsupported(f"weight {name!r}: holds values that are not finite")
    return value


def affine(value: Any) -> Affine:
    """Return a value as affine expressions."""
    if isinstance(value, Affine):
        return value
    if isinstance(value, np.ndarray):
        return constant(value)
    raise Unsupported("computes with values that come after the logits, such as probabilities")


def move(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    """Move elements: apply the reference implementation to row numbers in place of the elements."""
    where = DATA[node.op_type]
    positions = [i for i in (where or range(len(values))) if values[i] is not None]
    for i, value in enumerate(values):
        if i not in positions and not (value is None or isinstance(value, np.ndarray)):
            raise Unsupported(f"input {node.input[i]!r} depends on the question's words")
    # with one table of rows, row numbers of different inputs cannot be confused
    parts = stack([affine(values[i]) for i in positions])
    arguments = list(values)
    for i, part in zip(positions, parts, strict=True):
        arguments[i] = part.index
    return [parts[0].rearranged(index) for index in frame.reference(node, arguments)]


def _gather(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    if not isinstance(values[1], Affine):
        return move(frame, node, values)
    if not isinstance(values[0], np.ndarray):
        raise Unsupported(f"embedding {node.input[0]!r} is not a constant weight")
    raise Unsupported("looks up rows by numbers that are not functions of one word")


def _cast(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    kind = onnx.helper.tensor_dtype_to_np_dtype(attribute(node, "to"))
    given = frame.unknowns.kind(values[0]) if isinstance(values[0], Affine) else values[0].dtype
    # expressions have no precision
    if kind == given or (np.issubdtype(kind, np.floating) and np.issubdtype(given, np.floating)):
        return [values[0]]
    raise Unsupported(f"casts hidden states to {np.dtype(kind)}")


def _identity(_frame: Frame, _node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    return [values[0]]


def _dropout(_frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    # the third input is `training_mode`; otherwise Dropout passes its input on
    if len(values) > 2 and values[2] is not None and values[2].any():
        raise Unsupported("drops values at random: export the model in evaluation mode")
    return [values[0], *[None] * (len(node.output) - 1)]


def _shape(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    return frame.reference(node, [np.zeros(values[0].shape, dtype=np.float32)])


def _add(_frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    sign = -1.0 if node.op_type == "Sub" else 1.0
    for name, value in zip(node.input, values, strict=True):
        # infinities are allowed, because masks add minus infinity
        if isinstance(value, np.ndarray) and np.isnan(value).any():
            raise Unsupported(f"weight {name!r}: holds values that are not finite")
    result = affine(values[0])
    for value in values[1:]:
        result = add(result, affine(value), sign)
    return [result]


def _neg(_frame: Frame, _node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    return [scale(affine(values[0]), np.array(-1.0))]


def _multiply(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    a, b = values
    if node.op_type == "Mul" and isinstance(a, np.ndarray):  # Div does not commute
        a, b = b, a
    if not isinstance(b, np.ndarray):
        if node.op_type == "Div":
            raise Unsupported("divides by a value that depends on the question's words")
        raise Unsupported(
            "multiplies two values that both depend on the question's words, as a gate or attention does"
        )
    if np.isnan(b).any():
        raise Unsupported("multiplies by values that are not finite")
    if node.op_type == "Div" and isinstance(a, Affine) and not _is_float(frame, a):
        raise Unsupported("divides whole numbers that depend on the question's words")
    b = b.astype(np.float64)
    return [scale(affine(a), 1 / b if node.op_type == "Div" else b)]


def _is_float(frame: Frame, value: Affine) -> bool:
    return bool(np.issubdtype(frame.unknowns.kind(value), np.floating))


def _matmul(_frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    a, b = values
    if not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray):
        raise Unsupported("multiplies two values that both depend on the question's words")
    if isinstance(b, np.ndarray):
        return [matmul(affine(a), weight(node, 1, values))]
    # the weight is on the left: A x = (x^T A^T)^T
    left, right = weight(node, 0, values), affine(b)
    if left.ndim == 1:
        left = left[None]
        result = _transposed(matmul(_transposed(right), left.T))
        return [result.rearranged(result.index[..., 0, :])]
    if len(right.shape) == 1:
        return [matmul(right, left.swapaxes(-1, -2))]
    return [_transposed(matmul(_transposed(right), left.swapaxes(-1, -2)))]


def _transposed(a: Affine) -> Affine:
    return a.rearranged(a.index.swapaxes(-1, -2))


def _gemm(_frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    a, b = affine(values[0]), weight(node, 1, values)
    if attribute(node, "transA", 0):
        a = _transposed(a)
    if attribute(node, "transB", 0):
        b = b.T
    result = matmul(a, b * alpha)
    if len(values) > 2 and values[2] is not None:
        bias = weight(node, 2, values) if isinstance(values[2], np.ndarray) else values[2]
        result = add(result, scale(affine(bias), np.array(beta)))
    return [result]


def _batch_norm(_frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    if attribute(node, "training_mode", 0):
        raise Unsupported("normalises by the batch: export the model in evaluation mode")
    gain, bias, mean, variance = (weight(node, i, values) for i in (1, 2, 3, 4))
    gain = gain / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    x = affine(values[0])
    shape = [1, -1, *[1] * (len(x.shape) - 2)]  # the channels are along axis 1
    shifted = scale(x, gain.reshape(shape))
    moved = constant((bias - mean * gain).reshape(shape))
    return [add(shifted, moved), *[None] * (len(node.output) - 1)]


def axes_of(node: onnx.NodeProto, values: list[Any], rank: int) -> tuple[int, ...]:
    """Return the axes that a reduction reduces."""
    axes = attribute(node, "axes")
    if axes is None and len(values) > 1 and values[1] is not None:
        axes = values[1].tolist()
    if not axes:  # by default, all axes are reduced
        if attribute(node, "noop_with_empty_axes", 0):
            return ()
        axes = range(rank)
    return tuple(sorted(int(i) % rank for i in axes))


def _reduce(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    value = affine(values[0])
    axes = axes_of(node, values, len(value.shape))
    keepdims = bool(attribute(node, "keepdims", 1))
    return [reduced(frame, node.op_type, value, axes, keepdims=keepdims)]


def reduced(
    frame: Frame, kind: str, value: Affine, axes: tuple[int, ...], *, keepdims: bool
) -> Affine:
    """Return the largest element, the sum or the mean along some axes."""
    if kind == "ReduceMax":
        kept = [i for i in range(len(value.shape)) if i not in axes]
        outer = [value.shape[i] for i in kept]
        groups = np.transpose(value.index, [*kept, *axes]).reshape(
            int(np.prod(outer, dtype=np.int64)), -1
        )
        result = frame.unknowns.largest(value, groups)
        shape = tuple(1 if i in axes else s for i, s in enumerate(value.shape))
        return result.rearranged(result.index.reshape(shape if keepdims else outer))
    result = total(value, axes, keepdims=keepdims)
    if kind == "ReduceMean":
        count = np.prod([value.shape[i] for i in axes])
        result = scale(result, np.array(1 / count))
    return result


def _max_or_min(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    """Apply Max or Min: with numbers it is a bound; of several tensors, Max takes the largest."""
    numbers = [v for v in values if isinstance(v, np.ndarray) and v.size == 1]
    others = [v for v in values if not (isinstance(v, np.ndarray) and v.size == 1)]
    if len(others) == 1 and len(numbers) == len(values) - 1:
        bound = [float(n.reshape(-1)[0]) for n in numbers]
        if node.op_type == "Max":
            return [bounded(frame, node, affine(others[0]), max(bound), np.inf)]
        return [bounded(frame, node, affine(others[0]), -np.inf, min(bound))]
    if node.op_type == "Min":
        raise Unsupported("takes the smaller of two values that depend on the question's words")
    result = affine(values[0])
    for value in values[1:]:
        result = frame.unknowns.larger(result, affine(value))
    return [result]


def _clip(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    low, high = attribute(node, "min", -np.inf), attribute(node, "max", np.inf)
    if len(values) > 1 and values[1] is not None:
        low = float(weight(node, 1, values).reshape(-1)[0])
    if len(values) > 2 and values[2] is not None:
        high = float(weight(node, 2, values).reshape(-1)[0])
    return [bounded(frame, node, affine(values[0]), low, high)]


def bounded(frame: Frame, node: onnx.NodeProto, value: Affine, low: float, high: float) -> Affine:
    """Bound a tensor to low..high; with low = 0 that is a ReLU with a ceiling."""
    # PyTorch and Keras write "no bound" as the largest float
    high = np.inf if high > 1e30 else high
    if low < -1e30:
        if frame.unknowns.is_relu(value):  # at least 0 already: this is the upper half of a ReLU6
            low = 0.0
        elif np.isinf(high):
            return value
    if low == -high and high > 0:
        bound = Activation(name="Affine", clip=high, alpha=1.0, beta=0.0)
        return activated(frame, node, value, bound)
    if low != 0 or high <= 0:
        raise Unsupported(
            f"bounds values to {low:g}..{high:g}; supported are bounds from 0 up, and from -B to B"
        )
    return activated(frame, node, value, Activation(name="Relu", ceiling=high))


def activated(frame: Frame, node: onnx.NodeProto, value: Affine, activation: Activation) -> Affine:
    """Apply an activation; keep the name of its input if that is in the outermost graph."""
    return frame.unknowns.activate(
        value,
        activation,
        node=node.name or node.op_type,
        tensor=node.input[0] if frame.outermost else "",
    )


def _activation(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    activation = Activation(
        name=node.op_type,
        alpha=float(attribute(node, "alpha", 0.2)),
        beta=float(attribute(node, "beta", 0.5)),
    )
    return [activated(frame, node, affine(values[0]), activation)]


def concatenated(values: Sequence[Any], axis: int, *, new: bool) -> Any:
    """Concatenate tensors along an axis, or stack them along a new one."""
    join = np.stack if new else np.concatenate
    if all(isinstance(v, np.ndarray) for v in values):
        return join(values, axis=axis)
    parts = stack([affine(v) for v in values])
    return parts[0].rearranged(join([p.index for p in parts], axis=axis))


HANDLERS: Final[dict[str, Handler]] = {
    **dict.fromkeys(DATA, move),
    "Add": _add,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Div": _multiply,
    "Dropout": _dropout,
    "Gather": _gather,
    "Gemm": _gemm,
    "HardSigmoid": _activation,
    "Identity": _identity,
    "MatMul": _matmul,
    "Max": _max_or_min,
    "Min": _max_or_min,
    "Mul": _multiply,
    "Neg": _neg,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Relu": _activation,
    "Shape": _shape,
    "Sigmoid": _activation,
    "Size": _shape,
    "Softsign": _activation,
    "Sub": _add,
    "Sum": _add,
    "Tanh": _activation,
}
"""Function for each operator, other than RNN, that may be applied to values that depend on the question's words."""
