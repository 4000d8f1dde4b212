"""What is known of a model file of any kind before it is asked: the layouts of its inputs, and its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ModelFileError
from .file import graph_inputs, nodes, numpy_type
from .inputs import layouts
from .outputs import check_name, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

    from .inputs import InputLayout

_SHAPING: Final = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_LINEAR: Final = {"Add", "Conv", "Einsum", "Gemm", "MatMul", "Sub"}

_PASSING: Final = {
    *("Add", "Cast", "Clip", "Concat", "Div", "Expand", "Flatten", "Identity", "Mul", "Neg", "Pad"),
    *("Reshape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
}
"""Operators that word ids may pass before a row is looked up by them, and features before they are weighted."""

_WEIGHING: Final = {
    *("BatchNormalization", "Conv", "Einsum", "GRU", "Gemm", "LSTM", "LayerNormalization"),
    *("MatMul", "RNN"),
}
"""Operators that make no sense of word ids: a word of twice the number is not twice the word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherFile:
    """The inputs and outputs of a model file.

    Attributes
    ----------
    layouts : list of InputLayout
        The possible layouts of its inputs, the likeliest first.
    outputs : list of str
        Names of its outputs.
    linear : list of bool
        Whether each comes from a linear operator, by way of operators that only change its shape.
    listed : str
        The outputs with their shapes, for messages.

    """

    layouts: list[InputLayout]
    outputs: list[str]
    linear: list[bool]
    listed: str


def describe_teacher(graph: onnx.GraphProto, output: str | None) -> TeacherFile:
    """Describe the inputs and outputs of a graph.

    Parameters
    ----------
    graph
        The graph.
    output
        Name of the output that will be used; None: not known.

    Raises
    ------
    ModelFileError
        No input takes word ids, or there is no output of this name.

    """
    if output is not None:
        check_name(graph, output)
    names = [o.name for o in graph.output]
    found = layouts(graph)
    _check_takes_ids(graph, [layout.ids for layout in found])
    return TeacherFile(
        layouts=found,
        outputs=names,
        linear=[_is_linear(graph, name) for name in names],
        listed=listed(graph),
    )


def _check_takes_ids(graph: onnx.GraphProto, inputs: Iterable[str]) -> None:
    """Refuse a file that takes numbers that are measured (features, pixels), or texts.

    Parameters
    ----------
    graph
        The file's graph.
    inputs
        Names of the inputs that have the shape of word ids.

    Raises
    ------
    ModelFileError
        All that the graph does with each of them is to weigh it, or it holds texts.

    """
    why = [_why_no_ids(graph, ids) for ids in inputs]
    if why and None not in why:
        raise ModelFileError(why[0])


def _why_no_ids(graph: onnx.GraphProto, ids: str) -> str | None:
    """Return why an input takes no word ids; None if it may."""
    given = next(i for i in graph_inputs(graph) if i.name == ids)
    kind = np.dtype(numpy_type(given))
    if not np.issubdtype(kind, np.number):
        return (
            f"input {ids!r}: takes texts, not word ids; export the network without what splits them"
        )
    reached, first = {ids}, set()
    for node in nodes(graph):
        if not reached.intersection(node.input):
            continue
        if node.op_type in _PASSING:
            reached.update(node.output)
        elif node.op_type != "Shape":
            first.add(node.op_type)
    if first and first.issubset(_WEIGHING):
        return f"input {ids!r}: takes features ({kind.name}), not word ids: operator {min(first)} weighs them"
    return None


def _is_linear(graph: onnx.GraphProto, output: str) -> bool:
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(output)
    for _ in graph.node:  # as many steps at most
        if node is None or node.op_type not in _SHAPING or not node.input:
            break
        node = makers.get(node.input[0])
    return node is not None and node.op_type in _LINEAR
