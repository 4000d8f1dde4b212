"""The unknowns of a graph that is being read: word ids and vectors, hidden states, and largest ones over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .affine import CONSTANT, Affine, Unsupported, stack, unknowns

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKED: Final = -1e4
"""Constants at most this large stand for minus infinity where the largest state over time is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """f of a hidden unit: clip, then the function, with a ReLU's largest value.

    Attributes
    ----------
    name : {"Relu", "Tanh", "Sigmoid", "HardSigmoid"}
    ceiling : float
        Largest value of a Relu.
    clip : float
        Bound of the magnitude before f.
    alpha, beta : float
        Of HardSigmoid.

    """

    name: str
    ceiling: float = np.inf
    clip: float = np.inf
    alpha: float = 0.2
    beta: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Application:
    """One activation operator at work on one tensor: `rows` are its pre-activations, its unknowns their values.

    Attributes
    ----------
    node : str
        Name of the node, for error texts.
    activation : Activation
    rows : sparse (units, columns)
    first : int
        Column of the first of its unknowns.
    width : int
        Length of the tensor's last axis.
    tensor : str
        Name of the pre-activation in the outermost graph, or empty.

    """

    node: str
    activation: Activation
    rows: Any
    first: int
    width: int
    tensor: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Maximum:
    """The largest of several unknowns, itself an unknown: the columns that it is taken over."""

    members: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WordId:
    """The id of a word, or what constant tables give for it.

    Attributes
    ----------
    position : int
        Where the word stands in the grid of the model's input, flattened.
    value : int
        The number that stands for it while the graph is read.
    lookup : int64 (words,) or None
        Its number for each word id; None: the id itself.

    """

    position: int
    value: int
    lookup: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """The embedding: its values, and the row of each word."""

    values: NDArray[Any]
    lookup: NDArray[np.int64] | None
    name: str


