"""Read a placed network back from its cores: what `place` put there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConstraintError
from .constrained import ConstrainedNetwork, T, join_directions
from .neurons import CODEBOOK, COPIES, Neurons
from .spread import Spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...simcore import Coding, CoreImage, Encoder


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
        The image has no coding, or `place` did not make it.

    """
    coding = image.coding
    if coding is None:
        raise ConstraintError(
            f"core image: {image.cores} cores or no coding, expected one placed network"
        )
    if coding.backward_lines and image.cores == 2:
        codes = np.split(encoder.codes, [coding.word_lines - coding.backward_lines], axis=1)
        (first, hidden), (second, more) = (
            _unplace_core(image, core, codes[core], encoder.rows, coding) for core in (0, 1)
        )
        return join_directions(first, second), hidden.joined_with(more)
    if image.cores > 1:
        return _unplace_spread(image, encoder, coding)
    network, neurons = _unplace_core(image, 0, encoder.codes, encoder.rows, coding)
    return replace(network, backward_lines=coding.backward_lines), neurons


def unit_neurons(image: CoreImage, core: int) -> NDArray[np.intp]:
    """Return the first neuron of every hidden unit on a core that `place` made, intp (units,).

    Raises
    ------
    ConstraintError
        The core's hidden neurons are not four to a unit, in order.

    """
    if is_spread(image):
        return _spread_units(image, core)
    at = np.flatnonzero(image.target_core[core] == core)
    axons = image.target_axon[core, at]
    if len(at) == 0 or len(at) % COPIES or axons[0] % COPIES or (np.diff(axons) != 1).any():
        raise _not_placed(core)
    return at[::COPIES]


def is_spread(image: CoreImage) -> bool:
    """Return whether hidden units of one core send spikes to another."""
    own = np.arange(image.cores)[:, None]
    return bool(((image.target_core >= 0) & (image.target_core != own)).any())


def _not_placed(core: int) -> ConstraintError:
    return ConstraintError(f"core {core}: its hidden neurons are not four to a unit, in order")


def _spread_units(image: CoreImage, core: int) -> NDArray[np.intp]:
    """Return the first neuron of every unit on a core of a spread network: a unit may have four for each core."""
    at = np.flatnonzero(image.target_core[core] >= 0)
    target, axons = image.target_core[core, at], image.target_axon[core, at]
    quads = axons[: len(at) // COPIES * COPIES].reshape(-1, COPIES)
    if (
        len(at) % COPIES
        or (quads[:, 0] % COPIES).any()
        or (np.diff(quads, axis=1) != 1).any()
        or (target[::COPIES].repeat(COPIES) != target).any()
    ):
        raise _not_placed(core)
    # the copies of a unit follow each other, are equal, and target rising cores
    synapses = np.unpackbits(image.crossbar[core], axis=1, bitorder="little")
    columns = [synapses[:, at[::COPIES]]]
    columns += [
        getattr(image, name)[core, at[::COPIES]].reshape(1, -1)
        for name in ("threshold", "leak", "potential", "neg_threshold")
    ]
    columns.append(image.weights[core, at[::COPIES]].T)
    table = np.concatenate([c.astype(np.int64) for c in columns])
    again = (np.diff(table, axis=1) == 0).all(axis=0) & (np.diff(target[::COPIES]) > 0)
    return at[::COPIES][np.concatenate([[True], ~again])] if len(at) else at


def _unplace_spread(
    image: CoreImage, encoder: Encoder, coding: Coding
) -> tuple[ConstrainedNetwork, Neurons]:
    """Read a network back whose hidden units are spread over the cores."""
    firsts = [_spread_units(image, core) for core in range(image.cores)]
    core = np.repeat(np.arange(image.cores), [len(f) for f in firsts])
    n_in, n = coding.word_lines, len(core)
    if coding.backward_lines or not n:
        raise ConstraintError(
            f"core image: {image.cores} cores in two directions or no unit, expected one placed network"
        )
    line_at = np.full(
        image.crossbar.shape[:2], -1
    )  # (core, axon): the line that the axon belongs to
    words = image.inputs[image.inputs[:, 0] < n_in]
    line_at[words[:, 1], words[:, 2]] = words[:, 0]
    unit = n_in - 1
    for c, first in enumerate(firsts):
        at = np.flatnonzero(image.target_core[c] >= 0)
        units = unit + np.searchsorted(first, at, side="right")
        line_at[image.target_core[c, at], image.target_axon[c, at]] = units
        unit += len(first)
    reads = np.zeros((image.cores, n_in + n), dtype=np.bool_)
    levels = np.zeros((n, n_in + n), dtype=np.int8)
    parts = []
    for c, first in enumerate(firsts):
        # the lines of a core are in order, from its first axon on; the gate has no line
        lines = line_at[c, ::COPIES]
        lines = lines[lines >= 0]
        if (np.diff(lines) <= 0).any() or (line_at[c, : COPIES * len(lines) : COPIES] < 0).any():
            raise _not_placed(c)
        reads[c, lines] = True
        own = np.flatnonzero(core == c)
        levels[np.ix_(own, lines)] = _levels(image, c, first, len(lines))
        parts.append(_neurons(image, c, first))
    neurons = parts[0]
    for more in parts[1:]:
        neurons = neurons.joined_with(more)
    network = _layer(encoder.codes, encoder.rows, levels, neurons, coding)
    return replace(network, spread=Spread(core=core, reads=reads)), neurons


def _unplace_core(
    image: CoreImage, core: int, codes: NDArray[np.uint8], rows: NDArray[np.int32], coding: Coding
) -> tuple[ConstrainedNetwork, Neurons]:
    at = unit_neurons(image, core)
    neurons = _neurons(image, core, at)
    levels = _levels(image, core, at, codes.shape[1] + len(at))
    return _layer(codes, rows, levels, neurons, coding), neurons


def _levels(image: CoreImage, core: int, at: NDArray[np.intp], lines: int) -> NDArray[np.int8]:
    """Return the weight levels of some of a core's neurons, int8 (neurons, lines)."""
    bits = np.unpackbits(image.crossbar[core], axis=1, bitorder="little")[: COPIES * lines, at]
    levels = np.tensordot(bits.reshape(lines, COPIES, len(at)), CODEBOOK, axes=(1, 0))
    return levels.T.astype(np.int8)


def _neurons(image: CoreImage, core: int, at: NDArray[np.intp]) -> Neurons:
    values = {
        name: getattr(image, name)[core, at].astype(np.int64)
        for name in ("threshold", "leak", "potential")
    }
    return Neurons(
        gain=image.weights[core, at, COPIES - 1].astype(np.int64),
        floor=-image.neg_threshold[core, at].astype(np.int64),
        **values,
    )


def _layer(
    codes: NDArray[np.uint8],
    rows: NDArray[np.int32],
    levels: NDArray[np.int8],
    neurons: Neurons,
    coding: Coding,
) -> ConstrainedNetwork:
    """Return a hidden layer without a readout."""
    n_in, n = codes.shape[1], len(neurons.gain)
    return ConstrainedNetwork(
        projection=np.zeros((0, n_in)),  # the encoder holds codes only, not the word vectors
        origin=np.zeros(n_in),
        codes=codes.astype(np.float64),
        rows=rows,
        levels=levels,
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
