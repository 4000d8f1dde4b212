"""Place a constrained network on one core.

Every line (input component, hidden unit, gate) owns four axons.  The axons of inputs and hidden units have types
0..3; a hidden neuron's four weights are g (-8, 4, 2, 1), so four crossbar bits are the bits of a weight in -8..7.
A neuron has one target axon, so a hidden unit is four identical neurons, one for each axon of its line.

The readout sits on the same core, several neurons to a class.  Its codebook is negated, -g (-8, 4, 2, 1), and the
gate line's axons are all of type 0: each adds 8 g.  Between questions' words the leak holds readout membranes at
the floor; in the drain step the gate spikes at every tick and lifts them by as much as the leak takes, so what they
count is the last word's hidden activity alone.

Where the mean over all words is read (`readout="mean"`), the readout neurons integrate the hidden spikes of every
step: there is no gate, and their floor is as low as the chip allows, so that what speaks against a class at one word
still counts at the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..simcore import Coding, CoreImage, blank, limits
from .constrained import MAX_FAN_IN, ConstrainedNetwork, T
from .errors import ConstraintError

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


def readout_copies(n_hidden: int, classes: int) -> int:
    """Neurons that the core has left for each class."""
    return (limits.NEURONS - COPIES * n_hidden) // classes


def gate_lines(readout: str) -> int:
    """Lines that the readout's gate takes from the words and hidden units."""
    return 1 if readout == "last" else 0


def check_fit(n_in: int, n_hidden: int, classes: int, readout: str = "last") -> None:
    """Refuse a network that one core cannot hold.

    Raises
    ------
    ConstraintError
        Naming the broken limit.

    """
    gate = gate_lines(readout)
    lines = n_in + n_hidden + gate
    if lines > MAX_FAN_IN:
        raise ConstraintError(
            f"network: {n_in} input lines + {n_hidden} hidden units{' + 1 gate' * gate} = {lines} lines,"
            f" limit {MAX_FAN_IN}"
        )
    if readout_copies(n_hidden, classes) < 1:
        raise ConstraintError(
            f"network: {n_hidden} hidden units x {COPIES} copies + {classes} readout neurons ="
            f" {COPIES * n_hidden + classes} neurons, limit {limits.NEURONS}"
        )


def place(network: ConstrainedNetwork, hidden: Neurons, readout: Neurons) -> CoreImage:
    """Put a constrained network on one core.

    Parameters
    ----------
    network
        The network; its levels become crossbar bits.
    hidden
        One row for each hidden unit.
    readout
        k rows for each class, class by class.

    Raises
    ------
    ConstraintError
        The network does not fit one core.
    ImageError
        A parameter breaks a limit of the neuron.

    """
    check_fit(network.n_in, network.n_hidden, network.classes, network.readout)
    gated = bool(gate_lines(network.readout))
    n_in, n_hidden = network.n_in, network.n_hidden
    arrays = blank(1)
    gate = n_in + n_hidden
    arrays["axon_type"][0] = np.arange(limits.AXONS) % COPIES
    if gated:
        arrays["axon_type"][0, COPIES * gate : COPIES * gate + GATE_AXONS] = 0
    units = np.repeat(np.arange(n_hidden), COPIES)
    copy = np.tile(np.arange(COPIES), n_hidden)
    k = len(readout.gain) // network.classes
    classes = np.repeat(np.arange(network.classes), k)
    neurons = len(units) + len(classes)

    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[: COPIES * gate, : len(units)] = level_bits(network.levels)[units].T
    synapses[COPIES * n_in : COPIES * gate, len(units) : neurons] = level_bits(
        -network.readout_levels
    )[classes].T
    if gated:
        synapses[COPIES * gate : COPIES * gate + GATE_AXONS, len(units) : neurons] = 1
    arrays["crossbar"][0] = np.packbits(synapses, axis=1, bitorder="little")

    gains = np.concatenate([hidden.gain[units], -readout.gain])
    arrays["weights"][0, :neurons] = gains[:, None] * CODEBOOK
    for name in ("leak", "threshold", "potential"):
        values = np.concatenate([getattr(hidden, name)[units], getattr(readout, name)])
        arrays[name][0, :neurons] = values
    arrays["neg_threshold"][0, :neurons] = -np.concatenate([hidden.floor[units], readout.floor])
    arrays["kappa"][0, :neurons] = 1
    arrays["reset_mode"][0, :neurons] = 1

    arrays["target_core"][0, : len(units)] = 0
    arrays["target_axon"][0, : len(units)] = COPIES * (n_in + units) + copy
    arrays["delay"][0, : len(units)] = T
    arrays["target_core"][0, len(units) : neurons] = limits.TARGET_OUTPUT
    arrays["target_axon"][0, len(units) : neurons] = classes
    arrays["inputs"] = _input_axons(n_in, gate if gated else -1)
    arrays["outputs"] = np.stack(
        [np.zeros_like(classes), np.arange(len(units), neurons), classes], axis=1
    ).astype(np.int32)
    coding = Coding(
        ticks_per_step=T,
        word_lines=n_in,
        direction=network.direction,
        drain_steps=1,
        gate_line=n_in if gated else -1,
        readout=network.readout,
    )
    return CoreImage(**arrays, coding=coding).validate()


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
