"""Other forms of the same network that the core keeps better."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .constrained import MAX_FAN_IN
from .place import gate_lines, spare_neurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .elman import ElmanNetwork


def spare_copies(network: ElmanNetwork) -> int:
    """Count the units that each hidden unit can become while the words keep the lines that W x needs."""
    lines = MAX_FAN_IN - gate_lines(network.placed_readout, network.head)
    copies = 1
    while True:
        hidden = (copies + 1) * network.n_hidden
        words = min(network.embedding.shape[1], network.n_hidden)
        needed = 8 * network.classes if network.head == "core" else 0
        if hidden + words > lines or spare_neurons(hidden, network.head) < needed:
            return copies
        copies += 1


def widened(network: ElmanNetwork, copies: int) -> ElmanNetwork:
    """Return an equal network of several units for each hidden unit, which share its outgoing weights."""
    return replace(
        network,
        W=np.tile(network.W, (copies, 1)),
        U=np.tile(network.U / copies, (copies, copies)),
        b=np.tile(network.b, copies),
        C=np.tile(network.C / copies, (1, copies)),
    )


def turned(network: ElmanNetwork, questions: list[NDArray[np.int64]]) -> ElmanNetwork:
    """Turn the sign of tanh units, so that they saturate at -1 rather than at 1: an equal network.

    What inhibits a silent neuron is forgotten at its floor, but what drives a neuron that fires at every tick piles
    up, and keeps it firing for as long again.  Where the head reads the largest states, none is turned: the largest
    state would become the smallest.
    """
    if network.activation != "Tanh" or network.readout == "max":
        return network
    pre = np.concatenate([p for _, _, p, _ in network.trace(questions)])
    above, below = (np.maximum(side - 1, 0).mean(axis=0) for side in (pre, -pre))
    sign = np.where(above > below, -1.0, 1.0)
    return replace(
        network,
        W=network.W * sign[:, None],
        U=network.U * np.outer(sign, sign),
        b=network.b * sign,
        C=network.C * sign,
    )
