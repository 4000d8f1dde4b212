"""Place a constrained network on one core, and read it back.

Every line (input component, hidden unit or gate) has four axons.  Those of inputs and hidden units are of types 0..3,
and a hidden neuron's four weights are g (-8, 4, 2, 1), so the four crossbar bits of a line are the bits of a weight in
-8..7.  A neuron has only one target axon, so each hidden unit is four identical neurons, one for each axon of its line.

The readout is on the same core, several neurons for each class.  Its codebook is negated, -g (-8, 4, 2, 1), and the
gate line's four axons are all of type 0, so each adds 8 g.  While words are read, the leak keeps the membrane
potentials of the readout at their floor.  In the drain step the gate spikes at every tick and adds as much as the leak
subtracts, so the readout counts the hidden activity of the last word alone.

With `head="host"` there is neither a readout nor a gate.  Each hidden unit has a fifth neuron, equal to its four, that
targets a separate output line and spikes in the step of the word; the image holds the head (simcore/head.py).

If the mean over all words is read (`readout="mean"`), the readout neurons integrate the hidden spikes of every step.
There is no gate, and their floor is as low as the chip allows, so that evidence against a class at one word still
counts at the next.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import Coding, CoreImage, Encoder, HostHead, blank, limits
from ..errors import ConstraintError
from .constrained import MAX_FAN_IN, ConstrainedNetwork, T, join_directions

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


Readout = Neurons | HostHead | tuple[Neurons, Neurons]
"""Readout neurons of one core or of two, or the head on the host."""


def readout_copies(n_hidden: int, classes: int) -> int:
    """Return how many readout neurons the hidden units leave for each class."""
    return (limits.NEURONS - COPIES * n_hidden) // classes


def spare_neurons(n_hidden: int, head: str) -> int:
    """Return how many neurons the hidden units leave free on the core; negative if they do not fit."""
    return limits.NEURONS - (COPIES + (head == "host")) * n_hidden


def gate_lines(readout: str, head: str) -> int:
    """Return how many lines the readout's gate needs."""
    return 1 if readout == "last" and head == "core" else 0


def needs_two_cores(network: ConstrainedNetwork) -> bool:
    """Return whether each direction of a bidirectional network needs its own core."""
    lines = network.n_in + network.n_hidden + gate_lines(network.readout, network.head)
    spare = spare_neurons(network.n_hidden, network.head)
    enough = spare >= (network.classes if network.head == "core" else 0)
    return network.backward_lines > 0 and not (lines <= MAX_FAN_IN and enough)


def check_fit(network: ConstrainedNetwork) -> None:
    """Raise if one core cannot hold the network.

    Raises
    ------
    ConstraintError
        The network exceeds a limit, which the message names.

    """
    n_in, n_hidden, classes = network.n_in, network.n_hidden, network.classes
    gate = gate_lines(network.readout, network.head)
    lines = n_in + n_hidden + gate
    if lines > MAX_FAN_IN:
        raise ConstraintError(
            f"network: {n_in} input lines + {n_hidden} hidden units{' + 1 gate' * gate} = {lines} lines,"
            f" limit {MAX_FAN_IN}"
        )
    if network.head == "host" and spare_neurons(n_hidden, "host") < 0:
        raise ConstraintError(
            f"network: {n_hidden} hidden units x {COPIES + 1} copies ="
            f" {(COPIES + 1) * n_hidden} neurons, limit {limits.NEURONS}"
        )
    if network.head == "core" and readout_copies(n_hidden, classes) < 1:
        raise ConstraintError(
            f"network: {n_hidden} hidden units x {COPIES} copies + {classes} readout neurons ="
            f" {COPIES * n_hidden + classes} neurons, limit {limits.NEURONS}"
        )


