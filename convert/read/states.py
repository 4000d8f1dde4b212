"""Distinguish hidden states from functions of one word, among the results of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ModelFileError
from .affine import CONSTANT
from .unknowns import MANY, Application, GivenState, Maximum

if TYPE_CHECKING:
    from .unknowns import Unknowns


def reached(unknowns: Unknowns, columns: list[int]) -> set[int]:
    """Return these columns and all that they depend on."""
    found: set[int] = set()
    waiting = list(columns)
    while waiting:
        column = waiting.pop()
        if column in found or column == CONSTANT:
            continue
        found.add(column)
        waiting += read_by(unknowns, column)
    return found


def read_by(unknowns: Unknowns, column: int) -> list[int]:
    """Return the columns that a column is computed from directly."""
    owner = unknowns.owner[column]
    if isinstance(owner, Maximum):
        return list(owner.members)
    if not isinstance(owner, Application):
        return []
    rows, unit = owner.rows, unknowns.offset[column]
    found: list[int] = rows.indices[rows.indptr[unit] : rows.indptr[unit + 1]].tolist()
    return found


def hidden_states(unknowns: Unknowns, columns: set[int]) -> set[int]:
    """Return those of some columns that are hidden states.

    What an activation computes from several words is one.  What it computes from a single word may be a function of
    that word before the recurrence, or the first state.  The second state reads both: the function of its own word, and
    the first state, which applies one activation more to the function of the first word.

    Raises
    ------
    ModelFileError
        The two cannot be told apart.

    """
    states = {
        c
        for c in columns
        if isinstance(unknowns.owner[c], Application) and unknowns.position[c] == MANY
    }
    depths: dict[int, int] = {}
    first: set[int] = set()
    for application in {id(a): a for a in map(unknowns.owner.__getitem__, states)}.values():
        if not isinstance(application, Application):
            continue  # never, `states` holds nothing else
        read = {
            c
            for s in states
            if unknowns.owner[s] is application
            for c in read_by(unknowns, s)
            if c != CONSTANT
        }
        if read & states or any(isinstance(unknowns.owner[c], GivenState) for c in read):
            continue
        deepest = max(_depth(unknowns, c, depths) for c in read)
        found = {c for c in read if deepest and _depth(unknowns, c, depths) == deepest}
        if len({unknowns.position[c] for c in found}) > 1:
            raise ModelFileError(
                f"node {application.node!r}: reads several words at once, and no state before them"
            )
        first |= {id(unknowns.owner[c]) for c in found}
    return states | {c for c in columns if id(unknowns.owner[c]) in first}


def _depth(unknowns: Unknowns, column: int, depths: dict[int, int]) -> int:
    """Return how many activations one after another a column is the result of."""
    if column not in depths:
        if not isinstance(unknowns.owner[column], Application):
            return 0
        read = [c for c in read_by(unknowns, column) if c != CONSTANT]
        depths[column] = 1 + max((_depth(unknowns, c, depths) for c in read), default=0)
    return depths[column]
