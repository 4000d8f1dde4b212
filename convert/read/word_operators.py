"""Operators on values that depend on one word each: their results are functions of that word (see `word_functions`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .affine import Affine, constant, stack, unknowns
from .operators import attribute, axes_of, failure, weight
from .packed_weights import unpacked_table
from .single_node import compute, runtime
from .unknowns import MANY, NONE
from .word_functions import Computed, Evaluation, Lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

    from .operators import Frame
    from .word_functions import WordFunction

    Apply = Callable[[list[Any]], NDArray[Any]]

ELEMENTWISE: Final = {
    "Abs", "Add", "And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil",
    "Celu", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual",
    "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min",
    "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
    "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu",
    "Where", "Xor",
    "com.microsoft.FastGelu", "com.microsoft.Gelu", "com.microsoft.QuickGelu",
}  # fmt: skip
"""Operators each of whose results depends on the elements at its own place."""

REDUCTIONS: Final = {
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
}  # fmt: skip

NORMALISATIONS: Final = {"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"}

SOFTMAXES: Final = {"Hardmax", "LogSoftmax", "Softmax"}

SCALARS: Final = {"Clip": (1, 2)}
"""Inputs of elementwise operators that must be single numbers."""


def on_words(frame: Frame, kind: str, node: onnx.NodeProto, values: list[Any]) -> list[Any] | None:
    """Apply a node to values that depend on one word each; return None if that is not possible.

    Parameters
    ----------
    frame, node
        The node and its context.
    kind
        Its operator, with its domain unless that is ONNX's own.
    values
        Its inputs: arrays, expressions, or None for those that are left out.

    """
    if any(not (v is None or isinstance(v, np.ndarray | Affine)) for v in values):
        return None
    if kind in _SPECIAL:
        return _SPECIAL[kind](frame, node, values)
    if kind in ELEMENTWISE:
        return _elementwise(frame, node, values, _by_node(frame, node))
    axes = _group_axes(frame, kind, node, values)
    return None if axes is None else _grouped(frame, node, values, axes)


def _look_up(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any] | None:
    """Look up rows of a constant table."""
    table, index = values
    if not isinstance(table, np.ndarray) or not isinstance(index, Affine):
        return None
    if attribute(node, "axis", 0) != 0 or table.ndim == 0:
        return None
    if node.op_type == "GatherND":  # the same as Gather if an index is a single number
        if attribute(node, "batch_dims", 0) != 0 or index.shape[-1] != 1:
            return None
        index = index.rearranged(index.index[..., 0])
    rows = index.flat()
    positions = frame.unknowns.positions_of(rows)
    if (positions < 0).any():
        return None
    if np.issubdtype(table.dtype, np.floating):
        weight(node, 0, values)
    flat = table.reshape(len(table), -1)
    d = flat.shape[1]

    def function(members: NDArray[np.int64]) -> Lookup:
        return Lookup(
            node=node.input[0],
            width=len(members),
            kind=table.dtype,
            table=flat,
            # all elements of a row are of one word, so the members are whole rows
            index=frame.unknowns.expression(rows[members[::d] // d]),
        )

    columns = frame.unknowns.features(np.repeat(positions, d), function)
    return [unknowns(columns.reshape(*index.shape, *table.shape[1:]))]


def _look_up_packed(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any] | None:
    table = unpacked_table(frame, node, values)
    return None if table is None else _look_up(frame, node, [table, values[1]])


def _one_hot(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any] | None:
    index, depth, ends = values
    if not isinstance(depth, np.ndarray) or not isinstance(ends, np.ndarray):
        return None
    n = int(depth.reshape(-1)[0])
    axis = attribute(node, "axis", -1) % (len(index.shape) + 1)
    shape = [1] * (len(index.shape) + 1)
    shape[axis] = n

    def apply(given: list[Any]) -> NDArray[Any]:
        chosen, place = given
        return np.asarray(np.where((chosen == place) | (chosen == place - n), ends[1], ends[0]))

    places = np.arange(n).reshape(shape)
    expanded = index.rearranged(np.expand_dims(index.index, axis))
    return _elementwise(frame, node, [expanded, places], apply)


def _dequantize(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any] | None:
    """Dequantise rows of an int8 table, by one scale or one for each place along an axis."""
    x, gain, zero = [*values, None][:3]
    numbers = all(isinstance(v, np.ndarray) for v in (gain, zero) if v is not None)
    if not isinstance(x, Affine) or attribute(node, "block_size", 0) or not numbers:
        return None
    shape = [1] * len(x.shape)
    if gain.size > 1:
        shape[attribute(node, "axis", 1) % len(shape)] = gain.size
    zero = np.zeros(gain.shape) if zero is None else zero.astype(np.float64)

    def apply(given: list[Any]) -> NDArray[Any]:
        whole, by, origin = given
        return np.asarray((whole - origin) * by, dtype=np.float32)

    return _elementwise(frame, node, [x, gain.reshape(shape), zero.reshape(shape)], apply)


_SPECIAL: Final = {
    "DequantizeLinear": _dequantize,
    "Gather": _look_up,
    "GatherND": _look_up,
    "OneHot": _one_hot,
    "com.microsoft.DequantizeLinear": _dequantize,
    "com.microsoft.GatherBlockQuantized": _look_up_packed,
}


def _by_node(frame: Frame, node: onnx.NodeProto) -> Apply:
    """Return a function that computes a node's first output, by onnxruntime if it can."""
    found: dict[tuple[Any, ...], Callable[[list[Any]], list[Any]]] = {}

    def apply(given: list[Any]) -> NDArray[Any]:
        key = tuple((g.dtype, g.ndim) for g in given if g is not None)
        if key not in found:
            try:
                found[key] = runtime(node, frame.opsets, given)
            except Exception:  # noqa: BLE001 - it does not have the operator for these types
                found[key] = lambda arrays: compute(node, frame.opsets, arrays)
        try:
            return np.asarray(found[key](given)[0])
        except Exception as e:  # noqa: BLE001 - as in `interpreter`; a word's value may be computed after it
            raise failure(node, e) from None

    return apply