def place(network: ConstrainedNetwork, hidden: Neurons, readout: Readout) -> CoreImage:
    """Put a constrained network on one core, or the directions of a bidirectional one on two.

    Parameters
    ----------
    network
        The network; its levels become crossbar bits.
    hidden
        Parameters of the hidden neurons, one row for each hidden unit.
    readout
        Parameters of the readout neurons, k rows for each class, class by class, and for two cores a pair of them; or
        the head, if the host computes it.

    Raises
    ------
    ConstraintError
        The network does not fit one core, or each direction one.
    ImageError
        A neuron's parameter is outside the chip's limits.

    """
    if needs_two_cores(network):
        return _place_apart(network, hidden, readout)
    if isinstance(readout, tuple):
        raise ConstraintError("network: it fits one core, but there are readouts for two")
    check_fit(network)
    n_in, n_hidden = network.n_in, network.n_hidden
    units = np.repeat(np.arange(n_hidden), COPIES)
    columns, leaving, lines = _leaving(network, hidden, readout)
    neurons = hidden.select(units).joined_with(leaving)
    n, recurrent = len(neurons.gain), len(units)
    arrays = blank(1)
    arrays["axon_type"][0], arrays["crossbar"][0] = _axons(network, units, columns)
    arrays["weights"][0, :n] = neurons.gain[:, None] * CODEBOOK
    for name in ("leak", "threshold", "potential"):
        arrays[name][0, :n] = getattr(neurons, name)
    arrays["neg_threshold"][0, :n] = -neurons.floor
    arrays["kappa"][0, :n] = 1  # a potential below the floor is set to the floor
    arrays["reset_mode"][0, :n] = 1  # linear: a spike subtracts the threshold
    # a hidden spike arrives at the same tick of the next step
    arrays["target_core"][0, :recurrent] = 0
    arrays["target_axon"][0, :recurrent] = COPIES * (n_in + units) + np.tile(
        np.arange(COPIES), n_hidden
    )
    arrays["delay"][0, :recurrent] = T
    arrays["target_core"][0, recurrent:n] = limits.TARGET_OUTPUT
    arrays["target_axon"][0, recurrent:n] = lines
    arrays["inputs"] = _input_axons(n_in, n_in + n_hidden if _is_gated(network) else -1)
    arrays["outputs"] = np.stack(
        [np.zeros_like(lines), np.arange(recurrent, n), lines], axis=1
    ).astype(np.int32)
    head = readout if isinstance(readout, HostHead) else None
    return CoreImage(**arrays, head=head, coding=_coding(network)).validate()


