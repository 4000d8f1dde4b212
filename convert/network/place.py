"""Place a constrained network on one core.

Every line (input component, hidden unit, gate) owns four axons.  The axons of inputs and hidden units have types
0..3; a hidden neuron's four weights are g (-8, 4, 2, 1), so four crossbar bits are the bits of a weight in -8..7.
A neuron has one target axon, so a hidden unit is four identical neurons, one for each axon of its line.

The readout sits on the same core, several neurons to a class.  Its codebook is negated, -g (-8, 4, 2, 1), and the
gate line's axons are all of type 0: each adds 8 g.  Between questions' words the leak holds readout membranes at
the floor; in the drain step the gate spikes at every tick and lifts them by as much as the leak takes, so what they
count is the last word's hidden activity alone.

With `head="host"` there is no readout and no gate: each hidden unit has a fifth neuron, equal to its four, which
leaves by an output line of its own, in the step of the word; the image holds the host's head (simcore/head.py).

Where the mean over all words is read (`readout="mean"`), the readout neurons integrate the hidden spikes of every
step: there is no gate, and their floor is as low as the chip allows, so that what speaks against a class at one word
still counts at the next.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import Coding, CoreImage, Encoder, blank, limits
from ..errors import ConstraintError
from .constrained import MAX_FAN_IN, ConstrainedNetwork, T, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

COPIES: Final = 4
"""Neurons of a hidden unit, and axons of a line."""

CODEBOOK: Final = np.array([-8, 4, 2, 1])
"""Weights of the four axon types in units of g; their subset sums are -8..7."""

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

    def of(self, units: NDArray[Any]) -> Neurons:
        """Take some of them, chosen by an index."""
        return Neurons(**{f.name: getattr(self, f.name)[units] for f in fields(self)})

    def and_these(self, more: Neurons) -> Neurons:
        """Join two populations."""
        names = [f.name for f in fields(self)]
        return Neurons(**{n: np.concatenate([getattr(self, n), getattr(more, n)]) for n in names})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HostHead:
    """The head as the host computes it: scores = weights @ spikes + bias, the bias once a word where all are read.

    Attributes
    ----------
    weights : int32 (classes, n_hidden)
    bias : int32 (classes,)

    """

    weights: NDArray[np.int32]
    bias: NDArray[np.int32]


Readout = Neurons | HostHead | tuple[Neurons, Neurons]
"""Readout neurons of one core or of two, or the head on the host."""


def readout_copies(n_hidden: int, classes: int) -> int:
    """Neurons that the core has left for each class."""
    return (limits.NEURONS - COPIES * n_hidden) // classes


def spare_neurons(n_hidden: int, head: str) -> int:
    """Neurons that hidden units leave free on the core; less than none: they do not fit."""
    return limits.NEURONS - (COPIES + (head == "host")) * n_hidden


def gate_lines(readout: str, head: str) -> int:
    """Lines that the readout's gate takes from the words and hidden units."""
    return 1 if readout == "last" and head == "core" else 0


def apart(network: ConstrainedNetwork) -> bool:
    """Tell whether the directions of a bidirectional network need a core each."""
    lines = network.n_in + network.n_hidden + gate_lines(network.readout, network.head)
    spare = spare_neurons(network.n_hidden, network.head)
    room = spare >= (network.classes if network.head == "core" else 0)
    return network.backward_lines > 0 and not (lines <= MAX_FAN_IN and room)


def check_fit(network: ConstrainedNetwork) -> None:
    """Refuse a network that one core cannot hold.

    Raises
    ------
    ConstraintError
        Naming the broken limit.

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
        One row for each hidden unit.
    readout
        k rows for each class, class by class, where there are two cores for each of them; or the head, where the host
        computes it.

    Raises
    ------
    ConstraintError
        The network does not fit one core.
    ImageError
        A parameter breaks a limit of the neuron.

    """
    if apart(network):
        return _place_apart(network, hidden, readout)
    if isinstance(readout, tuple):
        raise ConstraintError("network: readouts for two cores, but it fits one")
    check_fit(network)
    gated = bool(gate_lines(network.readout, network.head))
    n_in, n_hidden = network.n_in, network.n_hidden
    arrays = blank(1)
    gate = n_in + n_hidden
    arrays["axon_type"][0] = np.arange(limits.AXONS) % COPIES
    if gated:
        arrays["axon_type"][0, COPIES * gate : COPIES * gate + GATE_AXONS] = 0
    units = np.repeat(np.arange(n_hidden), COPIES)
    copy = np.tile(np.arange(COPIES), n_hidden)
    columns, population, lines = _leaving(network, hidden, readout)
    neurons = len(units) + len(lines)

    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[: COPIES * gate, : len(units)] = level_bits(network.levels)[units].T
    synapses[: COPIES * gate, len(units) : neurons] = columns
    if gated:
        synapses[COPIES * gate : COPIES * gate + GATE_AXONS, len(units) : neurons] = 1
    arrays["crossbar"][0] = np.packbits(synapses, axis=1, bitorder="little")

    gains = np.concatenate([hidden.gain[units], population.gain])
    arrays["weights"][0, :neurons] = gains[:, None] * CODEBOOK
    for name in ("leak", "threshold", "potential"):
        values = np.concatenate([getattr(hidden, name)[units], getattr(population, name)])
        arrays[name][0, :neurons] = values
    arrays["neg_threshold"][0, :neurons] = -np.concatenate([hidden.floor[units], population.floor])
    arrays["kappa"][0, :neurons] = 1
    arrays["reset_mode"][0, :neurons] = 1

    arrays["target_core"][0, : len(units)] = 0
    arrays["target_axon"][0, : len(units)] = COPIES * (n_in + units) + copy
    arrays["delay"][0, : len(units)] = T
    arrays["target_core"][0, len(units) : neurons] = limits.TARGET_OUTPUT
    arrays["target_axon"][0, len(units) : neurons] = lines
    arrays["inputs"] = _input_axons(n_in, gate if gated else -1)
    arrays["outputs"] = np.stack(
        [np.zeros_like(lines), np.arange(len(units), neurons), lines], axis=1
    ).astype(np.int32)
    if isinstance(readout, HostHead):
        arrays |= {"head_weights": readout.weights, "head_bias": readout.bias}
    coding = Coding(
        ticks_per_step=T,
        word_lines=n_in,
        direction=network.direction,
        drain_steps=1 if network.head == "core" else 0,
        gate_line=n_in if gated else -1,
        readout=network.readout,
        backward_lines=network.backward_lines,
    )
    return CoreImage(**arrays, coding=coding).validate()


