"""Say why a file that runs cannot teach: what it takes are no word ids, or what it gives is no answer to a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ModelFileError
from ..read.file import graph_inputs, nodes, numpy_type
from ..read.outputs import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx
    from numpy.typing import NDArray

__all__ = ["check_takes_ids", "no_answer"]

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


def check_takes_ids(graph: onnx.GraphProto, inputs: Iterable[str]) -> None:
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


def no_answer(
    graph: onnx.GraphProto, values: list[NDArray[Any]], words: int, classes: int, vocabulary: int
) -> str:
    """Return why none of a file's outputs answers questions.

    Parameters
    ----------
    graph
        The file's graph.
    values
        Its outputs for some questions.
    words
        Words of each of these questions.
    classes
        Number of labels.
    vocabulary
        Number of word ids of the tokenizer; 0: not known.

    """
    wanted = "expected one answer for a question"
    for value in values:
        shape = np.shape(value)
        if len(shape) >= 2 and 0 < vocabulary <= shape[-1] and shape[-1] > classes:
            return f"outputs {listed(graph)}: predicts the next word (generation); {wanted}"
        if len(shape) >= 3 and words in shape[:-1]:
            if shape[-1] == classes:
                return (
                    f"outputs {listed(graph)}: labels every word of a question (sequence labelling);"
                    f" {wanted}"
                )
            return f"outputs {listed(graph)}: has {shape[-1]} values for every word; {wanted}"
    return f"outputs {listed(graph)}: none has a value for each of the {classes} labels"