def _axons(
    network: ConstrainedNetwork, units: NDArray[np.intp], columns: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return the types of all axons, and the packed crossbar of hidden neurons followed by those that leave."""
    gate = COPIES * (network.n_in + network.n_hidden)
    last = len(units) + columns.shape[1]
    types = np.arange(limits.AXONS) % COPIES
    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[:gate, : len(units)] = level_bits(network.levels)[units].T
    synapses[:gate, len(units) : last] = columns
    if _is_gated(network):
        # all of type 0, of weight 8 g for the readout: together 32 g a tick
        types[gate : gate + GATE_AXONS] = 0
        synapses[gate : gate + GATE_AXONS, len(units) : last] = 1
    return types, np.packbits(synapses, axis=1, bitorder="little")


def _is_gated(network: ConstrainedNetwork) -> bool:
    return gate_lines(network.readout, network.head) > 0


def _coding(network: ConstrainedNetwork) -> Coding:
    return Coding(
        ticks_per_step=T,
        word_lines=network.n_in,
        direction=network.direction,
        drain_steps=1 if network.head == "core" else 0,
        gate_line=network.n_in if _is_gated(network) else -1,
        readout=network.readout,
        backward_lines=network.backward_lines,
    )


def _place_apart(network: ConstrainedNetwork, hidden: Neurons, readout: Readout) -> CoreImage:
    """Put each direction on its own core; their class counts add up on shared output lines."""
    _, of_units = network.directions()
    images = []
    for way in (0, 1):
        units = np.flatnonzero(of_units == way)
        if isinstance(readout, HostHead):
            own: Readout = replace(readout, weights=readout.weights[:, units].copy())
        else:
            own = readout[way] if isinstance(readout, tuple) else readout
        images.append(place(network.one_direction(way), hidden.select(units), own))
    first = images[0]
    arrays = {n: np.concatenate([getattr(i, n) for i in images]) for n in blank(1)}
    core = arrays["target_core"][1]
    core[core == 0] = 1  # recurrent targets of the second core are on itself
    forward_lines = network.n_in - network.backward_lines
    # Each core numbered its gate behind its own words; the shared gate line is behind the words of both.
    inputs = arrays["inputs"]
    gate = np.flatnonzero(inputs[: len(first.inputs), 0] == forward_lines)
    inputs[len(first.inputs) :] += np.array([forward_lines, 1, 0], dtype=np.int32)
    inputs[gate, 0] = network.n_in
    outputs = arrays["outputs"]
    shift = first.output_lines if isinstance(readout, HostHead) else 0
    outputs[len(first.outputs) :] += np.array([1, 0, shift], dtype=np.int32)
    arrays["target_axon"][1, core == limits.TARGET_OUTPUT] += shift
    head = readout if isinstance(readout, HostHead) else None
    return CoreImage(**arrays, head=head, coding=_coding(network)).validate()


def _leaving(
    network: ConstrainedNetwork, hidden: Neurons, readout: Neurons | HostHead
) -> tuple[NDArray[np.uint8], Neurons, NDArray[np.intp]]:
    """Return the neurons that target output lines: their crossbar columns (without the gate), parameters and lines."""
    if isinstance(readout, HostHead):
        return level_bits(network.levels).T, hidden, np.arange(network.n_hidden)
    classes = np.repeat(np.arange(network.classes), len(readout.gain) // network.classes)
    # Levels and gain are both negated, which cancels out; the gain is negative so that type 0 weighs +8 g for the gate.
    levels = np.pad(-network.readout_levels, ((0, 0), (network.n_in, 0)))
    return level_bits(levels)[classes].T, replace(readout, gain=-readout.gain), classes


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


def _input_axons(n_in: int, gate: int) -> NDArray[np.int32]:
    """Return (line, core, axon) rows for the word lines and, unless `gate` is -1, for the gate, input line n_in."""
    first = COPIES * np.append(np.arange(n_in), [gate] * (gate >= 0))
    axons = np.repeat(first, COPIES) + np.tile(np.arange(COPIES), len(first))
    lines = np.repeat(np.arange(len(first)), COPIES)
    return np.stack([lines, np.zeros_like(lines), axons], axis=1).astype(np.int32)


def unplace(image: CoreImage, encoder: Encoder) -> tuple[ConstrainedNetwork, Neurons]:
    """Read the hidden layer of a placed network back from its cores.

    Parameters
    ----------
    image, encoder
        Cores that `place` made, and their encoder.

    Returns
    -------
    network : ConstrainedNetwork
        The layer as it is on the core: codes, levels, and the scale and bias that threshold and leak express; without
        a readout (no classes).
    neurons : Neurons
        Parameters of its neurons, one row for each unit.

    Raises
    ------
    ConstraintError
        The image has no coding, or more than two cores.

    """
    coding = image.coding
    if coding is None or image.cores > 2:
        raise ConstraintError(
            f"core image: {image.cores} cores or no coding, expected one placed network"
        )
    if image.cores == 1:
        network, neurons = _unplace_core(image, 0, encoder.codes, encoder.rows, coding)
        return replace(network, backward_lines=coding.backward_lines), neurons
    codes = np.split(encoder.codes, [coding.word_lines - coding.backward_lines], axis=1)
    (first, hidden), (second, more) = (
        _unplace_core(image, core, codes[core], encoder.rows, coding) for core in (0, 1)
    )
    return join_directions(first, second), hidden.joined_with(more)


def unit_neurons(image: CoreImage, core: int) -> NDArray[np.intp]:
    """Return the first neuron of every hidden unit on a core that `place` made, intp (units,).

    Raises
    ------
    ConstraintError
        The core's hidden neurons are not four to a unit, in order.

    """
    at = np.flatnonzero(image.target_core[core] == core)
    axons = image.target_axon[core, at]
    if len(at) == 0 or len(at) % COPIES or axons[0] % COPIES or (np.diff(axons) != 1).any():
        raise ConstraintError(f"core {core}: its hidden neurons are not four to a unit, in order")
    return at[::COPIES]


def _unplace_core(
    image: CoreImage, core: int, codes: NDArray[np.uint8], rows: NDArray[np.int32], coding: Coding
) -> tuple[ConstrainedNetwork, Neurons]:
    n_in = codes.shape[1]
    at = unit_neurons(image, core)
    n = len(at)
    bits = np.unpackbits(image.crossbar[core], axis=1, bitorder="little")
    bits = bits[: COPIES * (n_in + n), at]
    levels = np.tensordot(bits.reshape(n_in + n, COPIES, n), CODEBOOK, axes=(1, 0)).T
    values = {
        name: getattr(image, name)[core, at].astype(np.int64)
        for name in ("threshold", "leak", "potential")
    }
    neurons = Neurons(
        gain=image.weights[core, at, COPIES - 1].astype(np.int64),
        floor=-image.neg_threshold[core, at].astype(np.int64),
        **values,
    )
    network = ConstrainedNetwork(
        projection=np.zeros((0, n_in)),  # the encoder holds codes only, not the word vectors
        origin=np.zeros(n_in),
        codes=codes.astype(np.float64),
        rows=rows,
        levels=levels.astype(np.int8),
        # theta = g / s and leak = B theta / T, solved for s and B
        scale=neurons.gain / neurons.threshold,
        bias=neurons.leak * T / neurons.threshold,
        initial=np.zeros(n),
        readout_levels=np.zeros((0, n), dtype=np.int8),
        readout_scale=np.zeros(0),
        readout_bias=np.zeros(0),
        direction=coding.direction,
        readout=coding.readout,
    )
    return network, neurons