def _elementwise(
    frame: Frame, node: onnx.NodeProto, values: list[Any], apply: Apply
) -> list[Any] | None:
    """Apply an operator whose results depend on the elements at their own places."""
    scalars = [i for i in SCALARS.get(node.op_type, ()) if i < len(values)]
    if any(isinstance(values[i], Affine) for i in scalars):
        return None
    spread = [i for i, v in enumerate(values) if v is not None and i not in scalars]
    shape = np.broadcast_shapes(*(values[i].shape for i in spread))
    rows: dict[int, Any] = {}
    constants = {i: np.asarray(values[i]).reshape(()) for i in scalars if values[i] is not None}
    for i in spread:
        if isinstance(values[i], Affine):
            rows[i] = values[i].rows[np.broadcast_to(values[i].index, shape).reshape(-1)]
    positions = _common([frame.unknowns.positions_of(r) for r in rows.values()])
    if positions is None:
        return None
    kinds = {i: frame.unknowns.kind(values[i]) for i in rows}

    def function(members: NDArray[np.int64]) -> Computed:
        given: list[Any] = [constants.get(i) for i in range(len(values))]
        for i in spread:
            if i in rows:
                given[i] = frame.unknowns.expression(rows[i][members])
            else:
                given[i] = np.broadcast_to(values[i], shape).reshape(-1)[members]
        return _computed(node, given, kinds, apply, len(members))

    found = _features(frame, positions, function)
    return [found.rearranged(found.index.reshape(shape))]


