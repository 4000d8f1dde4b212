"""The inputs of a model file: which one takes the words, what the others are for, how questions are laid out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..errors import ModelFileError
from .companions import arranged, axes_of, companions, is_named, without_ones
from .file import dimensions, graph_inputs, numpy_type

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from .companions import Axis, Companion

Side = Literal["left", "right"]
"""An end of a question: its first words are on the left."""


class Cut(NamedTuple):
    """The words that a model leaves out: it reads the first `words` of a question (side right), or the last (left)."""

    words: int
    side: Side

    def apply(self, question: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the words of a question that the model reads."""
        return question[: self.words] if self.side == "right" else question[-self.words :]


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
        return any(c.tells_lengths for c in self.companions)

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
            feed[c.name] = c.values(is_word)
        return feed


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
        as_float = len(dims) == 2 or (len(dims) == 3 and 1 in dims and name in looked_up)
        if len(without_ones(dims)) not in {1, 2} or not (whole or as_float):
            continue
        named_otherwise = is_named(name, "mask", "types", "positions")
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


def _whole(value: onnx.ValueInfoProto) -> bool:
    return bool(np.issubdtype(numpy_type(value), np.integer))


def _with_ids(
    graph: onnx.GraphProto, inputs: dict[str, onnx.ValueInfoProto], ids: str
) -> list[InputLayout]:
    """Return the possible layouts if the input `ids` takes the words."""
    dims = dimensions(inputs[ids]) or []
    kept = without_ones(dims)
    others = [n for n in inputs if n != ids]
    base = InputLayout(
        ids=ids, ids_type=numpy_type(inputs[ids]), axes=("time",), batch=None, length=kept[-1]
    )
    found = []
    single: list[tuple[Axis, ...]] = [("time",)]
    for order in _orders(inputs, ids, others) if len(kept) == 2 else single:
        axes = axes_of(dims, order)
        sizes = {axis: dims[i] for i, axis in enumerate(axes)}
        layout = replace(base, axes=axes, batch=sizes.get("batch"), length=sizes["time"])
        choices = [companions(graph, inputs[n], inputs[ids], order) for n in others]
        for chosen in product(*choices):
            marked = any(c.role == "lengths" for c in chosen)
            fixed = [c.shape[-2] for c in chosen if c.role == "state"]
            found.append(
                replace(
                    layout,
                    # a state of a fixed size fixes the number of questions
                    batch=layout.batch or next((n for n in fixed if n is not None), None),
                    companions=tuple(chosen),
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
