"""Constrain bidirectional networks: each direction by itself, and one head over both.

No state of one direction reaches the other, so their hidden layers are constrained one after the other, as networks
of their own.  On one core they share the lines; where these are too few for the words, each has a core of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ..network.constrained import LEVEL_MAX, LEVEL_MIN, MAX_FAN_IN, joined
from ..network.elman import widened
from ..network.hidden_spikes import read_counts
from ..network.place import gate_lines, readout_copies, spare_neurons
from .closed_form import ClosedForm, closed_form, refit_head
from .response_matching import hidden_neurons
from .rounding import constrain, quantise_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..network.constrained import ConstrainedNetwork
    from ..network.elman import ElmanNetwork

    F64 = NDArray[np.float64]

LEAST_WORDS: Final = 0.75
"""Share of the lines that W x needs that both directions must keep on one core; otherwise each has one of its own."""

LEAST_READOUT: Final = 8
"""Readout neurons that each class must keep on one core."""


def directions(network: ElmanNetwork) -> tuple[ElmanNetwork, ElmanNetwork]:
    """Take a bidirectional network apart: two networks whose logits add up to its own."""
    if network.backward is None:
        raise ValueError("network: it has one direction")
    forward = replace(network, C=network.C[:, : network.n_hidden], backward=None)
    return forward, replace(network.backward, head=network.head)


def both_directions(
    network: ElmanNetwork, questions: list[NDArray[np.int64]]
) -> tuple[ClosedForm, ConstrainedNetwork]:
    """Constrain a bidirectional network in closed form.

    Parameters
    ----------
    network
        The float network.
    questions
        Word ids of the calibration questions, each at least one word.

    Returns
    -------
    ClosedForm and ConstrainedNetwork
        As `closed_form`, with the percentile and copies of the first direction; and the network with inputs as wide
        as the float network's, for the ledger's earlier stages.

    Raises
    ------
    ConstraintError
        A direction's hidden layer leaves no line for the inputs.

    """
    ways = directions(network)
    found = [
        closed_form(way, questions, lines=lines)
        for way, lines in zip(ways, lines_of(network), strict=True)
    ]
    first, second = found
    integer = _with_head([f.integer for f in found], questions)
    spiking = joined(first.spiking, second.spiking)
    hidden = [f.neurons or hidden_neurons(f.spiking) for f in found]
    neurons = hidden[0].and_these(hidden[1])
    logits = network.logits(questions)
    counts = read_counts(spiking, neurons, questions)
    plain = _with_head([f.spiking for f in found], questions, counts)
    heads = [plain, refit_head(plain, counts, logits)]
    labels = logits.argmax(axis=1)
    spiking = max(heads, key=lambda n: float((n.read_out(counts).argmax(axis=1) == labels).mean()))
    wide = [
        constrain(widened(w, f.copies), questions, max_lines=None, percentile=f.percentile)
        for w, f in zip(ways, found, strict=True)
    ]
    closed = replace(
        first,
        integer=integer,
        spiking=spiking,
        neurons=neurons,
        on_grid=first.on_grid and second.on_grid,
    )
    return closed, _with_head(wide, questions)


def lines_of(network: ElmanNetwork) -> tuple[int | None, int | None]:
    """Share the lines of one core between both directions; None: each has a core of its own."""
    ways = directions(network)
    gate = gate_lines(network.placed_readout, network.head)
    hidden = sum(w.n_hidden for w in ways)
    words = MAX_FAN_IN - gate - hidden
    needed = LEAST_WORDS * sum(min(w.embedding.shape[1], w.n_hidden) for w in ways)
    room = spare_neurons(hidden, "host") >= 0
    if network.head == "core":
        room = readout_copies(hidden, network.classes) >= LEAST_READOUT
    if words < needed or not room:
        return None, None
    # `constrain` takes the gate's line from each
    forward = words // 2 + ways[0].n_hidden + gate
    return forward, words - words // 2 + ways[1].n_hidden + gate


def _with_head(
    ways: list[ConstrainedNetwork], questions: list[NDArray[np.int64]], read: F64 | None = None
) -> ConstrainedNetwork:
    """Join two directions, and quantise their heads as one, for what is read of the questions."""
    network = joined(*ways)
    matrix = np.concatenate([w.readout_levels * w.readout_scale[:, None] for w in ways], axis=1)
    activities = network.hidden(questions) if read is None else read
    levels, scale, shift = quantise_rows(matrix, activities, -LEVEL_MAX, -LEVEL_MIN)
    bias = sum((w.readout_bias for w in ways), start=shift)
    return replace(network, readout_levels=levels, readout_scale=scale, readout_bias=bias)