@dataclass(slots=True, eq=False)
class Unknowns:
    """Columns handed out so far.

    Attributes
    ----------
    owner : list
        For each column: the position of a word vector, the id of a word, the application of a hidden state, or the
        maximum.
    offset : list of int
        For each column: the component, or the unit.
    table : Table or None
        The embedding that the word vectors come from.
    compared : set of int
        Word ids that the graph compares the words with: paddings.

    """

    owner: list[int | WordId | Application | Maximum | None] = field(default_factory=lambda: [None])
    offset: list[int] = field(default_factory=lambda: [0])
    words: dict[int, int] = field(default_factory=dict)
    table: Table | None = None
    compared: set[int] = field(default_factory=set)

    def ids(self, index: NDArray[np.int64], value: int) -> Affine:
        """Make the word ids at positions of the grid; `value` stands for each while the graph is read."""
        first = len(self.owner)
        for position in range(int(index.max()) + 1):
            self._extend(WordId(position=position, value=value), 1)
        return unknowns(first + index)

    def id_columns(self, value: Affine) -> NDArray[np.int64] | None:
        """Return the column of every element if each is a word id, unchanged."""
        columns = single_columns(value.flat())
        if columns is None or not all(isinstance(self.owner[c], WordId) for c in columns.tolist()):
            return None
        return columns.reshape(value.shape)

    def numbers(self, value: Affine) -> NDArray[np.float64] | None:
        """Compute a tensor that depends on nothing but word ids, for the ids that stand there."""
        rows = value.flat()
        known = np.zeros(rows.shape[1])
        known[CONSTANT] = 1
        for c in np.unique(rows.indices).tolist():
            owner = self.owner[c]
            if isinstance(owner, WordId):
                known[c] = owner.value
            elif c != CONSTANT:
                return None
        return np.asarray(rows @ known, dtype=np.float64).reshape(value.shape)

    def looked_up(self, columns: NDArray[np.int64], table: NDArray[np.int64]) -> Affine:
        """Look word ids up in a table of numbers, which makes other ids."""
        fresh = np.empty(columns.shape, dtype=np.int64)
        for at, c in np.ndenumerate(columns):
            owner = self.owner[c]
            if isinstance(owner, WordId):  # the caller made sure
                lookup = table if owner.lookup is None else table[owner.lookup]
                fresh[at] = len(self.owner)
                value = int(table[owner.value])
                self._extend(WordId(position=owner.position, value=value, lookup=lookup), 1)
        return unknowns(fresh)

    def word_vectors(
        self, columns: NDArray[np.int64], values: NDArray[Any], *, name: str
    ) -> Affine:
        """Make the vectors of words from the columns of their ids: a tensor with one more axis."""
        d = values.shape[1]
        starts = np.empty(columns.shape, dtype=np.int64)
        for at, c in np.ndenumerate(columns):
            owner = self.owner[c]
            if not isinstance(owner, WordId):
                continue  # the caller made sure
            table = Table(values=values, lookup=owner.lookup, name=name)
            if self.table is None:
                self.table = table
            elif not _same(self.table, table):
                raise Unsupported(
                    f"embeddings {self.table.name!r} and {name!r}: only one is supported"
                )
            if owner.position not in self.words:
                self.words[owner.position] = len(self.owner)
                self._extend(owner.position, d)
            starts[at] = self.words[owner.position]
        return unknowns(starts[..., None] + np.arange(d))

    def activate(
        self, value: Affine, activation: Activation, *, node: str, tensor: str = ""
    ) -> Affine:
        """Apply an activation: its results are new unknowns.

        Bounding what is bounded below by 0 already (a ReLU6 written as Relu and Clip) changes the ReLU's ceiling
        instead.
        """
        rows = value.flat()
        before = self._relu_before(rows) if activation.name == "Relu" else None
        if before is not None:
            if activation.ceiling >= before.activation.ceiling:
                return value
            activation = replace(before.activation, ceiling=activation.ceiling)
            rows = before.rows[self._offsets(rows)]
        first = len(self.owner)
        width = value.shape[-1] if value.shape else 1
        application = Application(
            node=node, activation=activation, rows=rows, first=first, width=width, tensor=tensor
        )
        self._extend(application, rows.shape[0])
        return unknowns(first + np.arange(rows.shape[0], dtype=np.int64).reshape(value.shape))

    def is_relu(self, value: Affine) -> bool:
        """Tell whether every element is a result of one application of Relu."""
        return self._relu_before(value.flat()) is not None

    def _relu_before(self, rows: Any) -> Application | None:
        columns = single_columns(rows)
        if columns is None or not len(columns):
            return None
        owners = {id(o): o for o in (self.owner[c] for c in columns.tolist())}
        only = next(iter(owners.values()))
        if len(owners) != 1 or not isinstance(only, Application):
            return None
        return only if only.activation.name == "Relu" else None

    def _offsets(self, rows: Any) -> NDArray[np.int64]:
        return np.array([self.offset[c] for c in rows.indices], dtype=np.int64)

    def largest(self, value: Affine, groups: NDArray[np.int64]) -> Affine:
        """Take the largest of each row of `groups` (rows of the value's table)."""
        columns = []
        for group in groups:
            members: set[int] = set()
            for row in group.tolist():
                members |= self._members(value.rows[[row]])
            columns.append(len(self.owner))
            self._extend(Maximum(members=frozenset(members)), 1)
        return unknowns(np.array(columns, dtype=np.int64))

    def larger(self, a: Affine, b: Affine) -> Affine:
        """Take the larger of two tensors, element by element."""
        a, b = stack([a, b])
        i, j = np.broadcast_arrays(a.index, b.index)
        pairs = np.stack([i.reshape(-1), j.reshape(-1)], axis=1)
        result = self.largest(a, pairs)
        return result.moved(result.index.reshape(i.shape))

    def _members(self, row: Any) -> set[int]:
        row = row.tocoo()
        terms = {int(c): float(v) for c, v in zip(row.coords[1], row.data, strict=True) if v}
        if terms.pop(CONSTANT, 0.0) <= MASKED:
            return set()
        if list(terms.values()) != [1.0]:
            raise Unsupported("takes the largest of other values than hidden states")
        column = next(iter(terms))
        owner = self.owner[column]
        return set(owner.members) if isinstance(owner, Maximum) else {column}

    def _extend(self, owner: int | WordId | Application | Maximum, n: int) -> None:
        self.owner += [owner] * n
        self.offset += range(n)


def single_columns(rows: Any) -> NDArray[np.int64] | None:
    """Return the column of every row if each is one unknown and nothing else."""
    if (
        (np.diff(rows.indptr) != 1).any()
        or (rows.data != 1).any()
        or (rows.indices == CONSTANT).any()
    ):
        return None
    return np.asarray(rows.indices, dtype=np.int64)


def _same(a: Table, b: Table) -> bool:
    if a.values is not b.values and not (
        a.values.shape == b.values.shape and np.array_equal(a.values, b.values)
    ):
        return False
    if a.lookup is None or b.lookup is None:
        return a.lookup is b.lookup
    return np.array_equal(a.lookup, b.lookup)
