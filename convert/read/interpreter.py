"""Run an ONNX graph once, with unknowns in place of the question's words.

Values that depend on no word (shapes, lengths, zero states, loop counters) are computed (`single_node`).  Values that
depend on words are expressions, with a function for each operator (`operators`).  What is not affine but depends on one
word alone is a function of that word (`word_operators`).  Loops and branches are executed.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import numpy_helper

from ..errors import ModelFileError
from . import operators, pooling
from .affine import Affine, Unsupported
from .einsum import einsum
from .file import quantised, tensors_read
from .operators import Frame, affine, attribute, concatenated, failure
from .packed_weights import packed_matmul
from .rnn_operator import rnn
from .session import first_line
from .word_operators import on_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray


MAX_ROUNDS: Final = 10_000
"""Most rounds of a loop; a longer one is taken to be endless."""

ENDINGS: Final = {"ArgMax", "Hardmax", "LogSoftmax", "Softmax"}
"""Operators that may follow the logits; none of them changes which class is largest."""

HANDLERS: Final = {
    **operators.HANDLERS,
    **pooling.HANDLERS,
    "Einsum": einsum,
    "RNN": rnn,
    "com.microsoft.MatMulNBits": packed_matmul,
}
"""Function for each operator that may be applied to values that depend on the question's words."""

