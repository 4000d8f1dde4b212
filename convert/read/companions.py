"""The inputs beside the word ids: what each of them is for, and the values that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ..errors import ModelFileError
from .file import dimensions, initial_states, numpy_type

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

Axis = Literal["batch", "time", "one"]
"""What is along an axis of an input: the questions, a question's words, or nothing (its size is 1)."""

Role = Literal["lengths", "mask", "padding", "types", "positions", "state"]
"""What an input beside the word ids is for.

lengths: the number of words; mask: 1 for each word and 0 for padding; padding: the other way round; types: the segment
of each word, always 0; positions: 0, 1, 2 and so on; state: the initial state, zero.
"""

_STATE_RANKS: Final = (2, 3)

_NAMES: Final[dict[Role, tuple[str, ...]]] = {
    "lengths": ("len",),
    "mask": ("mask", "attention"),
    "padding": ("mask", "attention"),
    "types": ("token_type", "tokentype", "input_type", "segment"),
    "positions": ("position",),
}
"""Parts of a name that tell what an input is for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """An input beside the word ids.

    Attributes
    ----------
    name : str
    type : type
        Its NumPy type.
    role : Role
    axes : tuple
        Of a mask, padding, types or positions: what is along each axis.
    shape : tuple
        Of lengths or a state: its shape, None for the number of questions.

    """

    name: str
    type: Any
    role: Role
    axes: tuple[Axis, ...] = ()
    shape: tuple[int | None, ...] = ()

    @property
    def tells_lengths(self) -> bool:
        """Whether it tells the model which words of a batch are padding."""
        return self.role in {"lengths", "mask", "padding"}

    @property
    def told_by_name(self) -> bool:
        """Whether its name says that it is for what it is taken for."""
        return is_named(self.name, self.role)

    def values(self, is_word: NDArray[np.bool_]) -> NDArray[Any]:
        """Return its values; `is_word` (questions, width) is false where there is padding."""
        counts = is_word.sum(axis=1)
        if self.role in {"lengths", "state"}:
            shape = [len(counts) if n is None else n for n in self.shape]
            values = counts.reshape(shape) if self.role == "lengths" else np.zeros(shape)
            return values.astype(self.type)
        table = {
            "mask": is_word,
            "padding": ~is_word,
            "positions": np.maximum(is_word.cumsum(axis=1) - 1, 0),
        }.get(self.role, np.zeros(is_word.shape))
        return arranged(table, self.axes).astype(self.type)


def arranged(table: NDArray[Any], axes: tuple[Axis, ...]) -> NDArray[Any]:
    """Return a table (questions, words) with its axes in the order of an input's."""
    if "batch" not in axes:
        table = table[0]
    elif axes.index("batch") > axes.index("time"):
        table = table.T
    return np.expand_dims(table, tuple(i for i, axis in enumerate(axes) if axis == "one"))


def is_named(name: str, *roles: Role) -> bool:
    """Return whether an input's name says that it is for one of some purposes."""
    return any(part in name.lower() for role in roles for part in _NAMES.get(role, ()))


def without_ones(dims: list[int | None]) -> list[int | None]:
    """Return the dimensions without the last whose size is 1, if there are more than two."""
    at = _axis_of_one(dims)
    return [d for i, d in enumerate(dims) if i != at]


def axes_of(dims: list[int | None], order: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return what is along each axis of an input, given the order of questions and words."""
    at = _axis_of_one(dims)
    return order if at is None else (*order[:at], "one", *order[at:])


def _axis_of_one(dims: list[int | None]) -> int | None:
    if len(dims) < 3:
        return None
    return next((i for i in range(len(dims) - 1, -1, -1) if dims[i] == 1), None)


def companions(
    graph: onnx.GraphProto,
    value: onnx.ValueInfoProto,
    ids: onnx.ValueInfoProto,
    order: tuple[Axis, ...],
) -> list[Companion]:
    """Return what an input beside the ids may be for, the likeliest first.

    Raises
    ------
    ModelFileError
        It has no purpose that is known.

    """
    name, kind, dims = value.name, numpy_type(value), dimensions(value) or []
    given = dimensions(ids) or []
    number = bool(np.issubdtype(kind, np.integer)) or kind == np.bool_
    found: list[Companion] = []
    as_lengths = _lengths_shape(dims, given)
    if number and kind != np.bool_ and as_lengths is not None:
        found.append(Companion(name=name, type=kind, role="lengths", shape=as_lengths))
    if len(dims) > 1 and without_ones(dims) == without_ones(given) and (number or len(dims) == 2):
        axes = axes_of(dims, order)
        found += [Companion(name=name, type=kind, role=r, axes=axes) for r in _roles(name)]
    state = _state_shape(dims) or initial_states(graph).get(name)
    if (
        not number
        and not is_named(name, "mask")
        and len(dims) in _STATE_RANKS
        and state is not None
    ):
        found.append(Companion(name=name, type=kind, role="state", shape=state))
    if not number and as_lengths is not None:
        found.append(Companion(name=name, type=kind, role="lengths", shape=as_lengths))
    if found:
        return found
    reader = next((n for n in graph.node if name in n.input), None)
    named = f"node {reader.name or reader.op_type!r}: " if reader is not None else ""
    raise ModelFileError(
        f"{named}input {name!r} is not a constant weight, and neither word ids, lengths, a mask nor an initial state"
    )


def _roles(name: str) -> list[Role]:
    """Return what an input with a number for each word may be for, the likeliest first."""
    if is_named(name, "types"):
        return ["types"]
    if is_named(name, "positions"):
        return ["positions"]
    return ["padding", "mask"] if "pad" in name.lower() else ["mask", "padding"]


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
