"""Place a constrained network on its cores.

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

Units that are spread over several cores (spread.py) have four neurons for each core that has their line.  Their spikes
take the same 15 ticks to another core as to their own, so the cores spike as one large core would.  Each core has the
readout neurons of the units that are read out there, and the class counts of all cores add up on shared output lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...simcore import Coding, CoreImage, HostHead, blank, limits
from ..errors import ConstraintError
from .constrained import MAX_FAN_IN, ConstrainedNetwork, T
from .neurons import (
    CODEBOOK,
    COPIES,
    GAIN_MAX,
    GATE_AXONS,
    Neurons,
    Readout,
    gate_lines,
    level_bits,
    readout_copies,
    spare_neurons,
)
from .spread import Spread
from .unplace import unit_neurons, unplace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CODEBOOK",
    "COPIES",
    "GAIN_MAX",
    "Neurons",
    "Readout",
    "check_fit",
    "gate_lines",
    "layout",
    "level_bits",
    "needs_two_cores",
    "place",
    "readout_copies",
    "spare_neurons",
    "unit_neurons",
    "unplace",
]


def needs_two_cores(network: ConstrainedNetwork) -> bool:
    """Return whether each direction of a bidirectional network needs its own core."""
    lines = network.n_in + network.n_hidden + gate_lines(network.readout, network.head)
    spare = spare_neurons(network.n_hidden, network.head)
    enough = spare >= (network.classes if network.head == "core" else 0)
    return network.backward_lines > 0 and not (lines <= MAX_FAN_IN and enough)


def layout(network: ConstrainedNetwork) -> Spread:
    """Return which core each hidden unit is on, and which lines each core has."""
    if network.spread is not None:
        return network.spread
    lines, units = network.directions()
    if not needs_two_cores(network):
        lines, units = np.zeros_like(lines), np.zeros_like(units)
    cores = int(units.max(initial=0)) + 1
    return Spread(
        core=units, reads=np.concatenate([lines, units])[None] == np.arange(cores)[:, None]
    )


def check_fit(network: ConstrainedNetwork) -> None:
    """Raise if its cores cannot hold the network.

    Raises
    ------
    ConstraintError
        The network exceeds a limit, which the message names.

    """
    on = layout(network)
    several = on.cores > 1
    gate = gate_lines(network.readout, network.head)
    for core in range(on.cores):
        who = f"core {core}" if several else "network"
        n_in, hidden = np.split(on.reads[core], [network.n_in])
        lines = int(n_in.sum() + hidden.sum()) + gate
        if lines > MAX_FAN_IN:
            raise ConstraintError(
                f"{who}: {n_in.sum()} input lines + {hidden.sum()} hidden units{' + 1 gate' * gate} = {lines} lines,"
                f" limit {MAX_FAN_IN}"
            )
        units, classes = int((on.core == core).sum()), network.classes
        neurons = int(on.neurons(network.head)[core])
        if network.head == "host" and neurons > limits.NEURONS:
            each = f"{COPIES}" if several else f"{COPIES + 1}"
            raise ConstraintError(
                f"{who}: {units} hidden units x {each} copies{' for each core that reads them' * several} ="
                f" {neurons} neurons, limit {limits.NEURONS}"
            )
        if network.head == "core" and neurons + classes > limits.NEURONS:
            raise ConstraintError(
                f"{who}: {units} hidden units x {COPIES} copies{' for each core that reads them' * several} +"
                f" {classes} readout neurons = {neurons + classes} neurons, limit {limits.NEURONS}"
            )


def place(network: ConstrainedNetwork, hidden: Neurons, readout: Readout) -> CoreImage:
    """Put a constrained network on one core, the directions of a bidirectional one on two, or a spread one on its own.

    Parameters
    ----------
    network
        The network; its levels become crossbar bits.
    hidden
        Parameters of the hidden neurons, one row for each hidden unit.
    readout
        Parameters of the readout neurons, k rows for each class, class by class, and for several cores a tuple of
        them; or the head, if the host computes it.

    Raises
    ------
    ConstraintError
        The network does not fit its cores, or there is a readout for another number of cores.
    ImageError
        A neuron's parameter is outside the chip's limits.

    """
    on = layout(network)
    parts = readout if isinstance(readout, tuple) else (readout,) * on.cores
    if (isinstance(readout, Neurons) and on.cores > 1) or len(parts) != on.cores:
        raise ConstraintError(
            f"network: it takes {on.cores} cores, but there are {len(parts)} readouts"
        )
    check_fit(network)
    arrays = blank(on.cores)
    inputs, outputs = [], []
    for core, part in enumerate(parts):
        lines = np.flatnonzero(on.reads[core])
        units, target, axon = _copies(network.n_in, on, core)
        columns, leaving, sent = _leaving(network, on, core, hidden, part)
        neurons = hidden.select(units).joined_with(leaving)
        n, recurrent = len(neurons.gain), len(units)
        arrays["axon_type"][core], arrays["crossbar"][core] = _axons(
            network, lines, level_bits(network.levels[units][:, lines]).T, columns
        )
        arrays["weights"][core, :n] = neurons.gain[:, None] * CODEBOOK
        for name in ("leak", "threshold", "potential"):
            arrays[name][core, :n] = getattr(neurons, name)
        arrays["neg_threshold"][core, :n] = -neurons.floor
        arrays["kappa"][core, :n] = 1  # a potential below the floor is set to the floor
        arrays["reset_mode"][core, :n] = 1  # linear: a spike subtracts the threshold
        arrays["target_core"][core, :recurrent] = target
        arrays["target_axon"][core, :recurrent] = axon
        # a hidden spike arrives at the same tick of the next step
        arrays["delay"][core, :recurrent] = T
        arrays["target_core"][core, recurrent:n] = limits.TARGET_OUTPUT
        arrays["target_axon"][core, recurrent:n] = sent
        inputs.append(_input_axons(core, lines, network.n_in, gated=_is_gated(network)))
        outputs.append(np.stack([np.full_like(sent, core), np.arange(recurrent, n), sent], axis=1))
    arrays["inputs"] = np.concatenate(inputs).astype(np.int32)
    arrays["outputs"] = np.concatenate(outputs).astype(np.int32)
    head = readout if isinstance(readout, HostHead) else None
    return CoreImage(**arrays, head=head, coding=_coding(network)).validate()


def _copies(
    n_in: int, on: Spread, core: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return unit, target core and target axon of each of a core's hidden neurons: four for each core that reads it."""
    hidden = on.reads[:, n_in:]
    place_of = COPIES * (np.cumsum(on.reads, axis=1) - 1)[:, n_in:]
    units, readers = np.nonzero((hidden & (on.core == core)).T)
    axons = np.repeat(place_of[readers, units], COPIES) + np.tile(np.arange(COPIES), len(units))
    return np.repeat(units, COPIES), np.repeat(readers, COPIES), axons


