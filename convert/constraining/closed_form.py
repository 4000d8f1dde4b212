"""Constrain a float network in closed form: from calibration questions without labels, and without torch.

1. `choose_ceilings` chooses the activity ceiling of unbounded ReLU units: of a few candidates, the one whose integer
   model agrees best with the float network.  If lines are left, each hidden unit may become several units of the core.
2. `refit` puts the spikes in the loop.  It fits every unit's weights to the states of the float network's unit, by
   least squares on the spike counts that the constrained network delivers in each step, and rounds them with
   compensation (`quantise_rows`); it matches leaks to the float network's states, and fits the head to its logits.  So
   later units compensate for errors of earlier ones, which come from rounding and from the floor at zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ..network.constrained import LEVEL_MAX, LEVEL_MIN, MAX_FAN_IN, ConstrainedNetwork, T
from ..network.elman import flip_saturating_units, repeat_units
from ..network.hidden_spikes import readout_counts, run_hidden_neurons
from ..network.place import gate_lines, spare_neurons
from .response_matching import hidden_neurons, match_hidden
from .rounding import constrain, hidden_ranges, quantise_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..network.elman import ElmanNetwork
    from ..network.place import Neurons

    F64 = NDArray[np.float64]

PERCENTILES: Final = (99.9, 99.5, 98.0, 95.0, 90.0, 85.0, 80.0, 70.0)
"""Ceilings tried for unbounded ReLU units: percentiles of their states on the calibration questions.

The states of a ReLU network may grow tenfold over a sentence.  If a high ceiling leaves too few levels for the small
states at its beginning, cutting off the large ones costs less."""

FLOORS: Final = (0.0, -1.0)
"""Lowest potentials tried for hidden neurons, in thresholds.

At 0 a neuron forgets inhibition, so that no step affects the next; at -1 it remembers some, so that the order of the
spikes within a step matters less."""

MAX_QUESTIONS: Final = 1000
"""Most calibration questions used for refitting; enough, because a unit has at most 64 weights."""

ROUNDS: Final = 3
"""Successive refits; the first ones help most, and later ones may drift."""

_RIDGE: Final = 1e-2
"""Ridge of a refit, which pulls towards the previous weights, as a share of the inputs' mean variance."""

_ON_GRID: Final = 1e-4
"""Largest difference of any code or logit for a network that counts as being on the core's grid already."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClosedForm:
    """A network constrained in closed form.

    Attributes
    ----------
    integer : ConstrainedNetwork
        The best integer model.
    spiking : ConstrainedNetwork
        The network to place: `integer` refitted with the spikes in the loop, or `integer` itself.
    neurons : Neurons or None
        Hidden neurons of `spiking`; None: it was not refitted, and `match_responses` derives them.
    percentile : float
        Chosen ceiling of ReLU units (see PERCENTILES).
    copies : int
        Units of the core for each hidden unit.
    on_grid : bool
        Whether the float network is on the core's grid already; then `integer` is equal to it.

    """

    integer: ConstrainedNetwork
    spiking: ConstrainedNetwork
    neurons: Neurons | None
    percentile: float
    copies: int
    on_grid: bool


def closed_form(
    network: ElmanNetwork,
    questions: list[NDArray[np.int64]],
    *,
    lines: int | None = None,
    roomy: bool = False,
) -> ClosedForm:
    """Constrain a float network to one core in closed form.

    Parameters
    ----------
    network
        The float network.
    questions
        Word ids of the calibration questions, each at least one word.
    lines
        Lines that the network may use of a core that it shares; None: it has a core to itself.
    roomy
        Whether each hidden unit becomes as many units as fit, even if fewer agree better: training makes use of them.

    Raises
    ------
    ConstraintError
        The hidden layer leaves no line for the inputs.

    """
    # a student that is spread over several cores was trained within their lines
    apart = network.spread is not None
    plain = constrain(network, questions, max_lines=None if apart else lines or MAX_FAN_IN)
    if apart or _lies_on_grid(network, plain, questions):
        return ClosedForm(
            integer=plain,
            spiking=plain,
            neurons=None,
            percentile=PERCENTILES[0],
            copies=1,
            on_grid=True,
        )
    network = flip_saturating_units(network, questions)
    # With several units of the core for each hidden unit, their spikes' errors differ and average out.
    best, most = None, -1.0  # on a tie, the network of more copies is kept
    fitting = 1 if lines else copies_that_fit(network)
    for copies in [fitting] if roomy else sorted({1, fitting}, reverse=True):
        found, agreement = _with_copies(repeat_units(network, copies), copies, questions, lines)
        if agreement > most:
            best, most = found, agreement
    if best is None:
        raise AssertionError  # agreement is at least 0
    return best


def _with_copies(
    wide: ElmanNetwork, copies: int, questions: list[NDArray[np.int64]], lines: int | None
) -> tuple[ClosedForm, float]:
    """Constrain and refit a network of repeated units; return it and its spikes' agreement with the float network."""
    percentile, integer = choose_ceilings(wide, questions, lines or MAX_FAN_IN)
    trace = wide.trace(questions)
    h = np.concatenate([s for _, _, _, s in trace])
    ranges = hidden_ranges(wide, np.concatenate([p for _, _, p, _ in trace]), h, percentile)

    def states(some: list[NDArray[np.int64]]) -> F64:
        after = np.concatenate([s for _, _, _, s in wide.trace(some)])
        return np.asarray((after - ranges.low) / ranges.span * T)

    spiking, neurons, agreement = refit(integer, questions, states, wide.logits)
    found = ClosedForm(
        integer=integer,
        spiking=spiking,
        neurons=neurons,
        percentile=percentile,
        copies=copies,
        on_grid=False,
    )
    return found, agreement


