"""Functions of one word: what a graph computes from a single word id, whichever operators it uses.

They are not expressions of unknowns, but a core needs no expression for them: such a function has one value for each
word id, so it is evaluated once for every word of the vocabulary, and is part of the embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ModelFileError
from ..network.elman import activate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from .activation import Activation

    I64 = NDArray[np.int64]
    F64 = NDArray[np.float64]

_VALUES: Final = 1 << 21
"""Values of one function that are computed at once."""

_SAME: Final = 1e-6
"""Largest difference of two constants that count as equal, relative to the largest one."""

_BEYOND: Final = 4
"""How many times a table's rows of word ids are tried, to find the last word that it has a row for."""


@dataclass(slots=True)
class Evaluation:
    """The values of functions for some word ids, each computed once."""

    ids: I64
    _found: dict[int, NDArray[Any]] = field(default_factory=dict)

    def of(self, function: WordFunction) -> NDArray[Any]:
        """Return the function's values, (ids, width)."""
        key = id(function)
        if key not in self._found:
            self._found[key] = function.compute(self)
        return self._found[key]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Expression:
    """Affine expressions of components of functions of one word.

    Attributes
    ----------
    columns : tuple of (WordFunction, int)
        Function and component of each column.
    matrix : sparse float64 (rows, columns)
    base : float64 (rows,)

    """

    columns: tuple[tuple[WordFunction, int], ...]
    matrix: Any
    base: F64

    def values(self, run: Evaluation) -> F64:
        """Return the values for some word ids, float64 (ids, rows)."""
        table = np.empty((len(run.ids), len(self.columns)))
        for i, (function, component) in enumerate(self.columns):
            table[:, i] = run.of(function)[:, component]
        return np.asarray((self.matrix @ table.T).T + self.base, dtype=np.float64)

    def functions(self) -> list[WordFunction]:
        """Return the functions that it depends on directly."""
        return list({id(f): f for f, _ in self.columns}.values())

    def same(self, other: Expression) -> bool:
        """Return whether both are the same expressions of the same functions."""
        if len(self.columns) != len(other.columns) or self.matrix.shape != other.matrix.shape:
            return False
        if any(
            f is not g or i != j for (f, i), (g, j) in zip(self.columns, other.columns, strict=True)
        ):
            return False
        if not equal(self.base, other.base):
            return False
        difference = abs(self.matrix - other.matrix)
        return (
            bool(difference.max() <= _SAME * max(1.0, abs(self.matrix).max()))
            if difference.nnz
            else True
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WordFunction(ABC):
    """A function of one word id.

    Attributes
    ----------
    node : str
        Name of the node that computes it, for messages.
    width : int
        Number of its components.
    kind : dtype
        Type of its values in the graph.

    """

    node: str
    width: int
    kind: Any

    @abstractmethod
    def compute(self, run: Evaluation) -> NDArray[Any]:
        """Return the values for some word ids, (ids, width)."""

    @abstractmethod
    def arguments(self) -> list[Expression]:
        """Return the expressions that it depends on."""

    @abstractmethod
    def alike(self, other: Any) -> bool:
        """Return whether a function of the same class and width computes the same."""

    def same(self, other: WordFunction) -> bool:
        """Return whether another function computes the same."""
        return type(self) is type(other) and self.width == other.width and self.alike(other)

    def words(self) -> tuple[int | None, int]:
        """Return how many word ids it is defined for (None: any), and how many it seems to be made for."""
        return None, 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Id(WordFunction):
    """The word id itself."""

    def compute(self, run: Evaluation) -> NDArray[Any]:  # noqa: D102
        return run.ids[:, None]

    def arguments(self) -> list[Expression]:  # noqa: D102
        return []

    def alike(self, other: Id) -> bool:  # noqa: D102
        return bool(self.kind == other.kind)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lookup(WordFunction):
    """Rows of a constant table (rows, d), at indices that are functions of the word; `width` is indices times d."""

    table: NDArray[Any]
    index: Expression

    def compute(self, run: Evaluation) -> NDArray[Any]:  # noqa: D102
        rows = np.clip(self._rows(run), -len(self.table), len(self.table) - 1)
        return self.table[rows].reshape(len(run.ids), self.width)

    def _rows(self, run: Evaluation) -> I64:
        return self.index.values(run).astype(np.int64)

    def arguments(self) -> list[Expression]:  # noqa: D102
        return [self.index]

    def alike(self, other: Lookup) -> bool:  # noqa: D102
        same = self.table is other.table or np.array_equal(self.table, other.table)
        return same and self.index.same(other.index)

    def words(self) -> tuple[int | None, int]:
        """Return the number of word ids, from 0 on, that the table has rows for."""
        n = len(self.table)
        ids = np.arange(_BEYOND * n + 2, dtype=np.int64)
        rows = self._rows(Evaluation(ids))
        outside = np.flatnonzero(((rows < -n) | (rows >= n)).any(axis=1))
        return (int(outside[0]) if len(outside) else None), n


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Activated(WordFunction):
    """An activation of expressions."""

    activation: Activation
    argument: Expression

    def compute(self, run: Evaluation) -> NDArray[Any]:  # noqa: D102
        a = self.activation
        return activate(
            self.argument.values(run),
            a.name,
            clip=min(a.clip, a.ceiling),
            ceiling=a.ceiling,
            alpha=a.alpha,
            beta=a.beta,
        )

    def arguments(self) -> list[Expression]:  # noqa: D102
        return [self.argument]

    def alike(self, other: Activated) -> bool:  # noqa: D102
        return self.activation == other.activation and self.argument.same(other.argument)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Computed(WordFunction):
    """The result of any other operator.

    Attributes
    ----------
    operator : bytes
        The operator with its attributes.
    given : tuple of Expression, array or None
        Its inputs; an expression has the rows of one word, None is left out.
    apply : callable
        Computes the results (ids, width) from the inputs, where an expression has become an array (ids, rows).
    made_for : int
        Number of word ids that its constants are for; 0: they do not show it.

    """

    operator: bytes
    given: tuple[Expression | NDArray[Any] | None, ...]
    apply: Callable[[list[Any]], NDArray[Any]]
    made_for: int = 0

    def compute(self, run: Evaluation) -> NDArray[Any]:  # noqa: D102
        return self.apply([g.values(run) if isinstance(g, Expression) else g for g in self.given])

    def arguments(self) -> list[Expression]:  # noqa: D102
        return [g for g in self.given if isinstance(g, Expression)]

    def alike(self, other: Computed) -> bool:  # noqa: D102
        if self.operator != other.operator or len(self.given) != len(other.given):
            return False
        return all(_alike(a, b) for a, b in zip(self.given, other.given, strict=True))

    def words(self) -> tuple[int | None, int]:
        """Return that it takes any word id, and how many its constants are for."""
        return None, self.made_for


def _alike(a: Expression | NDArray[Any] | None, b: Expression | NDArray[Any] | None) -> bool:
    if isinstance(a, Expression) and isinstance(b, Expression):
        return a.same(b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return equal(a, b)
    return a is b


def equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether two arrays of constants are equal, up to rounding."""
    if a.shape != b.shape:
        return False
    if np.array_equal(a, b):
        return True
    with np.errstate(invalid="ignore"):
        limit = _SAME * max(1.0, float(np.abs(a).max(initial=0)))
        return bool((np.abs(a.astype(np.float64) - b) <= limit).all())


def all_functions(functions: Sequence[WordFunction]) -> list[WordFunction]:
    """Return these functions and all that they depend on."""
    found: dict[int, WordFunction] = {}
    waiting = list(functions)
    while waiting:
        function = waiting.pop()
        if id(function) not in found:
            found[id(function)] = function
            waiting += [f for e in function.arguments() for f in e.functions()]
    return list(found.values())


def vocabulary(functions: Sequence[WordFunction], wanted: int = 0) -> int:
    """Return how many word ids, from 0 on, some functions are defined for; 0 if nothing shows it.

    Functions that take any id (of `ids % n`, say) are defined for as many as are wanted.
    """
    found = [f.words() for f in all_functions(functions)]
    limits = [limit for limit, _ in found if limit is not None]
    return min(limits) if limits else max([wanted, *(n for _, n in found)])


def in_batches(functions: Sequence[WordFunction], words: int) -> Iterator[tuple[slice, Evaluation]]:
    """Evaluate functions for word ids 0 to `words` - 1 in batches of bounded memory."""
    widest = max(f.width for f in all_functions(functions))
    size = max(1, _VALUES // widest)
    for start in range(0, words, size):
        part = slice(start, min(start + size, words))
        yield part, Evaluation(np.arange(part.start, part.stop, dtype=np.int64))


def embed(functions: Sequence[WordFunction], wanted: int = 0) -> tuple[F64, NDArray[np.int32]]:
    """Evaluate functions for every word of the vocabulary.

    Parameters
    ----------
    functions
        The functions.
    wanted
        Number of word ids of the tokenizer, for functions that take any; 0: not known.

    Returns
    -------
    float64 (rows, d) and int32 (words,)
        Word vectors, which are the functions' values one after the other, and the row of each word id.

    Raises
    ------
    ModelFileError
        Nothing shows how many words there are, or a value is not finite.

    """
    words = vocabulary(functions, wanted)
    if not words:
        raise ModelFileError(
            "nothing in its graph shows how many word ids there are, as an embedding's rows do"
        )
    only = functions[0]
    if len(functions) == 1 and isinstance(only, Lookup) and only.width == only.table.shape[1]:
        # words that share a row go on sharing it
        rows = only.index.values(Evaluation(np.arange(words, dtype=np.int64)))[:, 0]
        table = only.table.astype(np.float64)
        return table, (rows.astype(np.int64) % len(table)).astype(np.int32)
    table = np.empty((words, sum(f.width for f in functions)))
    for part, run in in_batches(functions, words):
        np.concatenate([run.of(f) for f in functions], axis=1, out=table[part])
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise ModelFileError(
            f"node {functions[-1].node!r}: what it computes from word {bad[0]} is not finite"
        )
    return table, np.arange(words, dtype=np.int32)