def _axons(
    network: ConstrainedNetwork,
    lines: NDArray[np.intp],
    recurrent: NDArray[np.uint8],
    leaving: NDArray[np.uint8],
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return the types of all axons, and the packed crossbar of hidden neurons followed by those that leave."""
    gate = COPIES * len(lines)
    first = recurrent.shape[1]
    last = first + leaving.shape[1]
    types = np.arange(limits.AXONS) % COPIES
    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[:gate, :first] = recurrent
    synapses[:gate, first:last] = leaving
    if _is_gated(network):
        # all of type 0, of weight 8 g for the readout: together 32 g a tick
        types[gate : gate + GATE_AXONS] = 0
        synapses[gate : gate + GATE_AXONS, first:last] = 1
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


def _leaving(
    network: ConstrainedNetwork,
    on: Spread,
    core: int,
    hidden: Neurons,
    readout: Neurons | HostHead,
) -> tuple[NDArray[np.uint8], Neurons, NDArray[np.intp]]:
    """Return a core's neurons that target output lines: crossbar columns (without the gate), parameters and lines."""
    lines = np.flatnonzero(on.reads[core])
    if isinstance(readout, HostHead):
        own = np.flatnonzero(on.core == core)
        return level_bits(network.levels[own][:, lines]).T, hidden.select(own), own
    classes = np.repeat(np.arange(network.classes), len(readout.gain) // network.classes)
    # Levels and gain are both negated, which cancels out; the gain is negative so that type 0 weighs +8 g for the gate.
    here = np.where(on.read_out_at() == core, -network.readout_levels, 0)
    levels = np.pad(here, ((0, 0), (network.n_in, 0)))[:, lines]
    return level_bits(levels)[classes].T, replace(readout, gain=-readout.gain), classes


def _input_axons(core: int, lines: NDArray[np.intp], n_in: int, *, gated: bool) -> NDArray[np.intp]:
    """Return (line, core, axon) rows for a core's word lines and, if it is gated, for the gate, input line n_in."""
    words = lines[lines < n_in]
    sources = np.append(words, [n_in] * gated)
    first = COPIES * np.append(np.arange(len(words)), [len(lines)] * gated)
    axons = np.repeat(first, COPIES) + np.tile(np.arange(COPIES), len(first))
    return np.stack([np.repeat(sources, COPIES), np.full_like(axons, core), axons], axis=1).astype(
        np.intp
    )
