"""Operators of onnxruntime that hold their weights in few bits: it unpacks them itself, from a product with ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .affine import Affine, Unsupported, add, constant, matmul
from .file import quantised
from .operators import affine, attribute
from .single_node import run_once

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from .operators import Frame

INT8_ACTIVATIONS: Final = 4
"""`accuracy_level` that lets onnxruntime round activations to 8 bits."""


def packed_matmul(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    """Apply com.microsoft.MatMulNBits."""
    if attribute(node, "accuracy_level", 0) == INT8_ACTIVATIONS:
        raise quantised(node)
    constants = values[1:]
    if any(isinstance(v, Affine) for v in constants):
        raise Unsupported("multiplies by weights that depend on the question's words")
    ones = np.eye(attribute(node, "K"), dtype=np.float32)
    # the last row is the bias alone
    rows = np.concatenate([ones, ones[:1] * 0])
    product = np.asarray(run_once(node, frame.opsets, [rows, *constants])[0], dtype=np.float64)
    weight, bias = product[:-1] - product[-1], product[-1]
    return [add(matmul(affine(values[0]), weight), constant(bias))]


def unpacked_table(
    frame: Frame, node: onnx.NodeProto, values: list[Any]
) -> NDArray[np.generic] | None:
    """Return the table of com.microsoft.GatherBlockQuantized; None: it is not constant, or not looked up by rows."""
    data, _, *constants = values
    known = all(v is None or isinstance(v, np.ndarray) for v in [data, *constants])
    if not known or attribute(node, "gather_axis", 0) != 0:
        return None
    every = np.arange(len(data), dtype=np.int64)
    return np.asarray(run_once(node, frame.opsets, [data, every, *constants])[0])