def copies_that_fit(network: ElmanNetwork) -> int:
    """Return how many units each hidden unit can become while the words keep as many lines as W x has dimensions."""
    lines = MAX_FAN_IN - gate_lines(network.placed_readout, network.head)
    copies = 1
    while True:
        hidden = (copies + 1) * network.n_hidden
        # W x has no more dimensions than this: with so many lines, projecting the words loses nothing
        words = min(network.embedding.shape[1], network.n_hidden)
        needed = 8 * network.classes if network.head == "core" else 0  # readout neurons
        if hidden + words > lines or spare_neurons(hidden, network.head) < needed:
            return copies
        copies += 1


def choose_ceilings(
    network: ElmanNetwork, questions: list[NDArray[np.int64]], lines: int = MAX_FAN_IN
) -> tuple[float, ConstrainedNetwork]:
    """Choose the range of unbounded units: the one whose integer model agrees best with the float network.

    Returns
    -------
    float and ConstrainedNetwork
        The percentile (see PERCENTILES), and the integer model.

    """
    labels = network.logits(questions).argmax(axis=1)
    unbounded = network.activation in {"Relu", "Affine"} and not np.isfinite(network.clip)
    found = {
        percentile: constrain(network, questions, max_lines=lines, percentile=percentile)
        for percentile in (PERCENTILES if unbounded else PERCENTILES[:1])
    }
    agreement = {p: (n.logits(questions).argmax(axis=1) == labels).mean() for p, n in found.items()}
    best = max(found, key=lambda p: float(agreement[p]))
    return best, found[best]


def _lies_on_grid(
    network: ElmanNetwork, plain: ConstrainedNetwork, questions: list[NDArray[np.int64]]
) -> bool:
    # codes first: they are cheap, and a network that was not trained on the grid differs in them
    if np.abs(plain.codes - plain.rounded_codes()).max() > _ON_GRID:
        return False
    # activities are not rounded here: a float network on the grid rounds only its weights and codes
    difference = plain.logits(questions, rounded=False) - network.logits(questions)
    return float(np.abs(difference).max()) <= _ON_GRID