def _grouped(
    frame: Frame, node: onnx.NodeProto, values: list[Any], axes: tuple[int, ...]
) -> list[Any] | None:
    """Apply an operator whose results depend on all elements along some axes, all of one word."""
    x, others = values[0], values[1:]
    if not isinstance(x, Affine) or any(isinstance(v, Affine) for v in others):
        return None
    outer = [i for i in range(len(x.shape)) if i not in axes]
    if not outer:
        return None
    groups = np.transpose(x.index, [*outer, *axes]).reshape(
        int(np.prod([x.shape[i] for i in outer])), -1
    )
    n, g = groups.shape
    of_element = frame.unknowns.positions_of(x.rows[groups.reshape(-1)]).reshape(n, g)
    positions = _common(list(of_element.T))
    if positions is None:
        return None
    kind = frame.unknowns.kind(x)
    example = np.zeros(x.shape, dtype=kind)
    shape = np.asarray(compute(node, frame.opsets, [example, *others])[0]).shape
    kept = outer if len(shape) == len(x.shape) else list(range(len(outer)))
    order = [*kept, *(i for i in range(len(shape)) if i not in kept)]
    places = np.transpose(np.arange(np.prod(shape, dtype=np.int64)).reshape(shape), order)
    r = places.size // n
    run = _by_node(frame, node)

    def apply(given: list[Any]) -> NDArray[Any]:
        # all groups along the first of the outer axes, so that the node's attributes keep their meaning
        array = given[0].reshape(-1, *[1] * (len(outer) - 1), *(x.shape[i] for i in axes))
        result = run([np.transpose(array, np.argsort([*outer, *axes])), *given[1:]])
        return np.transpose(result, order).reshape(len(given[0]), -1)

    def function(members: NDArray[np.int64]) -> Computed:
        rows = x.rows[groups[members[::r] // r].reshape(-1)]
        return _computed(
            node, [frame.unknowns.expression(rows), *others], {0: kind}, apply, len(members)
        )

    found = _features(frame, np.repeat(positions, r), function)
    index = np.empty(places.size, dtype=np.int64)
    index[places.reshape(-1)] = found.index
    return [found.rearranged(index.reshape(shape)), *[None] * (len(node.output) - 1)]


def _group_axes(
    frame: Frame, kind: str, node: onnx.NodeProto, values: list[Any]
) -> tuple[int, ...] | None:
    """Return the axes along which an operator computes; None if it is not known to compute along axes."""
    if not isinstance(values[0], Affine):
        return None
    rank = len(values[0].shape)
    if kind in REDUCTIONS:
        return axes_of(node, values, rank)
    if kind == "CumSum":
        return (
            (int(values[1].reshape(-1)[0]) % rank,) if isinstance(values[1], np.ndarray) else None
        )
    # from the first axis to the last, as all of them did once
    open_ended = kind in NORMALISATIONS or (kind in SOFTMAXES and frame.opsets.get("", 1) < 13)
    if not open_ended and kind not in {*SOFTMAXES, "ArgMax", "ArgMin", "LpNormalization"}:
        return None
    default = {"ArgMax": 0, "ArgMin": 0}.get(kind, 1 if open_ended and kind in SOFTMAXES else -1)
    axis = attribute(node, "axis", default) % rank
    return tuple(range(axis, rank)) if open_ended else (axis,)


def _common(positions: list[NDArray[np.int64]]) -> NDArray[np.int64] | None:
    """Return the one word that elements at the same place depend on together; None if some depend on several."""
    if not positions:
        return None
    low = np.min([np.where(p == NONE, np.iinfo(np.int64).max, p) for p in positions], axis=0)
    high = np.max(positions, axis=0)
    if (low == MANY).any() or ((high != NONE) & (low != high)).any():
        return None
    return np.asarray(high)


def _computed(
    node: onnx.NodeProto, given: list[Any], kinds: dict[int, Any], apply: Apply, width: int
) -> Computed:
    def on_arrays(arrays: list[Any]) -> NDArray[Any]:
        return apply([a.astype(kinds[i]) if i in kinds else a for i, a in enumerate(arrays)])

    attributes = b"".join(a.SerializeToString(deterministic=True) for a in node.attribute)
    function = Computed(
        node=node.name or node.op_type,
        width=width,
        kind=np.dtype(np.float32),
        operator=f"{node.domain}.{node.op_type}:".encode() + attributes,
        given=tuple(given),
        apply=on_arrays,
        made_for=_made_for(node, given),
    )
    # the type of its results is the node's to choose
    return replace(function, kind=Evaluation(np.zeros(1, dtype=np.int64)).of(function).dtype)


def _made_for(node: onnx.NodeProto, given: list[Any]) -> int:
    """Return how many word ids a comparison with each of them is for."""
    if node.op_type not in {"Equal", "OneHot"}:
        return 0
    constants = [g for g in given if isinstance(g, np.ndarray)]
    return int(max((g.max(initial=-1) for g in constants), default=-1)) + 1


def _features(
    frame: Frame,
    positions: NDArray[np.int64],
    function: Callable[[NDArray[np.int64]], WordFunction],
) -> Affine:
    """Return values that depend on one word each, or on none, as a vector."""
    on_word = np.flatnonzero(positions != NONE)
    if len(on_word) == len(positions):
        return unknowns(frame.unknowns.features(positions, function))
    fixed = np.flatnonzero(positions == NONE)
    numbers = Evaluation(np.zeros(1, dtype=np.int64)).of(function(fixed))[0]
    parts = [constant(numbers.astype(np.float64))]
    index = np.empty(len(positions), dtype=np.int64)
    if len(on_word):
        columns = frame.unknowns.features(positions[on_word], lambda m: function(on_word[m]))
        parts.append(unknowns(columns))
    parts = stack(parts)
    for part, at in zip(parts, [fixed, on_word], strict=False):
        index[at] = part.index
    return parts[0].rearranged(index)
