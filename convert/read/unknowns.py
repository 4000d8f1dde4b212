"""The unknowns of a graph: word ids, components of word vectors, hidden states, and largest states over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .affine import CONSTANT, Affine, Unsupported, stack, unknowns

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKED: Final = -1e4
"""Largest constant that a mask may use for minus infinity, where a maximum over time skips padding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """f of a hidden unit: clip, then the function, then a ReLU's ceiling.

    Attributes
    ----------
    name : {"Relu", "Tanh", "Sigmoid", "HardSigmoid", "Softsign", "Affine"}
    ceiling : float
        Largest value of a Relu; inf: none.
    clip : float
        Bound of the pre-activation's magnitude; inf: none.
    alpha, beta : float
        Slope and offset of a HardSigmoid or an Affine.

    """

    name: str
    ceiling: float = np.inf
    clip: float = np.inf
    alpha: float = 0.2
    beta: float = 0.5

    def is_bound(self) -> bool:
        """Return whether it only bounds its argument to -clip..clip."""
        return self.name == "Affine" and (self.alpha, self.beta) == (1, 0)

    def bounded(self, clip: float) -> Activation:
        """Return the activation of an argument that is bounded to -clip..clip before."""
        if self.name == "Relu":
            return replace(self, ceiling=min(self.ceiling, clip))
        return replace(self, clip=min(self.clip, clip))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Application:
    """One activation operator applied to one tensor; each of its results is an unknown.

    Attributes
    ----------
    node : str
        Name of the node, for error texts.
    activation : Activation
    rows : sparse (units, columns)
        Its pre-activations.
    first : int
        Column of its first unknown.
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
    """An unknown that is the largest of several others; `members` are their columns."""

    members: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WordId:
    """The id of a word, or the number that constant tables map it to.

    Attributes
    ----------
    position : int
        Position of the word in the model's input, flattened.
    value : int
        The number that comparisons use for it while the graph is read.
    lookup : int64 (words,) or None
        Number that each word id is mapped to; None: the id itself.

    """

    position: int
    value: int
    lookup: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GivenState:
    """An element of an input that may be the initial state; `name` is the input's."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmbeddingTable:
    """An embedding: its values (rows, d), the row of each word id (None: the id itself), and its name."""

    values: NDArray[Any]
    lookup: NDArray[np.int64] | None
    name: str


