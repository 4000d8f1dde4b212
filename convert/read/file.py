"""ONNX models: parse one, refuse other networks by name, add an embedding to a model of word vectors."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from ...simcore.exchange.kinds import HEAD, ONNX, describe
from ..errors import ModelFileError
from .session import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..words.vectors import WordTable

OTHERS: Final = {
    "Attention",
    "Conv",
    "GRU",
    "LSTM",
    "MultiHeadAttention",
}
"""Operators of other kinds of networks; a graph that contains one is refused before it is interpreted."""

QUANTISED: Final = {
    "ConvInteger",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearAdd",
    "QLinearConcat",
    "QLinearConv",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSigmoid",
}
"""Operators that compute with rounded activations; weights alone may be int8, since they are constants."""

_PREFIX: Final = "spikewatch_"


def not_onnx(data: bytes, error: Exception) -> str:
    """Return what the data is, if that is known, and what is wrong with it otherwise."""
    kind = describe(data[:HEAD])
    if kind is None or kind.name == ONNX:
        return f"not a valid ONNX file: {first_line(error)}"
    return f"not a valid ONNX file, but {kind.name}: export the network to ONNX (torch.onnx.export, tf2onnx)"


def parse(data: bytes) -> onnx.ModelProto:
    """Parse a complete model as `parse_any`, and refuse networks that hold no Elman layer by an operator of theirs.

    Raises
    ------
    ModelFileError
        The data is not ONNX, or a network of another kind; the message names the node.

    """
    model = parse_any(data)
    for node in nodes(model.graph):
        if node.op_type in OTHERS:
            raise ModelFileError(
                f"node {node.name or node.op_type!r}: operator {node.op_type} is not supported,"
                " only one RNN (Elman) layer is"
            )
        if node.op_type in QUANTISED:
            raise quantised(node)
    _time_first(model.graph)
    return model


def parse_any(data: bytes) -> onnx.ModelProto:
    """Parse and check a complete model of any kind, and inline its local functions.

    Raises
    ------
    ModelFileError
        The data is not ONNX.

    """
    try:
        model = onnx.load_model_from_string(data)
        _sort(model.graph)
        onnx.checker.check_model(model)
        if model.functions:
            # exporters may put parts of a network into local functions, where its nodes would be hidden
            model = onnx.inliner.inline_local_functions(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, RuntimeError) as e:
        raise ModelFileError(not_onnx(data, e)) from None
    if not model.graph.output:
        raise ModelFileError("its graph has no output")
    return model


def _sort(graph: onnx.GraphProto) -> None:
    """Put nodes behind those whose results they read: onnxruntime and its converters need no order."""
    makers = {name: i for i, n in enumerate(graph.node) for name in n.output if name}
    reads = {
        i: [makers[name] for name in tensors_read(n) if name in makers]
        for i, n in enumerate(graph.node)
    }
    if all(before < i for i, found in reads.items() for before in found):
        return
    try:
        order = list(TopologicalSorter(reads).static_order())
    except CycleError:
        return  # the checker says so
    _replace_nodes(graph, [graph.node[i] for i in order])


def _replace_nodes(graph: onnx.GraphProto, found: list[onnx.NodeProto]) -> None:
    # deleting the list invalidates its nodes, so they are copied first
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in found]
    del graph.node[:]
    graph.node.extend(copies)


def tensors_read(node: onnx.NodeProto) -> list[str]:
    """Return the names of the tensors that a node reads, including those that its bodies read."""
    bodies = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return [
        *node.input,
        *(name for body in bodies for inner in body.node for name in tensors_read(inner)),
        *(o.name for body in bodies for o in body.output),
    ]


def quantised(node: onnx.NodeProto) -> ModelFileError:
    """Return the refusal of a node that rounds activations."""
    return ModelFileError(
        f"node {node.name or node.op_type!r}: operator {node.op_type} rounds activations to whole numbers: the model is"
        " quantised; publish the float model that it was made from"
    )


def _time_first(graph: onnx.GraphProto) -> None:
    """Convert RNN nodes of layout 1 (batch first) to layout 0, the only one that onnxruntime runs."""
    found: list[onnx.NodeProto] = []
    for i, node in enumerate(graph.node):
        layout = [a for a in node.attribute if node.op_type == "RNN" and a.name == "layout"]
        if not layout or layout[0].i == 0:
            found.append(node)
            continue
        node.attribute.remove(layout[0])
        after = []
        for at, perm in ((0, [1, 0, 2]), (5, [1, 0, 2])):  # X and initial_h
            if at < len(node.input) and node.input[at]:
                turned = f"{_PREFIX}{i}_input_{at}"
                found.append(helper.make_node("Transpose", [node.input[at]], [turned], perm=perm))
                node.input[at] = turned
        for at, perm in (
            (0, [2, 0, 1, 3]),
            (1, [1, 0, 2]),
        ):  # Y, which has a direction axis as well, and Y_h
            if at < len(node.output) and node.output[at]:
                turned = f"{_PREFIX}{i}_output_{at}"
                after.append(helper.make_node("Transpose", [turned], [node.output[at]], perm=perm))
                node.output[at] = turned
        found += [node, *after]
    if len(found) > len(graph.node):
        _replace_nodes(graph, found)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes, including those in the bodies of loops and branches."""
    for node in graph.node:
        yield node
        for a in node.attribute:
            if a.type == onnx.AttributeProto.GRAPH:
                yield from nodes(a.g)


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must feed: those without an initialiser."""
    given = {
        i.name for i in graph.initializer
    }  # files of old IR versions list them among the inputs
    return [i for i in graph.input if i.name not in given]


def dimensions(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the dimensions of an input, None for a free one; return None if even their number is unknown."""
    shape = value.type.tensor_type
    if not shape.HasField("shape"):
        return None
    return [
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
        for d in shape.shape.dim
    ]


