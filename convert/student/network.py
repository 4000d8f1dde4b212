"""The student: word features to codes, an Elman layer on the grid of a core, a linear head.

It runs in two ways on the same weights.  `integer`: weights and activities have 16 levels, with straight-through
gradients.  `spiking`: the activities are the spike counts of the simulated core, and the gradient is that of the
clipped rate model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ..network.constrained import LEVEL_MAX, LEVEL_MIN, T
from ..network.grid import GridNetwork
from ..network.place import GAIN_MAX
from ..straight_through.quantise import round_activities, round_weights
from ..straight_through.spikes import LEAK_BOUND, HiddenSpikes, neuron_parameters
from .recurrence import states

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..network.spread import Spread

__all__ = ["Shape", "StudentNet", "Way"]

Way = Literal["integer", "spiking"]

_LOGIT_SCALE: Final = (
    4.0  # states are at most 1 and head weights small: unscaled logits would start flat
)
_HIDDEN_SCALE: Final = 0.09  # initial size of one weight level
_HEAD_SCALE: Final = 0.1
_CODE_SPREAD: Final = 0.25  # of the initial codes around one half
_MIXING: Final = 0.05  # of the features in the initial codes


class Shape(NamedTuple):
    """What is chosen by trials: sizes, what the head reads, and the order of reading."""

    n_in: int
    n_hidden: int
    readout: Literal["last", "mean"]
    direction: Literal["forward", "reverse"]

    def __str__(self) -> str:
        what = "the last state" if self.readout == "last" else "the mean of the states"
        order = "" if self.direction == "forward" else ", last word first"
        return f"{self.n_in} input lines, {self.n_hidden} hidden units, {what}{order}"


class StudentNet(nn.Module):
    """The student in training; activities are in units of full activity (15 spikes).

    Parameters
    ----------
    features
        float32 (words, components): what the teacher's answers say of each word id.
    classes
        Number of outputs of the head.
    shape
        Sizes, readout and direction.

    """

    features: torch.Tensor

    def __init__(self, features: NDArray[np.float32], classes: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        n_in, n_hidden = shape.n_in, shape.n_hidden
        table = torch.from_numpy(features)
        spread = table.std(dim=0).clamp(min=1e-3)
        # components at unit spread, so that all of them learn at the same rate
        self.register_buffer("features", table / spread)
        # each line starts with one of the leading components, and some of the others in proportion to their spread
        mixed = _MIXING * torch.randn(len(spread), n_in) * (spread / spread.max())[:, None]
        self.projection = nn.Parameter(_CODE_SPREAD * torch.eye(len(spread), n_in) + mixed)
        self.origin = nn.Parameter(torch.full((n_in,), 0.5))
        self.correction = nn.Parameter(torch.zeros(len(table), n_in))
        inputs = torch.randn(n_hidden, n_in) / math.sqrt(n_in)
        # a recurrence near the identity keeps the words read first in memory
        memory = 0.5 * torch.eye(n_hidden) + 0.5 / math.sqrt(n_hidden) * torch.randn(
            n_hidden, n_hidden
        )
        self.weights = nn.Parameter(torch.cat([inputs, memory], dim=1))
        self.bias = nn.Parameter(-0.5 * inputs.sum(dim=1))  # codes start around one half
        self.log_scale = nn.Parameter(torch.full((n_hidden, 1), math.log(_HIDDEN_SCALE)))
        self.head = nn.Parameter(torch.randn(classes, n_hidden) / math.sqrt(n_hidden))
        self.head_bias = nn.Parameter(torch.zeros(classes))
        self.log_head_scale = nn.Parameter(torch.full((classes, 1), math.log(_HEAD_SCALE)))
        self.spread: Spread | None = None
        self._connected: torch.Tensor | None = None

    @torch.no_grad()
    def spread_over(self, spread: Spread) -> None:
        """Keep only the weights that hidden units spread over several cores can have; the others become 0."""
        self.spread = spread
        self._connected = torch.from_numpy(spread.connected()).float()

    def codes(self, ids: torch.Tensor) -> torch.Tensor:
        """Encode word ids [n] as activities [n, n_in], 0..1 at 16 levels."""
        rates = self.features[ids] @ self.projection + self.correction[ids] + self.origin
        return round_activities(torch.clamp(rates, 0, 1))

    def grid(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return levels and scales of the hidden layer, then levels and scales of the head."""
        scale, head_scale = self.log_scale.exp(), self.log_head_scale.exp()
        levels = round_weights(self.weights, scale, LEVEL_MIN, LEVEL_MAX)
        if self._connected is not None:
            levels = levels * self._connected
        return (
            levels,
            scale,
            # -7..7, because the readout's codebook is negated, -7..8 (see place.py)
            round_weights(self.head, head_scale, -LEVEL_MAX, LEVEL_MAX),
            head_scale,
        )

    def forward(self, ids: torch.Tensor, alive: torch.Tensor, way: Way) -> torch.Tensor:
        """Read packed questions; return the logits after every word, [steps, questions, classes].

        Parameters
        ----------
        ids, alive
            int64 and bool [steps, questions], see `distil.questions.pack`.
        way
            See the module.
        """
        words, place = torch.unique(ids, return_inverse=True)
        codes = self.codes(words)[place]  # each distinct word is encoded once
        q, scale, head_q, head_scale = self.grid()
        matrix = (q * scale).t()
        n_in = self.shape.n_in
        drive = codes @ matrix[:n_in] + self.bias
        counted = None
        if way == "spiking":
            neurons = neuron_parameters(scale.squeeze(1), self.bias)
            counted = HiddenSpikes(neurons, q, torch.round(codes.detach() * T), alive).step
        # questions are aligned at the last step: before its first word, a question's state stays 0
        answers = states(drive, matrix[n_in:], alive, counted)
        if self.shape.readout == "mean":
            words_read = alive.cumsum(dim=0).clamp(min=1)[:, :, None]
            answers = answers.cumsum(dim=0) / words_read
        logits: torch.Tensor = answers @ (head_q * head_scale).t() + self.head_bias
        return _LOGIT_SCALE * logits

    @torch.no_grad()
    def bound(self) -> None:
        """Clip every bias to the range that the leak of its neuron can express."""
        most = LEAK_BOUND / torch.round(GAIN_MAX / self.log_scale.exp()).squeeze(1)
        self.bias.copy_(torch.maximum(torch.minimum(self.bias, most), -most))

    @torch.no_grad()
    def on_grid(self) -> GridNetwork:
        """Return the network in numbers that a core can hold: scales are gain / threshold, biases leak / threshold."""
        q, scale, head_q, head_scale = self.grid()
        neurons = neuron_parameters(scale.squeeze(1), self.bias)
        codes = torch.round(self.codes(torch.arange(len(self.features))) * T)
        distinct, rows = torch.unique(codes, dim=0, return_inverse=True)
        threshold = neurons.threshold.double().numpy()
        return GridNetwork(
            rows=rows.int().numpy(),
            codes=distinct.byte().numpy(),
            weights=q.char().numpy(),
            scale=GAIN_MAX / threshold,
            bias=neurons.leak.double().numpy() / threshold,
            head=head_q.char().numpy(),
            head_scale=_LOGIT_SCALE * head_scale.squeeze(1).double().numpy(),
            head_bias=_LOGIT_SCALE * self.head_bias.double().numpy(),
            readout=self.shape.readout,
            direction=self.shape.direction,
            spread=self.spread,
        )


def divergence(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence of the student's answers from the teacher's, both [n, classes]."""
    return functional.kl_div(functional.log_softmax(logits, dim=1), wanted, reduction="batchmean")