def _place_apart(network: ConstrainedNetwork, hidden: Neurons, readout: Readout) -> CoreImage:
    """Put each direction on a core of its own; their class counts add up on common output lines."""
    _, of_units = network.ways()
    images = []
    for way in (0, 1):
        units = np.flatnonzero(of_units == way)
        if isinstance(readout, HostHead):
            own: Readout = replace(readout, weights=readout.weights[:, units].copy())
        else:
            own = readout[way] if isinstance(readout, tuple) else readout
        images.append(place(network.half(way), hidden.of(units), own))
    first = images[0]
    arrays = {n: np.concatenate([getattr(i, n) for i in images]) for n in blank(1)}
    core = arrays["target_core"][1]
    core[core == 0] = 1
    forward_lines = network.n_in - network.backward_lines
    # the gate follows the words of both
    inputs = arrays["inputs"]
    gate = np.flatnonzero(inputs[: len(first.inputs), 0] == forward_lines)
    inputs[len(first.inputs) :] += np.array([forward_lines, 1, 0], dtype=np.int32)
    inputs[gate, 0] = network.n_in
    outputs = arrays["outputs"]
    shift = first.output_lines if isinstance(readout, HostHead) else 0
    outputs[len(first.outputs) :] += np.array([1, 0, shift], dtype=np.int32)
    arrays["target_axon"][1, core == limits.TARGET_OUTPUT] += shift
    if isinstance(readout, HostHead):
        arrays |= {"head_weights": readout.weights, "head_bias": readout.bias}
    gated = bool(gate_lines(network.readout, network.head))
    coding = Coding(
        ticks_per_step=T,
        word_lines=network.n_in,
        direction=network.direction,
        drain_steps=1 if network.head == "core" else 0,
        gate_line=network.n_in if gated else -1,
        readout=network.readout,
        backward_lines=network.backward_lines,
    )
    return CoreImage(**arrays, coding=coding).validate()


def _leaving(
    network: ConstrainedNetwork, hidden: Neurons, readout: Neurons | HostHead
) -> tuple[NDArray[np.uint8], Neurons, NDArray[np.intp]]:
    """List the neurons that leave the core: their columns of the crossbar, without the gate, and output lines."""
    if isinstance(readout, HostHead):
        return level_bits(network.levels).T, hidden, np.arange(network.n_hidden)
    classes = np.repeat(np.arange(network.classes), len(readout.gain) // network.classes)
    levels = np.pad(-network.readout_levels, ((0, 0), (network.n_in, 0)))
    return level_bits(levels)[classes].T, replace(readout, gain=-readout.gain), classes


def level_bits(levels: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Write weight levels as crossbar bits.

    Parameters
    ----------
    levels
        int8 (neurons, lines), -8..7.

    Returns
    -------
    uint8 (neurons, 4 lines)
        The bits for axon types 0..3 (weights -8, 4, 2, 1) of each line.

    """
    two_complement = levels.astype(np.int64) & 15
    bits = two_complement[:, :, None] >> np.array([3, 2, 1, 0]) & 1
    return np.asarray(bits.reshape(len(levels), -1), dtype=np.uint8)


def _input_axons(n_in: int, gate: int) -> NDArray[np.int32]:
    """List (line, core, axon) for the word lines, and for the gate, input line n_in, where there is one (not -1)."""
    first = COPIES * np.append(np.arange(n_in), [gate] * (gate >= 0))
    axons = np.repeat(first, COPIES) + np.tile(np.arange(COPIES), len(first))
    lines = np.repeat(np.arange(len(first)), COPIES)
    return np.stack([lines, np.zeros_like(lines), axons], axis=1).astype(np.int32)


def unplace(image: CoreImage, encoder: Encoder) -> tuple[ConstrainedNetwork, Neurons]:
    """Take the hidden layer of a placed network from its cores again.

    Parameters
    ----------
    image, encoder
        Cores that `place` made, and their encoder.

    Returns
    -------
    network, neurons : ConstrainedNetwork and Neurons
        The layer as it stands on the core: codes, levels, and scale and bias as threshold and leak express them; its
        readout is empty (no classes).  And its neurons, one row for each unit.

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
    return joined(first, second), hidden.and_these(more)


def unit_neurons(image: CoreImage, core: int) -> NDArray[np.intp]:
    """List the first neuron of every hidden unit on a core that `place` made, intp (units,).

    Raises
    ------
    ConstraintError
        The core's neurons are not placed four to a unit.

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
        projection=np.zeros((0, n_in)),  # no word vectors are known behind the codes
        origin=np.zeros(n_in),
        codes=codes.astype(np.float64),
        rows=rows,
        levels=levels.astype(np.int8),
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