@dataclass(slots=True, eq=False)
class Unknowns:
    """The columns of all unknowns so far.

    Attributes
    ----------
    owner : list
        What each column belongs to: the position of a word vector, a word id, the application that computed a hidden
        state, an input that may be the initial state, or a maximum; None: the constant term.
    offset : list of int
        Component of the word vector, or unit of the application, of each column.
    words : dict
        Column of the first component of the word vector at each position.
    table : EmbeddingTable or None
        The embedding that the word vectors come from.
    compared : set of int
        Word ids with which the graph compares the words: candidates for padding.

    """

    owner: list[int | WordId | Application | GivenState | Maximum | None] = field(
        default_factory=lambda: [None]
    )
    offset: list[int] = field(default_factory=lambda: [0])
    words: dict[int, int] = field(default_factory=dict)
    table: EmbeddingTable | None = None
    compared: set[int] = field(default_factory=set)

    def ids(self, index: NDArray[np.int64], value: int) -> Affine:
        """Return a tensor of the word ids at these positions; comparisons use `value` for each of them."""
        first = len(self.owner)
        for position in range(int(index.max()) + 1):
            self._extend(WordId(position=position, value=value), 1)
        return unknowns(first + index)

    def given_state(self, name: str, shape: tuple[int, ...]) -> Affine:
        """Return a tensor of unknowns for an input that may be the initial state."""
        n = int(np.prod(shape, dtype=np.int64))
        first = len(self.owner)
        self._extend(GivenState(name=name), n)
        return unknowns(first + np.arange(n, dtype=np.int64).reshape(shape))

    def id_columns(self, value: Affine) -> NDArray[np.int64] | None:
        """Return the column of every element if all of them are word ids, otherwise None."""
        columns = single_columns(value.flat())
        if columns is None or not all(isinstance(self.owner[c], WordId) for c in columns.tolist()):
            return None
        return columns.reshape(value.shape)

    def numbers(self, value: Affine) -> NDArray[np.float64] | None:
        """Return the values of a tensor for the ids' current `value`s, or None if it depends on more than word ids."""
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

    def look_up(self, columns: NDArray[np.int64], table: NDArray[np.int64]) -> Affine:
        """Map word ids by a table of numbers; the results are word ids again."""
        fresh = np.empty(columns.shape, dtype=np.int64)
        for at, c in np.ndenumerate(columns):
            owner = self.owner[c]
            if isinstance(owner, WordId):  # always, `id_columns` checked it
                lookup = table if owner.lookup is None else table[owner.lookup]
                fresh[at] = len(self.owner)
                value = int(table[owner.value])
                self._extend(WordId(position=owner.position, value=value, lookup=lookup), 1)
        return unknowns(fresh)

    def word_vectors(
        self, columns: NDArray[np.int64], values: NDArray[Any], *, name: str
    ) -> Affine:
        """Return the word vectors for the columns of word ids: a tensor with one more axis."""
        d = values.shape[1]
        starts = np.empty(columns.shape, dtype=np.int64)
        for at, c in np.ndenumerate(columns):
            owner = self.owner[c]
            if not isinstance(owner, WordId):
                continue  # never, `id_columns` checked it
            table = EmbeddingTable(values=values, lookup=owner.lookup, name=name)
            if self.table is None:
                self.table = table
            # unrolled graphs look up the embedding once for each word
            elif not _same(self.table, table):
                raise Unsupported(
                    f"embeddings {self.table.name!r} and {name!r}: only one is supported"
                )
            # the same word looked up twice has the same vector, so the same unknowns
            if owner.position not in self.words:
                self.words[owner.position] = len(self.owner)
                self._extend(owner.position, d)
            starts[at] = self.words[owner.position]
        return unknowns(starts[..., None] + np.arange(d))

    def activate(
        self, value: Affine, activation: Activation, *, node: str, tensor: str = ""
    ) -> Affine:
        """Apply an activation; its results are new unknowns.

        If `value` is the result of a Relu and the activation bounds it again (a ReLU6 written as Relu and Clip), the
        Relu gets a ceiling instead.  If it is the result of bounds alone, they become the activation's `clip`.
        """
        rows = value.flat()
        before = self._only_application(rows)
        if before is not None and before.activation.name == activation.name == "Relu":
            # the lower of two bounds counts
            if activation.ceiling >= before.activation.ceiling:
                return value
            activation = replace(before.activation, ceiling=activation.ceiling)
            rows = before.rows[self._offsets(rows)]
        elif before is not None and before.activation.is_bound():
            activation = activation.bounded(before.activation.clip)
            rows = before.rows[self._offsets(rows)]
        first = len(self.owner)
        width = value.shape[-1] if value.shape else 1
        application = Application(
            node=node, activation=activation, rows=rows, first=first, width=width, tensor=tensor
        )
        self._extend(application, rows.shape[0])
        return unknowns(first + np.arange(rows.shape[0], dtype=np.int64).reshape(value.shape))

    def is_relu(self, value: Affine) -> bool:
        """Return whether all elements are results of a single application of Relu."""
        application = self._only_application(value.flat())
        return application is not None and application.activation.name == "Relu"

    def _only_application(self, rows: Any) -> Application | None:
        """Return the application that all rows are results of, None if they are anything else."""
        columns = single_columns(rows)
        if columns is None or not len(columns):
            return None
        owners = {id(o): o for o in (self.owner[c] for c in columns.tolist())}
        only = next(iter(owners.values()))
        return only if len(owners) == 1 and isinstance(only, Application) else None

    def _offsets(self, rows: Any) -> NDArray[np.int64]:
        return np.array([self.offset[c] for c in rows.indices], dtype=np.int64)

    def largest(self, value: Affine, groups: NDArray[np.int64]) -> Affine:
        """Return the largest element of each group; `groups` (groups, members) holds rows of `value.rows`."""
        columns = []
        for group in groups:
            members: set[int] = set()
            for row in group.tolist():
                members |= self._members(value.rows[[row]])
            columns.append(len(self.owner))
            self._extend(Maximum(members=frozenset(members)), 1)
        return unknowns(np.array(columns, dtype=np.int64))

    def larger(self, a: Affine, b: Affine) -> Affine:
        """Return the elementwise maximum of two tensors."""
        a, b = stack([a, b])
        i, j = np.broadcast_arrays(a.index, b.index)
        pairs = np.stack([i.reshape(-1), j.reshape(-1)], axis=1)
        result = self.largest(a, pairs)
        return result.rearranged(result.index.reshape(i.shape))

    def _members(self, row: Any) -> set[int]:
        row = row.tocoo()
        terms = {int(c): float(v) for c, v in zip(row.coords[1], row.data, strict=True) if v}
        if terms.pop(CONSTANT, 0.0) <= MASKED:
            return set()  # padding
        if list(terms.values()) != [1.0]:
            raise Unsupported("takes a maximum over values other than hidden states")
        column = next(iter(terms))
        owner = self.owner[column]
        return set(owner.members) if isinstance(owner, Maximum) else {column}

    def _extend(self, owner: int | WordId | Application | GivenState | Maximum, n: int) -> None:
        self.owner += [owner] * n
        self.offset += range(n)


def single_columns(rows: Any) -> NDArray[np.int64] | None:
    """Return the column of every row if each row is a single unknown, otherwise None."""
    if (
        (np.diff(rows.indptr) != 1).any()
        or (rows.data != 1).any()
        or (rows.indices == CONSTANT).any()
    ):
        return None
    return np.asarray(rows.indices, dtype=np.int64)


def _same(a: EmbeddingTable, b: EmbeddingTable) -> bool:
    if a.values is not b.values and not (
        a.values.shape == b.values.shape and np.array_equal(a.values, b.values)
    ):
        return False
    if a.lookup is None or b.lookup is None:
        return a.lookup is b.lookup
    return np.array_equal(a.lookup, b.lookup)
