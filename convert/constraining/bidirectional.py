"""Constrain bidirectional networks: each direction by itself, with one head over both.

No state of one direction reaches the other, so the hidden layers are constrained separately, as two networks.  They
share the lines of one core; if those leave too few for the words, each direction has its own core.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ..network.constrained import LEVEL_MAX, LEVEL_MIN, MAX_FAN_IN, join_directions
from ..network.elman import repeat_units
from ..network.hidden_spikes import readout_counts
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
"""Share of the lines that W x needs which must be left for the words on one core; with fewer, there are two cores."""

LEAST_READOUT: Final = 8
"""Readout neurons which must be left for each class on one core; with fewer, there are two cores."""


def split_directions(network: ElmanNetwork) -> tuple[ElmanNetwork, ElmanNetwork]:
    """Split a bidirectional network into two networks whose logits add up to its own."""
    if network.backward is None:
        raise ValueError("network: it has only one direction")
    forward = replace(network, C=network.C[:, : network.n_hidden], backward=None)
    return forward, replace(network.backward, head=network.head)


def constrain_both_directions(
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
        The result as of `closed_form`, with percentile and copies of the first direction; and the network with inputs
        as wide as the float network's, for the stages before the fan-in limit.

    Raises
    ------
    ConstraintError
        The hidden layer of a direction leaves no line for its inputs.

    """
    parts = split_directions(network)
    found = [
        closed_form(part, questions, lines=lines)
        for part, lines in zip(parts, share_lines(network), strict=True)
    ]
    first, second = found
    integer = _with_head([f.integer for f in found], questions)
    spiking = join_directions(first.spiking, second.spiking)
    hidden = [f.neurons or hidden_neurons(f.spiking) for f in found]
    neurons = hidden[0].joined_with(hidden[1])
    logits = network.logits(questions)
    counts = readout_counts(spiking, neurons, questions)
    plain = _with_head([f.spiking for f in found], questions, counts)
    # each direction was fitted alone; only now do the counts of both exist
    heads = [plain, refit_head(plain, counts, logits)]
    labels = logits.argmax(axis=1)
    spiking = max(heads, key=lambda n: float((n.read_out(counts).argmax(axis=1) == labels).mean()))
    # without a fan-in limit, but with the ceilings and copies that were chosen for the core
    wide = [
        constrain(repeat_units(w, f.copies), questions, max_lines=None, percentile=f.percentile)
        for w, f in zip(parts, found, strict=True)
    ]
    closed = replace(
        first,
        integer=integer,
        spiking=spiking,
        neurons=neurons,
        on_grid=first.on_grid and second.on_grid,
    )
    return closed, _with_head(wide, questions)


def share_lines(network: ElmanNetwork) -> tuple[int | None, int | None]:
    """Return how many lines of a shared core each direction may use; None: each has its own core."""
    parts = split_directions(network)
    gate = gate_lines(network.placed_readout, network.head)
    hidden = sum(w.n_hidden for w in parts)
    words = MAX_FAN_IN - gate - hidden
    needed = LEAST_WORDS * sum(min(w.embedding.shape[1], w.n_hidden) for w in parts)
    enough = spare_neurons(hidden, "host") >= 0
    if network.head == "core":
        enough = readout_copies(hidden, network.classes) >= LEAST_READOUT
    if words < needed or not enough:
        return None, None
    # the gate's line counts for both, because `constrain` subtracts it from each
    forward = words // 2 + parts[0].n_hidden + gate
    return forward, words - words // 2 + parts[1].n_hidden + gate


def _with_head(
    parts: list[ConstrainedNetwork], questions: list[NDArray[np.int64]], read: F64 | None = None
) -> ConstrainedNetwork:
    """Join two directions and quantise their heads as one, for the activities that are read out on the questions."""
    network = join_directions(*parts)
    matrix = np.concatenate([w.readout_levels * w.readout_scale[:, None] for w in parts], axis=1)
    activities = network.hidden(questions) if read is None else read
    levels, scale, shift = quantise_rows(matrix, activities, -LEVEL_MAX, -LEVEL_MIN)
    bias = sum((w.readout_bias for w in parts), start=shift)
    return replace(network, readout_levels=levels, readout_scale=scale, readout_bias=bias)
