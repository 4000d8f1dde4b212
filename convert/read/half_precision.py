"""Models that compute in half precision: read as the same graph in single precision.

float16 has about three decimal digits, so a proof within its rounding would say little.  Turned to single precision,
the graph computes what the network as read computes, and is proved as strictly as any other; the file itself then only
has to agree within its own precision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ..errors import ModelFileError
from .file import graph_inputs, nodes, numpy_type
from .float_model import FloatModel, with_output
from .session import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HALF: Final[dict[int, str]] = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
"""Types with less than single precision that graphs compute in, and their names."""

PRECISION: Final = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Largest rounding error of each, relative."""

ROUNDINGS: Final = 64
"""Roundings, of the largest logit or of 1, by which the file itself may differ from the network as read."""

SEQUENCES: Final = 16
"""Random sequences that the file itself is asked."""

LENGTH: Final = 8
"""Words of each of them, unless the file takes another number only."""

_TYPES: Final = {"dtype", "output_dtype", "to"}
"""Attributes that name a type."""


def in_single_precision(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Return a model with half precision turned to single, and the name of the half precision (empty: it has none)."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    names: list[str] = []
    for graph in _graphs(found.graph):
        for tensor in graph.initializer:
            names += _turn_tensor(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            names += _turn_type(value.type)
    for node in nodes(found.graph):
        for a in node.attribute:
            if a.type == onnx.AttributeProto.TENSOR:
                names += _turn_tensor(a.t)
            elif a.type == onnx.AttributeProto.INT and a.name in _TYPES and a.i in HALF:
                names.append(HALF[a.i])
                a.i = TensorProto.FLOAT
    return (found, names[0]) if names else (model, "")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in nodes(graph):
        yield from (a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)


def _turn_tensor(tensor: TensorProto) -> list[str]:
    if tensor.data_type not in HALF:
        return []
    name = HALF[tensor.data_type]
    values = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return [name]


def _turn_type(kind: onnx.TypeProto) -> list[str]:
    if kind.HasField("sequence_type"):
        return _turn_type(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return _turn_type(kind.optional_type.elem_type)
    if not kind.HasField("tensor_type") or kind.tensor_type.elem_type not in HALF:
        return []
    name = HALF[kind.tensor_type.elem_type]
    kind.tensor_type.elem_type = TensorProto.FLOAT
    return [name]


def as_stored(found: FloatModel, model: onnx.ModelProto, tensor: str, precision: str) -> FloatModel:
    """Return a model that was proved in single precision with the file itself to answer, if onnxruntime runs that.

    Parameters
    ----------
    found
        The model in single precision, with the network that was read.
    model
        The file's model, in half precision.
    tensor
        Name of the logits.
    precision
        Name of the half precision.

    Raises
    ------
    ModelFileError
        onnxruntime's process ends, or its answers differ by more than half precision does.

    """
    types = {i.name: numpy_type(i) for i in graph_inputs(model.graph)}
    companions = tuple(replace(c, type=types[c.name]) for c in found.layout.companions)
    layout = replace(found.layout, companions=companions)
    questions = _questions(found)
    try:
        with session(with_output(model, tensor)) as runs:
            stored = replace(found, session=runs, layout=layout, precision=precision)
            answers = stored.run(questions)
    except ModelFileError:
        return replace(found, precision=precision, runs_as_stored=False)
    wanted = found.network.logits(questions)
    allowed = ROUNDINGS * PRECISION[precision] * np.maximum(1, np.abs(wanted).max(axis=1))
    excess = float((np.abs(answers - wanted).max(axis=1) - allowed).max())
    if not excess <= 0:
        raise ModelFileError(
            f"it computes in {precision}, and there its logits differ from those in single precision by"
            f" {np.abs(answers - wanted).max():.3g}; publish the model in float32"
        )
    return stored


def _questions(model: FloatModel) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    others = {*model.skipped, *model.unusable}
    words = np.setdiff1d(np.arange(len(model.network.rows)), sorted(others))
    length: Any = model.layout.length or LENGTH
    return list(rng.choice(words, (SEQUENCES, length)))
