"""Pooling operators on affine expressions: means and maxima over windows of the last axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .affine import matmul
from .operators import affine, reduced
from .single_node import run_once

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from .operators import Frame


def _over_all(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    value = affine(values[0])
    kind = "ReduceMax" if node.op_type == "GlobalMaxPool" else "ReduceMean"
    return [reduced(frame, kind, value, tuple(range(2, len(value.shape))), keepdims=True)]


def _over_windows(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    """Apply AveragePool or MaxPool; which places are in a window is what onnxruntime makes of a one at each place."""
    value = affine(values[0])
    lead, places = value.shape[:2], value.shape[2:]
    n = int(np.prod(places, dtype=np.int64))
    ones = np.eye(n, dtype=np.float32).reshape(n, 1, *places)
    seen = np.asarray(run_once(node, frame.opsets, [ones])[0])
    shape, shares = (*lead, *seen.shape[2:]), seen.reshape(n, -1)
    flat = value.rearranged(value.index.reshape(*lead, n))
    if node.op_type == "AveragePool":
        result = matmul(flat, shares.astype(np.float64))
    else:
        windows = [np.flatnonzero(w > 0) for w in shares.T]
        groups = [row[w] for row in flat.index.reshape(-1, n) for w in windows]
        result = frame.unknowns.largest(value, groups)
    return [result.rearranged(result.index.reshape(shape)), *[None] * (len(node.output) - 1)]


HANDLERS: Final[dict[str, Callable[[Frame, onnx.NodeProto, list[Any]], list[Any]]]] = {
    "AveragePool": _over_windows,
    "GlobalAveragePool": _over_all,
    "GlobalMaxPool": _over_all,
    "MaxPool": _over_windows,
}
"""Function for each pooling operator."""