_AFTER_ENDING: Final = {
    "Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EndedLogits:
    """The result of one of ENDINGS, with the logits that it was applied to.

    Attributes
    ----------
    logits : Affine
    tensor : str
        Name of the logits in the outermost graph; empty if they are inside a body.
    operator : str
        Which of ENDINGS.

    """

    logits: Affine
    tensor: str
    operator: str


def run_graph(
    frame: Frame, graph: onnx.GraphProto, inputs: Mapping[str, Any], wanted: Iterable[str]
) -> list[Any]:
    """Run the nodes that some tensors of a graph depend on; return these tensors.

    Parameters
    ----------
    frame
        Context of its nodes.
    graph
        The graph, or the body of a loop or branch.
    inputs
        Values of its inputs and, for a body, of all tensors of the graphs around it.
    wanted
        Names of the tensors to return.

    Raises
    ------
    ModelFileError
        A node is not supported; the message names it.

    """
    wanted = list(wanted)
    # results go into a separate map, because a body must not overwrite tensors of the graphs around it
    scope: ChainMap[str, Any] = ChainMap({}, dict(inputs))
    scope.update({i.name: _weight(i) for i in graph.initializer})
    for node in _needed(graph, wanted):
        results = _run_node(frame, node, scope)
        scope.update({n: v for n, v in zip(node.output, results, strict=False) if n})
    missing = next((name for name in wanted if name not in scope), None)
    if missing is not None:
        raise ModelFileError(f"tensor {missing!r}: no node computes it")
    return [scope[name] for name in wanted]


def _weight(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Return an initialiser as an array."""
    try:
        return numpy_helper.to_array(tensor)
    except Exception as e:  # noqa: BLE001 - types, sizes and places that onnx does not know raise anything
        line = f"{type(e).__name__}: {first_line(e)}"
        raise ModelFileError(f"weight {tensor.name!r}: cannot be read: {line}") from None


def _needed(graph: onnx.GraphProto, wanted: list[str]) -> list[onnx.NodeProto]:
    """Return the nodes that some tensors depend on, in the graph's order."""
    # other outputs, such as a label next to the logits, may use operators that are not supported
    names, found = set(wanted), []
    for node in reversed(graph.node):
        if names.intersection(node.output):
            found.append(node)
            names |= set(tensors_read(node))
    return found[::-1]


def _run_node(frame: Frame, node: onnx.NodeProto, scope: ChainMap[str, Any]) -> list[Any]:
    name = node.name or node.op_type
    absent = next((n for n in node.input if n and n not in scope), None)
    if absent is not None:
        raise ModelFileError(f"node {name!r}: no node computes its input {absent!r}")
    values = [scope[n] if n else None for n in node.input]
    try:
        return _results(frame, node, values, scope)
    except Unsupported as e:
        raise ModelFileError(f"node {name!r}: {e}") from None
    except ModelFileError:
        raise
    except Exception as e:  # noqa: BLE001 - NumPy, onnx and onnxruntime raise anything for what does not fit
        # such as shapes, when batch and time are swapped
        raise failure(node, e) from None


def _results(
    frame: Frame, node: onnx.NodeProto, values: list[Any], scope: ChainMap[str, Any]
) -> list[Any]:
    kind = node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}.{node.op_type}"
    if kind in _CONTROL:
        return _CONTROL[kind](frame, node, values, scope)
    if kind in _SEQUENCES:
        return [_SEQUENCES[kind](node, values)]
    # no input depends on a word, so any operator of onnx will do
    if all(v is None or isinstance(v, np.ndarray) for v in values):
        return [None if v is None else np.asarray(v) for v in frame.reference(node, values)]
    return _on_unknowns(frame, kind, node, values)


def _on_unknowns(frame: Frame, kind: str, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    if isinstance(values[0], EndedLogits):
        return [_ended(frame, node, values[0])]
    if kind in ENDINGS:
        return on_words(frame, kind, node, values) or [_ended(frame, node, values[0])]
    try:
        return _handled(frame, kind, node, values)
    except Unsupported:
        found = _not_affine(frame, kind, node, values)
        if found is None:
            raise
        return found


def _handled(frame: Frame, kind: str, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    if node.op_type == "QuantizeLinear":
        raise quantised(node)
    if kind not in HANDLERS:
        raise Unsupported(
            f"operator {kind} is not supported on values that depend on the question's words"
        )
    return HANDLERS[kind](frame, node, values)


def _not_affine(
    frame: Frame, kind: str, node: onnx.NodeProto, values: list[Any]
) -> list[Any] | None:
    """Apply a node that computes no affine expressions: to functions of one word, or to masks; None: to neither."""
    expressions = [v for v in values if isinstance(v, Affine)]
    states = [frame.unknowns.reads_states(v) for v in expressions]
    # the first state depends on one word as well, but what multiplies it is a mask rather than a feature of the word
    if any(states) and not all(states):
        return _masked(frame, kind, node, values) or on_words(frame, kind, node, values)
    return on_words(frame, kind, node, values) or _masked(frame, kind, node, values)


def _masked(frame: Frame, kind: str, node: onnx.NodeProto, values: list[Any]) -> list[Any] | None:
    """Apply a node with its masks as they are for words that are not padding; return None if it has no mask."""
    decided = [frame.unknowns.decided(v) if isinstance(v, Affine) else None for v in values]
    if all(d is None for d in decided):
        return None
    known = [v if d is None else d for v, d in zip(values, decided, strict=True)]
    if all(v is None or isinstance(v, np.ndarray) for v in known):
        return frame.reference(node, known)
    return _handled(frame, kind, node, known)


def _ended(frame: Frame, node: onnx.NodeProto, value: Any) -> EndedLogits:
    """Handle one of ENDINGS, or an operator after it, by keeping the logits that it was applied to."""
    if isinstance(value, EndedLogits):
        if node.op_type not in _AFTER_ENDING:
            raise Unsupported(f"operator {node.op_type} after {value.operator} is not supported")
        return value
    logits = affine(value)
    _check_axis(node, logits)
    tensor = node.input[0] if frame.outermost else ""
    return EndedLogits(logits=logits, tensor=tensor, operator=node.op_type)


def _check_axis(node: onnx.NodeProto, logits: Affine) -> None:
    rank = len(logits.shape)
    default = 0 if node.op_type == "ArgMax" else -1
    if attribute(node, "axis", default) % rank != rank - 1:
        raise Unsupported(
            f"{node.op_type} is not taken over the classes, the last axis, but over another one, as attention does"
        )


def _loop(
    frame: Frame, node: onnx.NodeProto, values: list[Any], scope: ChainMap[str, Any]
) -> list[Any]:
    body = attribute(node, "body")
    # both the number of rounds and the condition are optional
    rounds = MAX_ROUNDS + 1 if values[0] is None else int(_known(frame, values[0]))
    going = True if values[1] is None else bool(_known(frame, values[1]))
    carried = values[2:]
    scanned: list[list[Any]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    inner = frame.for_body()
    turn = 0
    while going and turn < rounds:
        if turn == MAX_ROUNDS:
            raise Unsupported(f"loops more than {MAX_ROUNDS} times")
        given = [np.array(turn, dtype=np.int64), np.array(True), *carried]  # noqa: FBT003 - ONNX passes the condition
        named = dict(zip((i.name for i in body.input), given, strict=True))
        results = run_graph(inner, body, scope | named, [o.name for o in body.output])
        going = bool(_known(frame, results[0]))
        carried = results[1 : 1 + len(carried)]
        for gathered, value in zip(scanned, results[1 + len(carried) :], strict=True):
            gathered.append(value)
        turn += 1
    return [*carried, *(_stacked(gathered) for gathered in scanned)]


def _stacked(values: list[Any], axis: int = 0) -> Any:
    return concatenated(values, axis, new=True) if values else None


def _known(frame: Frame, value: Any) -> Any:
    """Return the number that decides which nodes run."""
    known = frame.unknowns.decided(value) if isinstance(value, Affine) else value
    if not isinstance(known, np.ndarray):
        raise Unsupported("branches or loops on a value that depends on the question's words")
    return known.reshape(-1)[0]


def _scan(
    frame: Frame, node: onnx.NodeProto, values: list[Any], scope: ChainMap[str, Any]
) -> list[Any]:
    if frame.opsets.get("", 9) < 9:
        raise Unsupported("Scan of operator set 8 is not supported, only of set 9 and later")
    body = attribute(node, "body")
    n_scanned = attribute(node, "num_scan_inputs")
    n_states = len(values) - n_scanned
    carried, sources = values[:n_states], [affine_or_array(v) for v in values[n_states:]]
    axes = attribute(node, "scan_input_axes", [0] * n_scanned)
    directions = attribute(node, "scan_input_directions", [0] * n_scanned)
    n_out = len(body.output) - n_states
    out_axes = attribute(node, "scan_output_axes", [0] * n_out)
    out_directions = attribute(node, "scan_output_directions", [0] * n_out)
    length = sources[0].shape[axes[0]]
    inner = frame.for_body()
    scanned: list[list[Any]] = [[] for _ in range(n_out)]
    for turn in range(length):
        parts = [
            _take(s, length - 1 - turn if back else turn, axis)
            for s, axis, back in zip(sources, axes, directions, strict=True)
        ]
        named = dict(zip((i.name for i in body.input), [*carried, *parts], strict=True))
        results = run_graph(inner, body, scope | named, [o.name for o in body.output])
        carried = results[:n_states]
        for gathered, value in zip(scanned, results[n_states:], strict=True):
            gathered.append(value)
    outputs = [
        _stacked(gathered[::-1] if back else gathered, axis)
        for gathered, axis, back in zip(scanned, out_axes, out_directions, strict=True)
    ]
    return [*carried, *outputs]


def affine_or_array(value: Any) -> Any:
    """Return a value that `_take` can slice: numbers as they are, anything else as expressions."""
    return value if isinstance(value, np.ndarray) else affine(value)


def _take(value: Any, i: int, axis: int) -> Any:
    if isinstance(value, Affine):
        return value.rearranged(np.take(value.index, i, axis=axis))
    return np.take(value, i, axis=axis)


def _if(
    frame: Frame, node: onnx.NodeProto, values: list[Any], scope: ChainMap[str, Any]
) -> list[Any]:
    # the condition is known: only the branch taken is run
    body = attribute(node, "then_branch" if _known(frame, values[0]) else "else_branch")
    inner = frame.for_body()
    return run_graph(inner, body, scope, [o.name for o in body.output])


def _insert(_node: onnx.NodeProto, values: list[Any]) -> Any:
    sequence, value = list(values[0]), values[1]
    at = len(sequence) if len(values) < 3 else int(values[2])
    sequence.insert(at, value)
    return sequence


def _concat_sequence(node: onnx.NodeProto, values: list[Any]) -> Any:
    new = bool(attribute(node, "new_axis", 0))
    return concatenated(values[0], attribute(node, "axis"), new=new)


def _split_to_sequence(node: onnx.NodeProto, values: list[Any]) -> Any:
    value = affine_or_array(values[0])
    split = values[1] if len(values) > 1 else None
    axis = attribute(node, "axis", 0)
    size = value.shape[axis]
    if split is None:
        if not attribute(node, "keepdims", 1):
            return [_take(value, i, axis) for i in range(size)]
        ends = list(range(1, size))
    elif split.ndim:
        ends = np.cumsum(split)[:-1].tolist()
    else:  # parts of this size, the last may be smaller
        ends = list(range(int(split), size, int(split)))
    if isinstance(value, Affine):
        return [value.rearranged(part) for part in np.split(value.index, ends, axis)]
    return np.split(value, ends, axis)


_CONTROL: Final = {"If": _if, "Loop": _loop, "Scan": _scan}
_SEQUENCES: Final[dict[str, Callable[[onnx.NodeProto, list[Any]], Any]]] = {
    "ConcatFromSequence": _concat_sequence,
    "SequenceAt": lambda _, values: values[0][int(values[1])],
    "SequenceConstruct": lambda _, values: list(values),
    "SequenceEmpty": lambda *_: [],
    "SequenceInsert": _insert,
    "SequenceLength": lambda _, values: np.array(len(values[0]), dtype=np.int64),
    "SplitToSequence": _split_to_sequence,
}