def numpy_type(value: onnx.ValueInfoProto) -> Any:
    """Return the NumPy type of an input's elements."""
    kind = value.type.tensor_type.elem_type
    try:
        return helper.tensor_dtype_to_np_dtype(kind).type
    except KeyError:
        raise ModelFileError(f"input {value.name!r}: its type, {kind}, is none of ONNX") from None


def initial_states(graph: onnx.GraphProto) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of each tensor that an RNN node takes as its initial state; None is the number of questions."""
    found: dict[str, tuple[int | None, ...]] = {}
    for node in graph.node:
        if node.op_type == "RNN" and len(node.input) > 5 and node.input[5]:
            given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            directions = 2 if given.get("direction") == b"bidirectional" else 1
            found[node.input[5]] = (directions, None, int(given.get("hidden_size", 0)))
    return found


def vector_input(graph: onnx.GraphProto) -> onnx.ValueInfoProto | None:
    """Return the input of word vectors (float, 3 dimensions, the last not 1) if there is one, otherwise None."""
    states = initial_states(graph)
    for value in graph_inputs(graph):
        dims = dimensions(value)
        if value.name in states or dims is None:
            continue
        if len(dims) == 3 and dims[2] != 1 and np.issubdtype(numpy_type(value), np.floating):
            return value
    return None


def with_vectors(data: bytes, table: WordTable | None) -> bytes:
    """Add an embedding to a model that takes word vectors, so that it takes word ids.

    Parameters
    ----------
    data
        The model.
    table
        Vector of each word id; None: the model must have its own embedding.

    Returns
    -------
    bytes
        The model; unchanged if it takes word ids.

    Raises
    ------
    ModelFileError
        Word vectors are missing, of another size, or given for a model that takes word ids.

    """
    model = parse(data)
    value = vector_input(model.graph)
    takes_ids = any(
        not np.issubdtype(numpy_type(i), np.floating) and len(dimensions(i) or ()) == 2
        for i in graph_inputs(model.graph)
    )
    if value is None or takes_ids:
        if table is not None:
            raise ModelFileError("takes word ids, so it cannot use word vectors (--vectors)")
        return data
    if table is None:
        raise ModelFileError(
            f"input {value.name!r}: takes word vectors; pass their file with --vectors"
        )
    dims = dimensions(value) or []
    if dims[2] is None:
        raise ModelFileError(f"input {value.name!r}: its word vectors have no fixed size")
    if dims[2] != table.matrix.shape[1]:
        raise ModelFileError(
            f"input {value.name!r}: takes vectors of {dims[2]} components, those of --vectors have"
            f" {table.matrix.shape[1]}"
        )
    _embed(model, value, table)
    return bytes(model.SerializeToString())


def _embed(model: onnx.ModelProto, value: onnx.ValueInfoProto, table: WordTable) -> None:
    graph = model.graph
    ids, rows, matrix = (_PREFIX + name for name in ("ids", "rows", "vectors"))
    axes = [d.dim_value or d.dim_param or None for d in value.type.tensor_type.shape.dim[:2]]
    given = onnx.ValueInfoProto()
    given.CopyFrom(helper.make_tensor_value_info(ids, TensorProto.INT64, axes))
    kept = [given if i.name == value.name else i for i in graph.input]
    looked_up = [
        helper.make_node("Gather", [rows, ids], [_PREFIX + "row"], name=_PREFIX + "word"),
        helper.make_node(
            "Gather", [matrix, _PREFIX + "row"], [value.name], name=_PREFIX + "vector"
        ),
    ]
    kept_nodes = [*looked_up, *graph.node]
    # two tables, because words that share a vector share its row
    kind = numpy_type(value)
    graph.initializer.append(numpy_helper.from_array(table.rows.astype(np.int64), rows))
    graph.initializer.append(numpy_helper.from_array(table.matrix.astype(kind), matrix))
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in kept_nodes]
    inputs = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in kept]
    del graph.node[:], graph.input[:]
    graph.node.extend(copies)
    graph.input.extend(inputs)
