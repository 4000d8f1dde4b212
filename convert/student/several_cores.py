"""A student on several cores: more hidden units, each of which is joined to the lines of its own core only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..network.constrained import MAX_FAN_IN
from ..network.spread import choose_lines, even_groups, readers_that_fit
from .training import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from .lessons import Lesson
    from .network import Shape, StudentNet
    from .settings import StudentSettings

__all__ = ["on_cores", "over_cores", "spread"]

UNITS: Final = 32
"""Hidden units of each core."""

INPUTS: Final = 32
"""Input lines of all cores together; a core has those that weigh most for its units."""

_DENSE: Final = 4
"""One in so many passes of the first phase joins every unit to every line; the weights then choose the lines."""


def over_cores(shape: Shape, cores: int) -> Shape:
    """Return the shape of a student on several cores that reads as one of this shape does."""
    return shape._replace(n_in=INPUTS, n_hidden=cores * UNITS)


def on_cores(cores: int) -> str:
    """Return the end of a line that names several cores; nothing for one."""
    return "" if cores == 1 else f", on {cores} cores"


def spread(
    net: StudentNet,
    cores: int,
    taught: Sequence[Lesson],
    settings: StudentSettings,
    rng: np.random.Generator,
    on_pass: Callable[[], None],
) -> int:
    """Train a student without the cores' limits, and spread it over them; return the number of passes.

    Parameters
    ----------
    net
        The student; from here on, its units have the weights of their core's lines only.
    cores
        Number of cores.
    taught, settings, rng, on_pass
        See `fit`.

    Raises
    ------
    ConstraintError
        A core has no readout neuron for each class.

    """
    classes, n_hidden = net.head.shape
    readers = readers_that_fit(-(-n_hidden // cores), classes)
    passes = settings.passes // _DENSE
    fit(net, taught, "integer", passes, settings, rng, on_pass)
    net.spread_over(
        choose_lines(
            net.weights.detach().numpy(),
            even_groups(n_hidden, cores),
            lines=MAX_FAN_IN - 1,  # the gate takes one if the last state is read
            readers=readers,
        )
    )
    return passes