def refit(
    start: ConstrainedNetwork,
    questions: list[NDArray[np.int64]],
    states: Callable[[list[NDArray[np.int64]]], F64],
    logits: Callable[[list[NDArray[np.int64]]], F64],
) -> tuple[ConstrainedNetwork, Neurons, float]:
    """Refit with the spikes in the loop; of all floors and rounds, return the network that agrees best.

    Parameters
    ----------
    start
        The integer model.
    questions
        Calibration questions; MAX_QUESTIONS of them are used.
    states
        Function that returns the activities that the units should have, float64 (steps of all questions, n_hidden),
        in the order of `run_hidden_neurons`; outside 0..15 where the unit's range clips them.
    logits
        Function that returns the logits that the head should have, float64 (questions, classes).

    Returns
    -------
    ConstrainedNetwork, Neurons and float
        The network to place, its hidden neurons, and the share of the questions whose label is the float network's,
        0..1.

    """
    some = np.linspace(0, len(questions) - 1, min(len(questions), MAX_QUESTIONS)).astype(int)
    questions = [questions[i] for i in some]
    wanted, head = states(questions), logits(questions)
    labels = head.argmax(axis=1)
    best, most = None, -1.0
    for floor in FLOORS:
        current = start
        for _ in range(ROUNDS + 1):
            # `current` is judged before it is refitted, so the start is a candidate too
            neurons, _error = match_hidden(
                current, hidden_neurons(current, floor=floor), questions, states=wanted, rounds=3
            )
            counts = readout_counts(current, neurons, questions)
            for candidate in (current, refit_head(current, counts, head)):
                agreement = float((candidate.read_out(counts).argmax(axis=1) == labels).mean())
                if agreement > most:
                    best, most = (candidate, neurons), agreement
            current = _refit_hidden(current, neurons, questions, wanted)
    if best is None:
        raise AssertionError  # agreement is at least 0
    return *best, most


def _refit_hidden(
    current: ConstrainedNetwork,
    neurons: Neurons,
    questions: list[NDArray[np.int64]],
    states: F64,
) -> ConstrainedNetwork:
    """Fit every unit's weights to the float network's states, on the spike counts that it receives."""
    inputs = np.concatenate([i for _, i, _ in run_hidden_neurons(current, neurons, questions)])
    matrix = current.levels * current.scale[:, None]
    reached = inputs @ matrix.T + current.bias
    # Beyond an end of its range a unit answers the same to any drive, so a drive that is already beyond it is right.
    wanted = np.where(states <= 0.5, np.minimum(reached, states), states)
    wanted = np.where(states >= T - 0.5, np.maximum(reached, states), wanted)
    wanted = np.clip(wanted, -T / 2, 3 * T / 2)  # outliers would dominate the squared error
    fitted, mean = _least_squares(inputs, wanted, matrix)
    levels, scale, _ = quantise_rows(fitted, inputs, LEVEL_MIN, LEVEL_MAX)
    # the bias makes the mean right for the rounded weights, so the shift of `quantise_rows` is not needed
    bias = wanted.mean(axis=0) - scale * (levels @ mean)
    return replace(current, levels=levels, scale=scale, bias=bias)


def refit_head(current: ConstrainedNetwork, counts: F64, logits: F64) -> ConstrainedNetwork:
    """Fit the head to the float network's logits, less their mean over the classes, which changes no label."""
    wanted = logits - logits.mean(axis=1, keepdims=True)
    fitted, mean = _least_squares(
        counts, wanted, current.readout_levels * current.readout_scale[:, None]
    )
    # -7..8: the codebook of the readout is negated
    levels, scale, _ = quantise_rows(fitted, counts, -LEVEL_MAX, -LEVEL_MIN)
    bias = wanted.mean(axis=0) - scale * (levels @ mean)
    return replace(current, readout_levels=levels, readout_scale=scale, readout_bias=bias)


def _least_squares(inputs: F64, wanted: F64, start: F64) -> tuple[F64, F64]:
    """Fit wanted ~ inputs @ result.T + constant with a ridge towards `start`; return `result` and the inputs' mean."""
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    H = centred.T @ centred / len(inputs)
    ridge = _RIDGE * (np.trace(H) / len(H) + 1e-12) * np.eye(len(H))
    moment = centred.T @ (wanted - wanted.mean(axis=0)) / len(inputs)
    return np.linalg.solve(H + ridge, moment + ridge @ start.T).T, mean
