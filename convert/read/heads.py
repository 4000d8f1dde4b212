"""Find out which states a head reads, and with which weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ..errors import ModelFileError
from .chains import units_of
from .unknowns import Maximum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .chains import Step
    from .unknowns import Unknowns

    F64 = NDArray[np.float64]

EQUAL: Final = 1e-4
"""Largest difference between the weights of two steps, relative to the largest weight.

It is not zero, because optimisers fold constants differently in each step."""

READ: Final = {"first": "the first state", "last": "the last state", "mean": "the mean over time"}
"""What a head may read of the states of one direction; more than one of these is not supported."""

ONE_OF: Final = "supported is a head that reads one of the last state, the mean, the sum and the largest over time"


def read_head(
    unknowns: Unknowns, heads: Any, used: list[int], chains: list[list[Step]]
) -> tuple[Literal["last", "mean", "max"], list[F64]]:
    """Return what the head reads, and its weights (classes, units) for each chain."""
    dense = {c: heads[:, [c]].toarray()[:, 0] for c in used}
    if isinstance(unknowns.owner[used[0]], Maximum):
        return "max", _head_of_largest(unknowns, dense, chains)
    zero = np.zeros(heads.shape[0])
    parts, kinds = [], set()
    for chain in chains:
        units = units_of(chain)
        # a state without a column in the logits has weight zero
        at = np.array(
            [[dense.get(s.columns.get(u, -1), zero) for u in units] for s in chain]
        )  # (steps, units, classes)
        limit = EQUAL * np.abs(at).max(initial=0.0)
        kinds.add(_what_is_read(at, limit))
        # all states count equally for a mean, each with its share of the mean's weight
        parts.append((at[-1] if kinds == {"last"} else at.sum(axis=0)).T)
    if kinds not in ({"last"}, {"mean"}):
        raise _mixed(kinds)
    return ("last" if kinds == {"last"} else "mean"), parts


def _mixed(kinds: set[str]) -> ModelFileError:
    known = {name for kind in kinds for name in kind.split()}
    if not known <= set(READ):
        return ModelFileError(
            f"head: weighs the states of a question's words differently; {ONE_OF}"
        )
    return ModelFileError(
        f"head: reads {' and '.join(READ[k] for k in READ if k in known)}; {ONE_OF}"
    )


def _what_is_read(at: F64, limit: float) -> str:
    """Return the names in READ of what the head reads of one chain, given its weights (steps, units, classes).

    Weights up to `limit` are 0.
    """
    if len(at) > 1 and (np.abs(at[:-1]) <= limit).all():
        return "last"
    if (np.abs(at - at[:1]) <= limit).all():
        return "mean"
    if (np.abs(at[1:]) <= limit).all():
        return "first"
    inner = at[1:-1]
    if len(inner) and (np.abs(inner - inner[:1]) <= limit).all():
        ends = [
            name
            for name, end in (("first", at[0]), ("last", at[-1]))
            if (np.abs(end - inner[0]) > limit).any()
        ]
        rest = ["mean"] if (np.abs(inner) > limit).any() else []
        if len(ends) == 1 or not rest:
            return " ".join([*ends, *rest])
    return "other"


def _head_of_largest(
    unknowns: Unknowns, dense: dict[int, F64], chains: list[list[Step]]
) -> list[F64]:
    unit_of = {
        column: (i, unit)
        for i, chain in enumerate(chains)
        for s in chain
        for unit, column in s.columns.items()
    }
    classes = len(next(iter(dense.values())))
    parts = [np.zeros((classes, len(units_of(chain)))) for chain in chains]
    for column, weights in dense.items():
        members = unknowns.owner[column].members  # type: ignore[union-attr]
        found = {unit_of[m] for m in members}
        i, unit = next(iter(found), (0, -1))
        # it must be the maximum of one unit, over all steps
        if len(found) != 1 or len(members) != len(chains[i]):
            raise ModelFileError(
                "head: takes a maximum over something other than one unit's states over time"
            )
        parts[i][:, units_of(chains[i]).index(unit)] += weights
    return parts
