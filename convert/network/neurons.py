"""Neurons of a placed network: their parameters, how many a core has room for, and weight levels as crossbar bits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import HostHead, limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

COPIES: Final = 4
"""Neurons of a hidden unit, which is also the number of axons of a line."""

CODEBOOK: Final = np.array([-8, 4, 2, 1])
"""Weights of the four axon types in units of g; their subset sums are -8..7."""

GAIN_MAX: Final = limits.WEIGHT_MAX // 8
"""Largest g, for which the weight -8 g still fits 9 bits; a large g keeps the rounding error of theta = g / s small."""

GATE_AXONS: Final = COPIES


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neurons:
    """Integer parameters of a population of neurons, one row each.

    Attributes
    ----------
    gain : int64 (n,)
        g, 1..31.
    threshold, leak, potential : int64 (n,)
        As in the core image.
    floor : int64 (n,)
        Lowest potential, at most 0.

    """

    gain: NDArray[np.int64]
    threshold: NDArray[np.int64]
    leak: NDArray[np.int64]
    potential: NDArray[np.int64]
    floor: NDArray[np.int64]

    def select(self, units: NDArray[Any]) -> Neurons:
        """Return the neurons of some units, chosen by an index."""
        return Neurons(**{f.name: getattr(self, f.name)[units] for f in fields(self)})

    def joined_with(self, more: Neurons) -> Neurons:
        """Return the population followed by another one."""
        names = [f.name for f in fields(self)]
        return Neurons(**{n: np.concatenate([getattr(self, n), getattr(more, n)]) for n in names})


Readout = Neurons | HostHead | tuple[Neurons, ...]
"""Readout neurons of one core or of each core, or the head on the host."""


def readout_copies(n_hidden: int, classes: int) -> int:
    """Return how many readout neurons the hidden units leave for each class."""
    return (limits.NEURONS - COPIES * n_hidden) // classes


def spare_neurons(n_hidden: int, head: str) -> int:
    """Return how many neurons the hidden units leave free on the core; negative if they do not fit."""
    return limits.NEURONS - (COPIES + (head == "host")) * n_hidden


def gate_lines(readout: str, head: str) -> int:
    """Return how many lines the readout's gate needs."""
    return 1 if readout == "last" and head == "core" else 0


def level_bits(levels: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Encode weight levels as crossbar bits.

    Parameters
    ----------
    levels
        int8 (neurons, lines), -8..7.

    Returns
    -------
    uint8 (neurons, 4 lines)
        The bits for axon types 0..3 (weights -8, 4, 2, 1) of each line, 0 or 1.

    """
    two_complement = levels.astype(np.int64) & 15  # its highest bit has the weight -8
    bits = two_complement[:, :, None] >> np.array([3, 2, 1, 0]) & 1
    return np.asarray(bits.reshape(len(levels), -1), dtype=np.uint8)
