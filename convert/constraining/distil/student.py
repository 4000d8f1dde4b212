"""The student of a distillation: a constrained network whose float weights are rounded when it runs.

It runs in two modes with the same weights.  In `integer` mode, weights and activities have 16 levels, with
straight-through gradients.  In `spiking` mode, the activities are the spike counts of the simulated core, and the
gradient is that of the clipped rate model, word by word, for the counts that drove each step.  As on the core, drive
beyond one spike at every tick carries over to the next step of the rate model; otherwise no gradient would show a
saturated unit that it will fire too long.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from torch import nn

from ...network.constrained import LEVEL_MAX, LEVEL_MIN, ConstrainedNetwork, T
from ...straight_through.quantise import round_activities, round_weights
from ...straight_through.spikes import HiddenSpikes, NeuronParameters
from ..response_matching import hidden_neurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Mode", "Student"]

Mode = Literal["integer", "spiking"]

_LEAST_LOG_SCALE: Final = math.log(1e-3)
"""Lower bound of log scale: below it, a threshold g / scale could exceed its 18 bits."""


class Student(nn.Module):
    """A constrained network to train; activities are in units of full activity (15 spikes), logits are not scaled.

    Parameters
    ----------
    start
        The constrained network that training starts from.
    embedding
        float64 (rows, d): the word vectors that its projection takes.
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
        # components are scaled to unit spread, so that all of them learn at the same rate
        self.spread = np.maximum(embedding.std(axis=0), 1e-12)
        self.register_buffer("embedding", _tensor(embedding / self.spread))
        self.register_buffer("connected", _tensor(start.connected().astype(np.float64)))
        self.register_buffer("rows", torch.from_numpy(start.rows.astype(np.int64)))
        self.projection = nn.Parameter(_tensor(start.projection * self.spread[:, None] / T))
        self.origin = nn.Parameter(_tensor(start.origin / T))
        self.weights = nn.Parameter(_tensor(start.levels * start.scale[:, None]))
        # scales are trained as logarithms, so that they stay positive
        self.log_scale = nn.Parameter(_tensor(np.log(start.scale))[:, None])
        self.bias = nn.Parameter(_tensor(start.bias / T))
        self.initial = nn.Parameter(_tensor(start.initial / T))
        self.head = nn.Parameter(_tensor(start.readout_levels * start.readout_scale[:, None] * T))
        self.log_head_scale = nn.Parameter(_tensor(np.log(start.readout_scale * T))[:, None])
        self.head_bias = nn.Parameter(_tensor(start.readout_bias))

    def codes(self, rows: torch.Tensor) -> torch.Tensor:
        """Encode rows of the embedding as activities [n, n_in]."""
        rates = self.embedding[rows] @ self.projection + self.origin
        return round_activities(torch.clamp(rates, 0, 1))

    def forward(
        self,
        ids: torch.Tensor,
        alive: torch.Tensor,
        mode: Mode,
        ends: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Read packed questions; return the logits after every word, [steps, questions, classes].

        Parameters
        ----------
        ids, alive
            int64 and bool [steps, questions], see `pack`.
        mode
            See the module.
        ends
            int64 [steps, questions]: the word ids from the other end, for a bidirectional network.
        """
        codes = self._codes_of_words(ids, ends)
        scale = self.log_scale.exp()
        q = round_weights(self.weights * self.connected, scale, LEVEL_MIN, LEVEL_MAX)
        n_in = codes.shape[2]
        matrix = (q * scale).t()
        drive = codes @ matrix[:n_in] + self.bias
        spikes = None
        if mode == "spiking":
            spikes = HiddenSpikes(self._neurons(q), q, torch.round(codes.detach() * T), alive)
        initial = self.initial.expand(ids.shape[1], -1)
        state, total = initial, torch.zeros_like(initial)
        left = torch.zeros_like(initial)
        read = []
        for t in range(len(ids)):
            rate = drive[t] + state @ matrix[n_in:]
            if spikes is None:
                rate = round_activities(torch.clamp(rate, 0, 1))
            else:
                rate = rate + left
                # drive beyond a spike at every tick stays in the membrane potential, above the threshold
                left = torch.relu(rate - 1) * alive[t][:, None]
                rate = torch.clamp(rate, 0, 1)
                # the value is the core's count, the gradient the rate model's
                rate = spikes.step(t) / T + (rate - rate.detach())
            # questions are aligned at the last step: before its first word, a question keeps its initial state
            state = torch.where(alive[t][:, None], rate, initial)
            if self.start.readout == "mean":
                total = total + rate * alive[t][:, None]
            elif self.start.readout == "max":
                total = torch.maximum(total, rate * alive[t][:, None])
            read.append(state if self.start.readout == "last" else total)
        answers = torch.stack(read)
        if self.start.readout == "mean":
            # clamped, because a question that has not begun has read 0 words; `alive` masks its answers in the loss
            answers = answers / alive.cumsum(dim=0).clamp(min=1)[:, :, None]
        head_scale = self.log_head_scale.exp()
        head = round_weights(self.head, head_scale, -LEVEL_MAX, -LEVEL_MIN) * head_scale
        return answers @ head.t() + self.head_bias

    def _codes_of_words(self, ids: torch.Tensor, ends: torch.Tensor | None) -> torch.Tensor:
        """Encode each distinct word once; return the codes of all words, [steps, questions, n_in]."""
        rows, place = torch.unique(self.rows[ids], return_inverse=True)
        table = self.codes(rows)
        codes = table[place]
        if ends is None:
            return codes
        # the other direction reads the same words in another order, so `table` holds their codes
        split = codes.shape[2] - self.start.backward_lines
        other = table[torch.searchsorted(rows, self.rows[ends])]
        return torch.cat([codes[:, :, :split], other[:, :, split:]], dim=2)

    @torch.no_grad()
    def bound(self) -> None:
        """Clamp scales to those that a threshold can express, and initial activities to their range."""
        self.log_scale.clamp_(min=_LEAST_LOG_SCALE)
        self.log_head_scale.clamp_(min=_LEAST_LOG_SCALE)
        self.initial.clamp_(0, 1)

    def _neurons(self, q: torch.Tensor) -> NeuronParameters:
        found = hidden_neurons(replace(self.start, **self._hidden(q)), floor=self.floor)
        names = ("threshold", "leak", "gain", "potential", "floor")
        values = {n: torch.from_numpy(getattr(found, n).astype(np.float32)) for n in names}
        return NeuronParameters(**values)

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
        """Return the rounded network; `embedding` must be the word vectors that the student was built with."""
        q = round_weights(self.weights * self.connected, self.log_scale.exp(), LEVEL_MIN, LEVEL_MAX)
        head_scale = self.log_head_scale.exp()
        head = round_weights(self.head, head_scale, -LEVEL_MAX, -LEVEL_MIN)
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
