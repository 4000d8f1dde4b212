"""The chip in plain NumPy, one tick at a time: the definition that every kernel must equal bit for bit.

Equation numbers are those of `docs/neuron.md`, which writes out Cassidy et al. 2013.  A tick is, on all cores at once:
synaptic integration (equations 1 and 2), the leak (3 and 4), then threshold, fire and reset (5 to 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ._random import core_keys, draw
from .constants import DRAW_LEAK, DRAW_THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..image import CoreImage
    from .outcome import Outcome

_SHIFT_8: Final = np.uint64(64 - limits.RANDOM_BITS)
_SHIFT_15: Final = np.uint64(64 - limits.THRESHOLD_BITS_MAX)
"""Right shifts that leave the top 8 and the top 15 bits of a 64-bit random number."""


def simulate(
    image: CoreImage,
    raster: NDArray[np.uint64],
    starts: NDArray[np.int64],
    counted: NDArray[np.int64],
    outcome: Outcome,
) -> None:
    """Run every run of a batch from the image's initial state, and add the results to `outcome`.

    Parameters
    ----------
    image
        A valid image.
    raster
        (ticks of all runs, words): bit l % 64 of word l // 64 is a spike on input line l in that tick.
    starts
        (runs + 1,): run i is `raster[starts[i]:starts[i + 1]]`.
    counted
        (runs,): `outcome.counts` gets the output spikes of the last `counted[i]` ticks of run i.
    outcome
        `Outcome.zeros`, to add to.

    """
    lines = np.unpackbits(raster.view(np.uint8), axis=1, bitorder="little")
    for i in range(len(starts) - 1):
        chip = ReferenceChip(image)
        for t in range(starts[i], starts[i + 1]):
            sent, events, fired = chip.tick(lines[t])
            outcome.spikes[i] += sent
            outcome.synaptic_events[i] += events
            if t >= starts[i + 1] - counted[i]:
                outcome.counts[i] += fired
            if outcome.raster is not None:
                outcome.raster[t] = fired


class ReferenceChip:
    """The state of one run: membranes, spikes in flight, and which neurons fired last.

    Attributes
    ----------
    V : int64 (cores, 256)
        Membrane potentials after the last tick.
    fired : bool (cores, 256)
        Which neurons fired in the last tick.
    t : int
        Ticks run so far.

    """

    def __init__(self, image: CoreImage) -> None:
        self.image = image
        self.keys = core_keys(image.seed)[:, None]
        self.V = image.potential.astype(np.int64)
        self.scheduler = np.zeros(
            (limits.SCHEDULER_SLOTS, image.cores, limits.AXONS), dtype=np.bool_
        )
        self.fired = np.zeros(self.V.shape, dtype=np.bool_)
        self.t = 0

    def tick(self, lines: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
        """Run one tick.

        Parameters
        ----------
        lines : uint8 (input lines,)
            1 for a spike on the line.

        Returns
        -------
        sent : int64 (3,)
            Input, hidden and output spikes.
        events : int
            Synaptic events.
        out : int64 (output lines,)
            Spikes on each output line.

        """
        image = self.image
        axons = self.scheduler[self.t % limits.SCHEDULER_SLOTS]
        line, core, axon = image.inputs.T
        arriving = lines[line] == 1
        # several spikes on an axon in one tick merge into one
        axons[core[arriving], axon[arriving]] = True
        driven, events = self._synapses(axons)
        self.fired = fired = self._neurons(driven)
        # Delays are 1..15, so no spike of this tick goes into the slot that is cleared here.
        axons[:] = False
        routed = fired & (image.target_core >= 0)
        c, j = np.nonzero(routed)
        slot = (self.t + image.delay[c, j].astype(int)) % limits.SCHEDULER_SLOTS
        self.scheduler[slot, image.target_core[c, j], image.target_axon[c, j]] = True
        leaving = fired[image.outputs[:, 0], image.outputs[:, 1]]
        out = np.bincount(image.outputs[leaving, 2], minlength=image.output_lines)
        self.t += 1
        return np.array([arriving.sum(), routed.sum(), leaving.sum()]), events, out

    def _synapses(self, axons: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
        """Sum the weights of the spiking axons for every neuron, int64 (cores, 256); count the synaptic events."""
        image, neurons = self.image, np.arange(limits.NEURONS)
        driven, events = np.zeros_like(self.V), 0
        for c in np.nonzero(axons.any(axis=1))[0]:
            i = np.nonzero(axons[c])[0]
            w = np.unpackbits(image.crossbar[c, i], axis=1, bitorder="little")
            G = image.axon_type[c, i]
            # Equations 1 and 2: sum_i A_i w_ij [(1 - b) s + b F(s, rho_ij) sgn(s)],
            #                    s = s_j[G_i],  F(s, rho) = |s| >= rho
            s = image.weights[c].T[G].astype(np.int64)
            b = image.stochastic_weights[c] >> G[:, None] & 1
            rho = draw(self.keys[c], self.t, neurons, i[:, None]) >> _SHIFT_8
            driven[c] = (w * np.where(b == 1, _reaches(s, rho) * np.sign(s), s)).sum(axis=0)
            events += int(w.sum(dtype=np.int64))
        return driven, events

    def _neurons(self, driven: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Integrate, leak, fire and reset every neuron; return which fired."""
        image = self.image
        alpha = image.threshold.astype(np.int64)
        beta = image.neg_threshold.astype(np.int64)
        R = image.reset.astype(np.int64)
        neurons = np.arange(limits.NEURONS)
        V = _saturate(self.V + driven)
        # Equations 3 and 4: V += Omega [(1 - c) lambda + c F(lambda, rho_lambda) sgn(lambda)],
        #                    Omega = (1 - epsilon) + epsilon sgn(V),  sgn(0) = 0
        rho = draw(self.keys, self.t, neurons, DRAW_LEAK) >> _SHIFT_8
        leak = np.where(
            image.stochastic_leak == 1, _reaches(image.leak, rho) * np.sign(image.leak), image.leak
        )
        omega = np.where(image.epsilon == 1, np.sign(V), 1)
        leaked = V + (omega * leak).astype(np.int64)
        # With leak reversal, a leak that would carry V through zero stops there.
        leaked[(image.epsilon == 1) & (np.sign(leaked) == -np.sign(V))] = 0
        V = _saturate(leaked)
        # Equations 5 and 6: fire if V >= alpha + eta, with eta = rho_T & (2^TM - 1)
        rho = (draw(self.keys, self.t, neurons, DRAW_THRESHOLD) >> _SHIFT_15).astype(np.int64)
        eta = rho & ((1 << image.threshold_bits.astype(np.int64)) - 1)
        fired = alpha + eta <= V
        # Linear reset subtracts the drawn threshold alpha + eta, not alpha.
        after = np.choose(image.reset_mode, [R, V - (alpha + eta), V])
        # Equation 7: else the negative side if V < -[beta kappa + (beta + eta) (1 - kappa)], strictly below
        low = ~fired & (-(beta + eta * (1 - image.kappa.astype(np.int64))) > V)
        down = np.choose(image.reset_mode, [-R, V + (beta + eta), V])
        floor = np.where(image.kappa == 1, -beta, down)
        self.V = np.where(fired, after, np.where(low, floor, V))
        return fired


def _reaches(s: NDArray[Any], rho: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return F(s, rho) of equation 2: whether the magnitude of s reaches the random number."""
    return np.abs(s.astype(np.int64)).astype(np.uint64) >= rho


def _saturate(V: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clip potentials to the 20 bits of the membrane."""
    return np.clip(V, limits.POTENTIAL_MIN, limits.POTENTIAL_MAX)
