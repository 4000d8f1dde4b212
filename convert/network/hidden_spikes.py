"""Spikes of the hidden layer for calibration: computed for all questions at once, exactly as the core does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...simcore import limits
from ...simcore.schedule import spike_pattern
from .constrained import ConstrainedNetwork, T
from .elman import reduce_over_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .place import Neurons


def run_hidden_neurons(
    network: ConstrainedNetwork, neurons: Neurons, questions: list[NDArray[np.int64]]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]]:
    """Run the placed hidden neurons over questions, step by step.

    Parameters
    ----------
    network, neurons
        The layer, and the parameters of its neurons.
    questions
        Word ids of each question, at least one.

    Yields
    ------
    alive : intp (m,)
        The questions that have a word in this step.
    inputs : float64 (m, n_in + n_hidden)
        Activities that drove the step: the word's code, and the hidden units' spike counts in the step before.
    counts : float64 (m, n_hidden)
        Spike count of every hidden unit in the step, 0..15.

    """
    codes = network.rounded_codes()
    pattern = spike_pattern(T)
    levels = network.levels.astype(np.float32)
    gain, leak, threshold, floor = (
        getattr(neurons, name).astype(np.float32) for name in ("gain", "leak", "threshold", "floor")
    )
    n = len(questions)
    V = np.repeat(neurons.potential[None].astype(np.float32), n, axis=0)
    # the spikes in flight; unlike activities, the chip's axons start empty (`potential` accounts for an initial state)
    train = np.zeros((n, T, network.n_hidden), dtype=np.float32)
    for code, alive in network.input_steps(codes, questions):
        spikes = np.concatenate([pattern[code].transpose(0, 2, 1), train[alive]], axis=2)
        # float32 holds these integers exactly, |drive| < 2**24, and its matrix product is fast
        drive = (spikes.astype(np.float32) @ levels.T) * gain
        fired = np.empty((len(alive), T, network.n_hidden), dtype=np.float32)
        v = V[alive]
        for t in range(T):
            # in the chip's order: synapses (saturating), leak, threshold with linear reset, floor
            v = np.clip(v + drive[:, t], limits.POTENTIAL_MIN, limits.POTENTIAL_MAX) + leak
            fire = v >= threshold
            v = np.maximum(np.where(fire, v - threshold, v), floor)
            fired[:, t] = fire
        V[alive] = v
        inputs = np.concatenate([code, train[alive].sum(axis=1)], axis=1).astype(np.float64)
        train[alive] = fired  # arrives in the next step, after the recurrent delay of 15 ticks
        yield alive, inputs, fired.sum(axis=1).astype(np.float64)


def readout_counts(
    network: ConstrainedNetwork, neurons: Neurons, questions: list[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Run questions; return the spike counts that are read out, r in `ConstrainedNetwork`, float64 (n, n_hidden)."""
    counted = (
        (alive, counts) for alive, _, counts in run_hidden_neurons(network, neurons, questions)
    )
    words = np.array([len(q) for q in questions])
    return reduce_over_time(counted, words, network.n_hidden, network.readout)
