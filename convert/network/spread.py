"""Hidden units spread over several cores: which core holds a unit, and which lines each core has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore import limits
from ..errors import ConstraintError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORES_MAX: Final = 8
"""Most cores of a network that is spread: 8 groups of 32 units are the 256 that a constrained network may have."""

READOUT_COPIES: Final = 8
"""Readout neurons that a core keeps for each class, where there is room: together, the cores resolve more than one."""

_COPIES: Final = limits.AXONS // 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spread:
    """Hidden units in groups, one to a core.

    Attributes
    ----------
    core : intp (n_hidden,)
        The core that holds each hidden unit, rising.
    reads : bool (cores, n_in + n_hidden)
        The lines that each core has: every hidden unit's line is on at least one core.

    """

    core: NDArray[np.intp]
    reads: NDArray[np.bool_]

    @property
    def cores(self) -> int:
        """Number of cores."""
        return len(self.reads)

    @property
    def n_in(self) -> int:
        """Number of input lines."""
        return int(self.reads.shape[1] - len(self.core))

    def connected(self) -> NDArray[np.bool_]:
        """Return which weights exist, bool (n_hidden, n_in + n_hidden): those of lines that the unit's core has."""
        return np.asarray(self.reads[self.core])

    def readers(self) -> NDArray[np.intp]:
        """Return how many cores have each hidden unit's line, intp (n_hidden,): it has four neurons for each."""
        return np.asarray(self.reads[:, self.n_in :].sum(axis=0))

    def read_out_at(self) -> NDArray[np.intp]:
        """Return the core whose readout counts each hidden unit, intp (n_hidden,): its own, or the first that can."""
        hidden = self.reads[:, self.n_in :]
        own = hidden[self.core, np.arange(len(self.core))]
        return np.where(own, self.core, hidden.argmax(axis=0))

    def neurons(self, head: str) -> NDArray[np.intp]:
        """Return how many neurons the hidden units take on each core, intp (cores,)."""
        each = _COPIES * self.readers() + (head == "host")
        return np.bincount(self.core, weights=each, minlength=self.cores).astype(np.intp)


def even_groups(n_hidden: int, cores: int) -> NDArray[np.intp]:
    """Return the core of each hidden unit, intp (n_hidden,), in groups of equal size as far as possible."""
    return np.arange(n_hidden) * cores // n_hidden


def readers_that_fit(units: int, classes: int) -> int:
    """Return how many lines, on all cores together, a core's units may feed beside its readout.

    Parameters
    ----------
    units
        Hidden units of the core.
    classes
        Classes, each with READOUT_COPIES readout neurons, or as many as fit.  With the head on the host, each unit has
        one more neuron instead.

    Raises
    ------
    ConstraintError
        The core has no neuron for each unit's line and each class.

    """
    spare = limits.NEURONS - _COPIES * units
    if spare < classes:
        raise ConstraintError(
            f"core: {units} hidden units x {_COPIES} copies + {classes} readout neurons ="
            f" {_COPIES * units + classes} neurons, limit {limits.NEURONS}"
        )
    kept = max(min(READOUT_COPIES, spare // classes) * classes, units)
    return (limits.NEURONS - kept) // _COPIES


def choose_lines(
    weights: NDArray[np.floating],
    core: NDArray[np.intp],
    *,
    lines: int,
    readers: int,
) -> Spread:
    """Choose the lines of every core: first so that every hidden unit feeds a core, then the largest.

    A line's size for a core is the Euclidean norm of its weights to the core's units.  The axons limit the lines of a
    core; the neurons limit how many lines its units feed, because a neuron has one target axon.

    Parameters
    ----------
    weights
        float (n_hidden, n_in + n_hidden).
    core
        intp (n_hidden,): the core of each unit, rising.
    lines
        Lines that a core has for inputs and hidden units.
    readers
        Lines that the units of one core may feed in all.

    Raises
    ------
    ConstraintError
        There are more hidden units than lines, or more units on a core than lines that they may feed.

    """
    cores, n_hidden = int(core.max()) + 1, len(core)
    n_in = weights.shape[1] - n_hidden
    most = int(np.bincount(core).max())
    if n_hidden > cores * lines or most > readers:
        raise ConstraintError(
            f"network: {n_hidden} hidden units on {cores} cores, {most} on one;"
            f" limits {cores * lines} lines, and {readers} units a core"
        )
    size = np.zeros((cores, weights.shape[1]))
    np.add.at(size, core, np.square(weights.astype(np.float64)))
    reads = np.zeros(size.shape, dtype=np.bool_)
    room = np.full(cores, lines)
    left = np.full(cores, readers)  # lines that the units of each core may still feed
    share = -(
        -n_hidden // cores
    )  # units that a core covers at most, so that each has room for inputs
    # a stable order: equal sizes are taken by core, then by line
    largest = np.argsort(-size, axis=None, kind="stable")
    for covering in (True, False):
        for c, line in zip(*np.unravel_index(largest, size.shape), strict=True):
            unit = line - n_in
            if reads[c, line] or not room[c] or (covering and unit < 0):
                continue
            if unit >= 0:
                if covering and (reads[:, line].any() or reads[c].sum() == share):
                    continue
                if not left[core[unit]]:
                    continue
                left[core[unit]] -= 1
            reads[c, line] = True
            room[c] -= 1
    return Spread(core=core, reads=reads)
