"""The student of a distillation: a constrained network with float weights behind its grids.

It runs in two ways on the same weights.  `integer`: weights and activities at 16 levels, straight-through.
`spiking`: the activities are the spike counts of the simulated core, the gradient is that of the clipped rate model,
word by word, through the counts that really drove each step.  In this model, too, what drives a neuron beyond a spike
at every tick is left for its next step: otherwise nothing would tell a saturated unit that it will fire too long.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from torch import nn

from ...network.constrained import LEVEL_MAX, LEVEL_MIN, ConstrainedNetwork, T
from ...straight_through.quantise import activities, levels
from ...straight_through.spikes import HiddenNeurons, HiddenSpikes
from ..response_matching import hidden_neurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Student", "Way"]

Way = Literal["integer", "spiking"]

_LEAST_LOG_SCALE: Final = math.log(1e-3)
"""Below it, a threshold (g / scale) could pass its 18 bits."""


class Student(nn.Module):
    """Activities are in units of full activity (15 spikes) here, logits in those of the float network.

    Parameters
    ----------
    start
        The constrained network that training starts from.
    embedding
        float64 (rows, d): the word vectors that its projection reads.
    floor
        Lowest potential of its hidden neurons, in thresholds.

    """

    embedding: torch.Tensor
    connected: torch.Tensor
    rows: torch.Tensor

    def __init__(
        self, start: ConstrainedNetwork, embedding: NDArray[np.float64], floor: float = 0.0
    ) -> None:
        super().__init__()
        self.start = start
        self.floor = floor
        # components of unit spread learn at one rate
        self.spread = np.maximum(embedding.std(axis=0), 1e-12)
        self.register_buffer("embedding", _tensor(embedding / self.spread))
        self.register_buffer("connected", _tensor(start.connected().astype(np.float64)))
        self.register_buffer("rows", torch.from_numpy(start.rows.astype(np.int64)))
        self.projection = nn.Parameter(_tensor(start.projection * self.spread[:, None] / T))
        self.origin = nn.Parameter(_tensor(start.origin / T))
        self.weights = nn.Parameter(_tensor(start.levels * start.scale[:, None]))
        self.log_scale = nn.Parameter(_tensor(np.log(start.scale))[:, None])
        self.bias = nn.Parameter(_tensor(start.bias / T))
        self.initial = nn.Parameter(_tensor(start.initial / T))
        self.head = nn.Parameter(_tensor(start.readout_levels * start.readout_scale[:, None] * T))
        self.log_head_scale = nn.Parameter(_tensor(np.log(start.readout_scale * T))[:, None])
        self.head_bias = nn.Parameter(_tensor(start.readout_bias))

    def codes(self, rows: torch.Tensor) -> torch.Tensor:
        """Encode rows of the embedding as activities [n, n_in]."""
        rates = self.embedding[rows] @ self.projection + self.origin
        return activities(torch.clamp(rates, 0, 1))

    def forward(
        self,
        ids: torch.Tensor,
        alive: torch.Tensor,
        way: Way,
        ends: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Read packed questions; return the logits after every word, [steps, questions, classes].

        Parameters
        ----------
        ids, alive
            int64 and bool [steps, questions], see `pack`.
        way
            See the module.
        ends
            int64 [steps, questions]: the words from the other end, for a bidirectional network.
        """
        rows, place = torch.unique(self.rows[ids], return_inverse=True)
        table = self.codes(rows)
        codes = table[place]
        if ends is not None:
            # the same words of the same questions, in another order
            split = codes.shape[2] - self.start.backward_lines
            other = table[torch.searchsorted(rows, self.rows[ends])]
            codes = torch.cat([codes[:, :, :split], other[:, :, split:]], dim=2)
        scale = self.log_scale.exp()
        q = levels(self.weights * self.connected, scale, LEVEL_MIN, LEVEL_MAX)
        n_in = codes.shape[2]
        matrix = (q * scale).t()
        drive = codes @ matrix[:n_in] + self.bias
        spikes = None
        if way == "spiking":
            spikes = HiddenSpikes(self._neurons(q), q, torch.round(codes.detach() * T), alive)
        initial = self.initial.expand(ids.shape[1], -1)
        state, total = initial, torch.zeros_like(initial)
        left = torch.zeros_like(initial)
        read = []
        for t in range(len(ids)):
            rate = drive[t] + state @ matrix[n_in:]
            if spikes is None:
                rate = activities(torch.clamp(rate, 0, 1))
            else:
                rate = rate + left
                left = torch.relu(rate - 1) * alive[t][:, None]
                rate = torch.clamp(rate, 0, 1)
                rate = spikes.step(t) / T + (rate - rate.detach())
            state = torch.where(alive[t][:, None], rate, initial)
            if self.start.readout == "mean":
                total = total + rate * alive[t][:, None]
            elif self.start.readout == "max":
                total = torch.maximum(total, rate * alive[t][:, None])
            read.append(state if self.start.readout == "last" else total)
        answers = torch.stack(read)
        if self.start.readout == "mean":
            answers = answers / alive.cumsum(dim=0).clamp(min=1)[:, :, None]
        head_scale = self.log_head_scale.exp()
        head = levels(self.head, head_scale, -LEVEL_MAX, -LEVEL_MIN) * head_scale
        return answers @ head.t() + self.head_bias

    @torch.no_grad()
    def bound(self) -> None:
        """Keep what training may not leave: scales that a threshold can express, initial activities in their range."""
        self.log_scale.clamp_(min=_LEAST_LOG_SCALE)
        self.log_head_scale.clamp_(min=_LEAST_LOG_SCALE)
        self.initial.clamp_(0, 1)

    def _neurons(self, q: torch.Tensor) -> HiddenNeurons:
        found = hidden_neurons(replace(self.start, **self._hidden(q)), floor=self.floor)
        names = ("threshold", "leak", "gain", "potential", "floor")
        values = {n: torch.from_numpy(getattr(found, n).astype(np.float32)) for n in names}
        return HiddenNeurons(**values)

    def _hidden(self, q: torch.Tensor) -> dict[str, Any]:
        """Return the arrays of the hidden layer in activity units, as a constrained network holds them."""
        return {
            "levels": q.detach().numpy().astype(np.int8),
            "scale": self.log_scale.detach().exp().squeeze(1).double().numpy(),
            "bias": self.bias.detach().double().numpy() * T,
            "initial": self.initial.detach().double().numpy() * T,
        }

    @torch.no_grad()
    def constrained(self, embedding: NDArray[np.float64]) -> ConstrainedNetwork:
        """Return the network as it stands on the grid, for the word vectors that it was made with."""
        q = levels(self.weights * self.connected, self.log_scale.exp(), LEVEL_MIN, LEVEL_MAX)
        head_scale = self.log_head_scale.exp()
        head = levels(self.head, head_scale, -LEVEL_MAX, -LEVEL_MIN)
        projection = self.projection.double().numpy() * T / self.spread[:, None]
        origin = self.origin.double().numpy() * T
        return replace(
            self.start,
            **self._hidden(q),
            projection=projection,
            origin=origin,
            codes=embedding @ projection + origin,
            readout_levels=head.numpy().astype(np.int8),
            readout_scale=head_scale.squeeze(1).double().numpy() / T,
            readout_bias=self.head_bias.double().numpy(),
        )


def _tensor(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
