"""The unknowns of a graph: values of functions of one word, hidden states, and largest states over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import sparse

from .affine import CONSTANT, Affine, Unsupported, stack, unknowns
from .word_functions import Activated, Evaluation, Expression, Id, in_batches, vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from .activation import Activation
    from .word_functions import WordFunction

NONE: Final = -1
"""Position of what depends on no word."""

MANY: Final = -2
"""Position of what depends on several words, or on a state that is given."""

MAX_COMPARED: Final = 16
"""Most words that a mask may leave out."""

MAX_WIDTH: Final = 1024
"""Most components of a function that may be a mask."""

UNKNOWN_WORDS: Final = 1000
"""Word ids for which a mask is evaluated as long as the graph does not show how many words there are."""

MASKED: Final = -1e4
"""Largest constant that a mask may use for minus infinity, where a maximum over time skips padding."""


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
class WordFeatures:
    """The components of a function of the word at one position; each is an unknown, in the order of the components."""

    position: int
    function: WordFunction


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GivenState:
    """An element of an input that may be the initial state; `name` is the input's."""

    name: str


Owner = WordFeatures | Application | GivenState | Maximum


@dataclass(slots=True, eq=False)
class Unknowns:
    """The columns of all unknowns so far.

    Attributes
    ----------
    owner : list
        What each column belongs to: a function of one word, the application that computed a hidden state, an input that
        may be the initial state, or a maximum; None: the constant term.
    offset : list of int
        Component of the function, or unit of the application, of each column.
    position : list of int
        Position in the model's input, flattened, of the only word that each column depends on; NONE for the constant
        term, MANY for columns that depend on several words.
    compared : set of int
        Word ids that the graph masks: candidates for padding.

    """

    owner: list[Owner | None] = field(default_factory=lambda: [None])
    offset: list[int] = field(default_factory=lambda: [0])
    position: list[int] = field(default_factory=lambda: [NONE])
    compared: set[int] = field(default_factory=set)
    _functions: list[WordFunction] = field(default_factory=list)
    _first: dict[tuple[int, int], int] = field(default_factory=dict)
    _applied: dict[int, tuple[WordFunction, int]] = field(default_factory=dict)
    _masks: dict[tuple[int, int, int], tuple[float, set[int]] | None] = field(default_factory=dict)

    def ids(self, index: NDArray[np.int64], kind: Any) -> Affine:
        """Return a tensor of the word ids at these positions, of NumPy type `kind`."""
        word = Id(node="", width=1, kind=np.dtype(kind))
        return unknowns(self.features(index.reshape(-1), lambda _: word).reshape(index.shape))

    def given_state(self, name: str, shape: tuple[int, ...]) -> Affine:
        """Return a tensor of unknowns for an input that may be the initial state."""
        n = int(np.prod(shape, dtype=np.int64))
        first = len(self.owner)
        self._extend(GivenState(name=name), [MANY] * n)
        return unknowns(first + np.arange(n, dtype=np.int64).reshape(shape))

    def features(
        self, positions: NDArray[np.int64], function: Callable[[NDArray[np.int64]], WordFunction]
    ) -> NDArray[np.int64]:
        """Return the columns of values that depend on one word each.

        Parameters
        ----------
        positions
            int64 (values,): the word of each value.
        function
            Returns the function whose components are the values of these indices, all of one word.

        """
        columns = np.empty(len(positions), dtype=np.int64)
        for position in np.unique(positions).tolist():
            members = np.flatnonzero(positions == position)
            found = self._known(function(members))
            key = (position, id(found))
            # what is computed twice from the same word is the same, so the same unknowns
            if key not in self._first:
                self._first[key] = len(self.owner)
                self._extend(
                    WordFeatures(position=position, function=found), [position] * found.width
                )
            columns[members] = self._first[key] + np.arange(found.width)
        return columns

    def _known(self, function: WordFunction) -> WordFunction:
        """Return an equal function if there is one: unrolled graphs compute it once for each word."""
        known = next((f for f in self._functions if f.same(function)), None)
        if known is None:
            self._functions.append(function)
            return function
        return known

    def component(self, column: int) -> tuple[WordFunction, int] | None:
        """Return the function of one word, and its component, that a column is; None if it is not one."""
        owner = self.owner[column]
        if isinstance(owner, WordFeatures):
            return owner.function, self.offset[column]
        if not isinstance(owner, Application) or self.position[column] < 0:
            return None
        if column not in self._applied:
            self._apply_to_words(owner)
        return self._applied[column]

    def _apply_to_words(self, application: Application) -> None:
        """Turn the results of an activation that depend on one word each into functions of that word."""
        n = application.rows.shape[0]
        positions = np.array(self.position[application.first : application.first + n])
        for position in np.unique(positions[positions >= 0]).tolist():
            members = np.flatnonzero(positions == position)
            function = self._known(
                Activated(
                    node=application.node,
                    width=len(members),
                    kind=np.dtype(np.float32),
                    activation=application.activation,
                    argument=self.expression(application.rows[members]),
                )
            )
            for component, member in enumerate(members.tolist()):
                self._applied[application.first + member] = (function, component)

    def expression(self, rows: Any) -> Expression:
        """Return rows that depend on one word as expressions of functions of that word."""
        rows = sparse.csr_array(rows)
        used = [c for c in np.unique(rows.indices[rows.data != 0]).tolist() if c != CONSTANT]
        columns = [self._component(c) for c in used]
        # the same order at every word, whatever order the columns have
        serial = {id(f): i for i, f in enumerate(self._functions)}
        order = sorted(range(len(used)), key=lambda i: (serial[id(columns[i][0])], columns[i][1]))
        return Expression(
            columns=tuple(columns[i] for i in order),
            matrix=sparse.csr_array(rows[:, [used[i] for i in order]]),
            base=rows[:, [CONSTANT]].toarray()[:, 0].astype(np.float64),
        )

    def _component(self, column: int) -> tuple[WordFunction, int]:
        found = self.component(column)
        if found is None:
            raise Unsupported("depends on hidden states")
        return found

    def positions_of(self, rows: Any) -> NDArray[np.int64]:
        """Return the position of the word that each row depends on, NONE or MANY."""
        rows = sparse.csr_array(rows)
        used = np.unique(rows.indices)
        at = np.array([self.position[c] for c in used.tolist()], dtype=np.int64)
        of_entry = at[np.searchsorted(used, rows.indices)]
        row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        counts = (of_entry != NONE) & (rows.data != 0)
        low = np.full(rows.shape[0], np.iinfo(np.int64).max)
        high = np.full(rows.shape[0], NONE)
        np.minimum.at(low, row[counts], of_entry[counts])
        np.maximum.at(high, row[counts], of_entry[counts])
        return np.where(
            high == NONE, np.where(low == MANY, MANY, NONE), np.where(low == high, high, MANY)
        )

    def kind(self, value: Affine) -> Any:
        """Return the type that a tensor's elements have in the graph; floating-point types are not told apart."""
        kinds = {
            np.dtype(np.float32) if found is None else found[0].kind
            for found in (
                (o.function, 0) if isinstance(o, WordFeatures) else None
                for o in (self.owner[c] for c in np.unique(value.flat().indices).tolist())
                if o is not None
            )
        }
        return kinds.pop() if len(kinds) == 1 else np.result_type(*kinds, np.float32)

    def reads_states(self, value: Affine) -> bool:
        """Return whether any element depends on the result of an activation, which may be a hidden state."""
        used = np.unique(value.flat().indices).tolist()
        return any(isinstance(self.owner[c], Application | GivenState | Maximum) for c in used)

    def decided(self, value: Affine) -> NDArray[Any] | None:
        """Return a mask, or what is computed from masks alone, as it is for words that are not padding.

        A mask is a function of one word that has the same value for every word but a few; those few are remembered as
        `compared`.  None: the tensor depends on anything else.
        """
        if self.reads_states(value):
            return None
        rows = value.flat()
        known = np.zeros(rows.shape[1])
        known[CONSTANT] = 1
        others: set[int] = set()
        for c in np.unique(rows.indices).tolist():
            if c != CONSTANT:
                usual = self._usual(*self._component(c))
                if usual is None:
                    return None
                known[c] = usual[0]
                others |= usual[1]
        if len(others) > MAX_COMPARED:
            return None
        self.compared |= others
        numbers = np.asarray(rows @ known, dtype=np.float64).reshape(value.shape)
        return numbers.astype(self.kind(value))

    def _usual(self, function: WordFunction, component: int) -> tuple[float, set[int]] | None:
        """Return the value that a function has for nearly every word, and the words for which it has another one."""
        if function.width > MAX_WIDTH:
            return None
        words = vocabulary(self._functions) or UNKNOWN_WORDS
        key = (id(function), component, words)
        if key not in self._masks:
            self._masks[key] = _nearly_constant(function, component, words)
        return self._masks[key]

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
        self._extend(application, self.positions_of(rows).tolist())
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

    def largest(self, value: Affine, groups: Iterable[NDArray[np.int64]]) -> Affine:
        """Return the largest element of each group, which holds rows of `value.rows`, as a vector."""
        columns = []
        for group in groups:
            members: set[int] = set()
            for row in group.tolist():
                members |= self._members(value.rows[[row]])
            columns.append(len(self.owner))
            self._extend(Maximum(members=frozenset(members)), [MANY])
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
        constant = terms.pop(CONSTANT, 0.0)
        states = {c: v for c, v in terms.items() if not isinstance(self.owner[c], WordFeatures)}
        for c in terms.keys() - states.keys():  # a mask adds minus infinity where there is padding
            usual = self._usual(*self._component(c))
            if usual is None:
                raise Unsupported("takes a maximum over values other than hidden states")
            constant += usual[0] * terms[c]
            self.compared |= usual[1]
        if constant <= MASKED:
            return set()  # padding
        if list(states.values()) != [1.0]:
            raise Unsupported("takes a maximum over values other than hidden states")
        column = next(iter(states))
        owner = self.owner[column]
        return set(owner.members) if isinstance(owner, Maximum) else {column}

    def _extend(self, owner: Owner, positions: list[int]) -> None:
        self.owner += [owner] * len(positions)
        self.offset += range(len(positions))
        self.position += positions


def single_columns(rows: Any) -> NDArray[np.int64] | None:
    """Return the column of every row if each row is a single unknown, otherwise None."""
    if (
        (np.diff(rows.indptr) != 1).any()
        or (rows.data != 1).any()
        or (rows.indices == CONSTANT).any()
    ):
        return None
    return np.asarray(rows.indices, dtype=np.int64)


def _nearly_constant(
    function: WordFunction, component: int, words: int
) -> tuple[float, set[int]] | None:
    some = Evaluation(np.arange(min(words, UNKNOWN_WORDS), dtype=np.int64))
    if len(np.unique(some.of(function)[:, component])) > MAX_COMPARED:
        return None  # spare the rest of the vocabulary
    parts = [run.of(function)[:, component] for _, run in in_batches([function], words)]
    values = np.concatenate(parts).astype(np.float64)
    usual = float(np.median(values))
    others = np.flatnonzero(values != usual)
    return (
        None if len(others) > min(MAX_COMPARED, (words - 1) // 2) else (usual, set(others.tolist()))
    )
