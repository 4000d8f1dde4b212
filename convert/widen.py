"""Use the lines that a small network leaves free: several units for each hidden unit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .constrained import MAX_FAN_IN
from .place import gate_lines, readout_copies

if TYPE_CHECKING:
    from .elman import ElmanNetwork


def spare_copies(network: ElmanNetwork) -> int:
    """Count the units that each hidden unit can become while the words keep the lines that W x needs."""
    lines = MAX_FAN_IN - gate_lines(network.readout)
    copies = 1
    while True:
        hidden = (copies + 1) * network.n_hidden
        words = min(network.embedding.shape[1], network.n_hidden)
        if hidden + words > lines or readout_copies(hidden, network.classes) < 8:
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
