"""Spikes of the hidden layer for a batch in training, counted exactly as on the core.

At every tick of a step, in the integers of the core, which float32 represents exactly::

    V += g * sum_i q_ji s_i(t) + leak
    if V >= theta: spike, V -= theta
    elif V < floor:  V = floor

By default, g = 31, theta = round(g / scale) and leak = round(bias * theta), and V starts at theta / 2.
V carries over from step to step. An input line of activity a spikes at the ticks t in 0..14 with
floor((t + 1) a / 15) > floor(t a / 15). A hidden spike arrives 15 ticks later, at the same tick of
the next step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from ...simcore import limits
from ...simcore.schedule import spike_pattern
from ..network.constrained import T
from ..network.place import GAIN_MAX

__all__ = ["LEAK_BOUND", "HiddenSpikes", "NeuronParameters", "neuron_parameters"]

LEAK_BOUND: Final = limits.LEAK_MAX - 1
"""Largest leak in training: one below the chip's limit, so that the converter, which starts from the bias in float32,
never has to lower g because of it."""

_PATTERN: Final = torch.from_numpy(spike_pattern(T).astype("float32").T.copy())  # [tick, activity]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NeuronParameters:
    """Integer parameters of the hidden neurons, as float32 tensors [n_hidden].

    Attributes
    ----------
    threshold, leak
        theta and leak.
    gain
        g; None: 31 for all neurons.
    potential
        V before the first word; None: theta / 2, rounded down.
    floor
        Lowest V, at most 0; None: 0.
    """

    threshold: torch.Tensor
    leak: torch.Tensor
    gain: torch.Tensor | None = None
    potential: torch.Tensor | None = None
    floor: torch.Tensor | None = None


def neuron_parameters(scale: torch.Tensor, bias: torch.Tensor) -> NeuronParameters:
    """Derive thresholds and leaks from scale and bias.

    Parameters
    ----------
    scale
        [n_hidden], scale of the weights.
    bias
        [n_hidden], in units of full activity.
    """
    threshold = torch.round(GAIN_MAX / scale.detach())
    leak = torch.round(bias.detach() * threshold).clamp(-LEAK_BOUND, LEAK_BOUND)
    return NeuronParameters(threshold=threshold, leak=leak)


class HiddenSpikes:
    """Spikes of the hidden layer over a batch of questions, step by step; carries no gradient.

    Parameters
    ----------
    neurons
        Parameters of the neurons.
    levels
        Weights [n_hidden, n_in + n_hidden], integers -8..7.
    codes
        Codes of the words [steps, questions, n_in], integers 0..15.
    alive
        bool [steps, questions]: whether a question has a word in the step; before its first word, V stays at its
        initial value.
    """

    def __init__(
        self,
        neurons: NeuronParameters,
        levels: torch.Tensor,
        codes: torch.Tensor,
        alive: torch.Tensor,
    ) -> None:
        n_in = codes.shape[2]
        gain = GAIN_MAX if neurons.gain is None else neurons.gain
        weights = gain * levels.detach().t()
        self._threshold = neurons.threshold
        self._floor = torch.zeros(1) if neurons.floor is None else neurons.floor
        self._recurrent = weights[n_in:]
        self._alive = alive[:, :, None]
        with torch.no_grad():
            # Ticks come first, so that the data of one tick is contiguous in memory: [tick, steps, questions, n_in].
            spikes = _PATTERN.index_select(1, codes.long().flatten()).view(T, *codes.shape)
            self._drive = (spikes @ weights[:n_in]).add_(neurons.leak)
            rest = neurons.potential
            if rest is None:
                rest = torch.floor(self._threshold / 2)
            self._rest = rest.expand(codes.shape[1], -1)
        self._potential = self._rest
        self._train = torch.zeros(T, codes.shape[1], len(levels))

    @torch.no_grad()
    def step(self, t: int) -> torch.Tensor:
        """Run step t; return the spike counts, float32 [questions, n_hidden], 0..15."""
        drive = self._drive[:, t] + self._train @ self._recurrent
        fired = torch.empty_like(drive)
        v = self._potential.clone()
        for arriving, spikes in zip(drive, fired, strict=True):
            v += arriving
            # The chip's order: the leak is in the drive already; fire at V >= theta; linear reset; then the floor.
            # Saturation at 20 bits is not modelled.
            torch.ge(v, self._threshold, out=spikes)
            v.addcmul_(self._threshold, spikes, value=-1)
            torch.maximum(v, self._floor, out=v)  # after a spike v >= 0 anyway
        self._potential = torch.where(self._alive[t], v, self._rest)
        self._train = fired * self._alive[t]
        return self._train.sum(dim=0)
