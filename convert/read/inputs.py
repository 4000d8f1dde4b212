"""The inputs of a model file: which one takes the words, what the others are for, how questions are laid out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ..errors import ModelFileError
from .file import dimensions, graph_inputs, initial_states, numpy_type

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

Axis = Literal["batch", "time", "one"]
"""What is along an axis of an input: the questions, a question's words, or nothing (its size is 1)."""

Role = Literal["lengths", "mask", "types", "state"]
"""What an input beside the word ids is for: the number of words, 1 for each word and 0 for padding, the segment of each
word (always 0), the initial state (zero)."""

Side = Literal["left", "right"]
"""An end of a question: its first words are on the left."""

_STATE_RANKS: Final = (2, 3)


class Cut(NamedTuple):
    """The words that a model leaves out: it reads the first `words` of a question (side right), or the last (left)."""

    words: int
    side: Side

    def apply(self, question: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the words of a question that the model reads."""
        return question[: self.words] if self.side == "right" else question[-self.words :]


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """An input beside the word ids.

    Attributes
    ----------
    name : str
    type : type
        Its NumPy type.
    role : {"lengths", "mask", "types", "state"}
    axes : tuple
        Of a mask or types: what is along each axis.
    shape : tuple
        Of lengths or a state: its shape, None for the number of questions.

    """

    name: str
    type: Any
    role: Role
    axes: tuple[Axis, ...] = ()
    shape: tuple[int | None, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class InputLayout:
    """How a model takes its questions: names, types, axes and sizes of its inputs.

    Attributes
    ----------
    ids : str
        Name of the input of word ids.
    ids_type : type
        Its NumPy type.
    axes : tuple of {"batch", "time", "one"}
        What is along each of its axes; without "batch", it takes a single question.
    batch : int or None
        Number of questions that it takes at once; None: any.
    length : int or None
        Number of words that a question must have; None: any.
    companions : tuple of Companion
        The other inputs.
    padding : int or None
        Word id that fills up short questions: 0 if there are lengths or a mask that the model heeds, or else the id
        that the model itself takes for padding; None: the model would take padding for words.
    padding_side : {"left", "right"}
        Whether that padding comes before the words or after them.
    cut : Cut or None
        The words that the model itself leaves out of longer questions; None: it reads all.

    """

    ids: str
    ids_type: Any
    axes: tuple[Axis, ...]
    batch: int | None
    length: int | None
    companions: tuple[Companion, ...] = ()
    padding: int | None = None
    padding_side: Side = "right"
    cut: Cut | None = None

    @property
    def tells_lengths(self) -> bool:
        """Whether an input tells the model which words of a batch are padding: lengths or a mask."""
        return any(c.role in {"lengths", "mask"} for c in self.companions)

    @property
    def one_at_a_time(self) -> bool:
        """Whether it takes one question only: it has no axis of questions, or a single length."""
        single = any(c.role == "lengths" and not c.shape for c in self.companions)
        return "batch" not in self.axes or single

    def can_run(self, length: int) -> bool:
        """Return whether the model takes questions of `length` words."""
        if self.length is None or length == self.length:
            return True
        return self.padding is not None and length < self.length

    def feed(self, questions: list[NDArray[np.int64]]) -> dict[str, NDArray[Any]]:
        """Return the model's inputs for some questions, by name."""
        counts = np.array([len(q) for q in questions])
        width = int(counts.max()) if self.length is None else self.length
        table = np.full((len(questions), width), self.padding or 0)
        is_word = np.arange(width) < counts[:, None]
        if self.padding_side == "left":
            is_word = is_word[:, ::-1]
        table[is_word] = np.concatenate(questions)
        feed = {self.ids: arranged(table, self.axes).astype(self.ids_type)}
        for c in self.companions:
            feed[c.name] = companion_values(c, is_word).astype(c.type)
        return feed


def arranged(table: NDArray[Any], axes: tuple[Axis, ...]) -> NDArray[Any]:
    """Return a table (questions, words) with its axes in the order of an input's."""
    if "batch" not in axes:
        table = table[0]
    elif axes.index("batch") > axes.index("time"):
        table = table.T
    return np.expand_dims(table, tuple(i for i, axis in enumerate(axes) if axis == "one"))


def companion_values(c: Companion, is_word: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values of an input beside the ids; `is_word` (questions, width) is false where there is padding."""
    if c.role in {"lengths", "state"}:
        counts = is_word.sum(axis=1)
        shape = [len(counts) if n is None else n for n in c.shape]
        return counts.reshape(shape) if c.role == "lengths" else np.zeros(shape)
    return arranged(is_word if c.role == "mask" else np.zeros_like(is_word), c.axes)


def layouts(graph: onnx.GraphProto) -> list[InputLayout]:
    """Return the possible layouts of the model's inputs, the likeliest first.

    Raises
    ------
    ModelFileError
        No input can be word ids, or one has no purpose that is known; the message names it.

    """
    inputs = {i.name: i for i in graph_inputs(graph)}
    for name, value in inputs.items():
        if dimensions(value) is None:
            raise ModelFileError(f"input {name!r}: the number of its dimensions is not known")
    found: list[InputLayout] = []
    refusals: list[ModelFileError] = []
    for ids in _by_likelihood(graph, inputs):
        try:
            found += _with_ids(graph, inputs, ids)
        except ModelFileError as e:
            refusals.append(e)
    if found:
        return found
    if refusals:
        raise refusals[0]
    shown = ", ".join(f"{n!r} ({_shape_text(v)})" for n, v in inputs.items()) or "none"
    raise ModelFileError(
        f"inputs {shown}: expected word ids, (batch, time), and optionally lengths, a mask or an initial state"
    )


def _shape_text(value: onnx.ValueInfoProto) -> str:
    kind = np.dtype(numpy_type(value)).name
    dims = [str(d.dim_value or d.dim_param or "?") for d in value.type.tensor_type.shape.dim]
    return f"{kind} {' x '.join(dims)}"


def _by_likelihood(graph: onnx.GraphProto, inputs: dict[str, onnx.ValueInfoProto]) -> list[str]:
    """Return the inputs that may be word ids, the likeliest first."""
    looked_up = _looked_up(graph)
    scores = {}
    for name, value in inputs.items():
        dims = dimensions(value) or []
        whole = _whole(value)
        # word ids are integers, but Keras declares them as float, (batch, time), and casts them
        if not (len(_without_ones(dims)) in {1, 2} and (whole or len(dims) == 2)) or len(dims) > 3:
            continue
        named_otherwise = _is_mask(name) or _is_types(name)
        scores[name] = (named_otherwise, len(dims) < 2, not whole, name not in looked_up)
    likeliest = sorted(scores, key=lambda n: scores[n])
    # a name decides where there is a choice
    return [n for n in likeliest if scores[n][0] == scores[likeliest[0]][0]]


def _looked_up(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors by which rows are looked up, through operators that keep numbers."""
    found = {n.input[1] for n in graph.node if n.op_type == "Gather"}
    for node in reversed(graph.node):
        if found.intersection(node.output) and node.input:
            found.add(node.input[0])
    return found


def _is_mask(name: str) -> bool:
    return "mask" in name.lower()


def _is_types(name: str) -> bool:
    return any(part in name.lower() for part in ("type", "segment"))


def _whole(value: onnx.ValueInfoProto) -> bool:
    return bool(np.issubdtype(numpy_type(value), np.integer))


def _without_ones(dims: list[int | None]) -> list[int | None]:
    """Return the dimensions without those after the first whose size is 1, if there are more than two."""
    if len(dims) < 3:
        return dims
    last = next((i for i in range(len(dims) - 1, 0, -1) if dims[i] == 1), None)
    return [d for i, d in enumerate(dims) if i != last]


def _axes(dims: list[int | None], order: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return what is along each axis of an input, given the order of questions and words."""
    if len(dims) == len(order):
        return order
    last = next(i for i in range(len(dims) - 1, 0, -1) if dims[i] == 1)
    return (*order[:last], "one", *order[last:])


def _with_ids(
    graph: onnx.GraphProto, inputs: dict[str, onnx.ValueInfoProto], ids: str
) -> list[InputLayout]:
    """Return the possible layouts if the input `ids` takes the words."""
    dims = dimensions(inputs[ids]) or []
    kept = _without_ones(dims)
    others = [n for n in inputs if n != ids]
    base = InputLayout(
        ids=ids, ids_type=numpy_type(inputs[ids]), axes=("time",), batch=None, length=kept[-1]
    )
    found = []
    single: list[tuple[Axis, ...]] = [("time",)]
    for order in _orders(inputs, ids, others) if len(kept) == 2 else single:
        axes = _axes(dims, order)
        sizes = {axis: dims[i] for i, axis in enumerate(axes)}
        layout = replace(base, axes=axes, batch=sizes.get("batch"), length=sizes["time"])
        choices = [_companions(graph, inputs[n], inputs[ids], order) for n in others]
        for companions in product(*choices):
            marked = any(c.role == "lengths" for c in companions)
            fixed = [c.shape[-2] for c in companions if c.role == "state"]
            found.append(
                replace(
                    layout,
                    # a state of a fixed size fixes the number of questions
                    batch=layout.batch or next((n for n in fixed if n is not None), None),
                    companions=tuple(companions),
                    padding=0 if marked else None,
                )
            )
    return found


def _orders(
    inputs: dict[str, onnx.ValueInfoProto], ids: str, others: list[str]
) -> list[tuple[Axis, ...]]:
    """Return the possible orders of questions and words in a table of word ids."""
    orders: list[tuple[Axis, ...]] = [("batch", "time"), ("time", "batch")]
    names = [d.dim_param for d in inputs[ids].type.tensor_type.shape.dim if d.dim_value != 1]
    # lengths are along the batch axis, and exporters name axes
    for name in others:
        batch = [d.dim_param for d in inputs[name].type.tensor_type.shape.dim]
        if len(names) == 2 and len(batch) == 1 and batch[0] and _whole(inputs[name]):
            return [o for o in orders if names[o.index("batch")] == batch[0]] or orders
    return orders


def _companions(
    graph: onnx.GraphProto,
    value: onnx.ValueInfoProto,
    ids: onnx.ValueInfoProto,
    order: tuple[Axis, ...],
) -> list[Companion]:
    """Return what an input beside the ids may be for, the likeliest first."""
    name, kind, dims = value.name, numpy_type(value), dimensions(value) or []
    given = dimensions(ids) or []
    number = _whole(value) or kind == np.bool_
    roles: list[Companion] = []
    as_lengths = _lengths_shape(dims, given)
    if _whole(value) and as_lengths is not None:
        roles.append(Companion(name=name, type=kind, role="lengths", shape=as_lengths))
    alike = len(dims) > 1 and _without_ones(dims) == _without_ones(given)
    if alike and (number or len(dims) == 2):
        role: Role = "types" if _is_types(name) else "mask"
        roles.append(Companion(name=name, type=kind, role=role, axes=_axes(dims, order)))
    state = _state_shape(dims) or initial_states(graph).get(name)
    if not number and not _is_mask(name) and len(dims) in _STATE_RANKS and state is not None:
        roles.append(Companion(name=name, type=kind, role="state", shape=state))
    if roles:
        return roles
    reader = next((n for n in graph.node if name in n.input), None)
    named = f"node {reader.name or reader.op_type!r}: " if reader is not None else ""
    raise ModelFileError(
        f"{named}input {name!r} is not a constant weight, and neither word ids, lengths, a mask nor an initial state"
    )


def _lengths_shape(dims: list[int | None], ids: list[int | None]) -> tuple[int | None, ...] | None:
    """Return the shape of lengths, with None for the number of questions; None: they are not lengths."""
    if len(dims) < 2:
        return tuple(None for _ in dims)
    if len(dims) == 2 and 1 in dims and dims != ids:
        return (None, 1) if dims[1] == 1 else (1, None)
    return None


def _state_shape(dims: list[int | None]) -> tuple[int | None, ...] | None:
    """Return the shape of an initial state as the file declares it, if only the number of questions is free."""
    return tuple(dims) if dims.count(None) <= 1 else None
