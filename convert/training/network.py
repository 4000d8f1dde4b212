"""The Elman network in training: word vectors to codes, a hidden layer that reads backwards, a linear head.

It runs in three ways on the same weights. `float`: weights are on the grid, activities are not rounded (this is
what the ONNX model computes). `integer`: activities have 16 levels. `spiking`: activities are the spike counts of
the simulated core; the gradient is that of the float way, word by word (Diehl's rate model), but evaluated at the
spike counts that drove each step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, get_args

import torch
from torch import nn
from torch.nn import functional

from ..network.constrained import LEVEL_MAX, LEVEL_MIN, T
from ..network.grid import GridNetwork
from ..network.place import GAIN_MAX
from ..straight_through.quantise import round_activities, round_weights
from ..straight_through.spikes import LEAK_BOUND, HiddenSpikes, neuron_parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..words.vectors import WordTable
    from .settings import TrainingSettings

__all__ = ["WAYS", "ElmanNet", "Way", "Words", "own_words"]

Way = Literal["float", "integer", "spiking"]

WAYS: Final[tuple[Way, ...]] = get_args(Way)

HEAD_MAX: Final = LEVEL_MAX
"""Largest head level; head levels are -7..7, because the readout's codebook is negated, -7..8 (see place.py)."""

_STEEPNESS: Final = 2.0  # of the sigmoid that maps codes to 0..1
# States are at most 1 and head weights small: unscaled logits would start flat
_LOGIT_SCALE: Final = 4.0
_HIDDEN_SCALE: Final = 0.09  # initial size of one weight level
_HEAD_SCALE: Final = 0.1


def own_words(counts: NDArray[np.int64], least: int) -> torch.Tensor:
    """Return int64 [vocabulary]: 1, 2, ... for the words that occur at least `least` times, 0 for all others."""
    own = torch.from_numpy(counts >= least)
    return torch.where(own, torch.cumsum(own, 0), 0)


class Words(nn.Module):
    """Look up word vectors: shared rows of the table, and a learned correction for each frequent word.

    Pruned vector tables give one row to many words: in spaCy's, `what`, `when`, `where` and `how`
    share one. A word that is frequent enough in the training questions learns its own difference from
    the shared row. Dropout leaves corrections out at random, so that the shared rows stay useful.

    Parameters
    ----------
    table
        Rows and vectors of the vocabulary.
    own
        int64 [vocabulary]: index of a word's own correction, 0 for none.
    width
        Number of components of a correction.
    spread
        Standard deviation of the initial corrections.
    """

    rows: torch.Tensor
    matrix: torch.Tensor
    own: torch.Tensor

    def __init__(self, table: WordTable, own: torch.Tensor, width: int, spread: float) -> None:
        super().__init__()
        matrix = torch.from_numpy(table.matrix)
        self.register_buffer("rows", torch.from_numpy(table.rows).long())
        self.register_buffer("matrix", matrix / matrix.std().clamp(min=1e-6))
        self.register_buffer("own", own)
        self.correction = nn.Parameter(spread * torch.randn(int(own.max()) + 1, width))

    def forward(self, ids: torch.Tensor, dropout: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors and the corrections of words, [words, components] each."""
        own = self.own[ids]
        if self.training:
            own = own * (torch.rand(own.shape) >= dropout)
        return self.matrix[self.rows[ids]], self.correction[own] * (own > 0)[..., None]


class ElmanNet(nn.Module):
    """The student network; the module's docstring describes it.

    Parameters
    ----------
    table, own
        See `Words`.
    classes
        Number of outputs of the head.
    settings
        Sizes and dropouts.
    """

    def __init__(
        self, table: WordTable, own: torch.Tensor, classes: int, settings: TrainingSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        n_in, n_hidden = settings.n_in, settings.n_hidden
        self.words = Words(table, own, n_in, 0.3)
        self.encoder = nn.Linear(table.matrix.shape[1], n_in)
        inputs = torch.randn(n_hidden, n_in) / math.sqrt(n_in)
        # A recurrence near the identity keeps the words read first in memory.
        memory = 0.5 * torch.eye(n_hidden) + 0.5 / math.sqrt(n_hidden) * torch.randn(
            n_hidden, n_hidden
        )
        self.weights = nn.Parameter(torch.cat([inputs, memory], dim=1))
        self.bias = nn.Parameter(
            -0.5 * inputs.sum(dim=1)
        )  # centres the input, as codes start around one half
        self.log_scale = nn.Parameter(torch.full((n_hidden, 1), math.log(_HIDDEN_SCALE)))
        self.head = nn.Parameter(torch.randn(classes, n_hidden) / math.sqrt(n_hidden))
        self.head_bias = nn.Parameter(torch.zeros(classes))
        self.log_head_scale = nn.Parameter(torch.full((classes, 1), math.log(_HEAD_SCALE)))
        with torch.no_grad():
            self.encoder.weight *= 0.5  # keeps the initial codes away from the ends of the sigmoid

    def codes(self, ids: torch.Tensor) -> torch.Tensor:
        """Encode word ids [n] as activities [n, n_in], in units of full activity (0..1, 16 levels)."""
        vectors, corrections = self.words(ids, self.settings.own_dropout)
        vectors = functional.dropout(vectors, self.settings.vector_dropout, self.training)
        return round_activities(torch.sigmoid(_STEEPNESS * (self.encoder(vectors) + corrections)))

    def grid(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return levels and scales of the hidden layer, then levels and scales of the head."""
        scale, head_scale = self.log_scale.exp(), self.log_head_scale.exp()
        return (
            round_weights(self.weights, scale, LEVEL_MIN, LEVEL_MAX),
            scale,
            round_weights(self.head, head_scale, -HEAD_MAX, HEAD_MAX),
            head_scale,
        )

    def forward(self, ids: torch.Tensor, alive: torch.Tensor, way: Way) -> torch.Tensor:
        """Read packed questions; return the logits, [questions, classes].

        Parameters
        ----------
        ids, alive
            [steps, questions], see `corpus.pack`.
        way
            How activities are computed, see the module's docstring.
        """
        # Encode each distinct word of the batch only once.
        words, place = torch.unique(ids, return_inverse=True)
        codes = self.codes(words)[place]
        q, scale, head_q, head_scale = self.grid()
        weights = (q * scale).t()
        n_in = self.settings.n_in
        drive = codes @ weights[:n_in] + self.bias
        spikes = None
        if way == "spiking":
            neurons = neuron_parameters(scale.squeeze(1), self.bias)
            spikes = HiddenSpikes(neurons, q, torch.round(codes.detach() * T), alive)
        state = torch.zeros(ids.shape[1], self.settings.n_hidden)
        for t in range(len(ids)):
            rate = torch.clamp(drive[t] + state @ weights[n_in:], 0, 1)
            if way == "integer":
                rate = round_activities(rate)
            elif spikes is not None:
                # Straight-through: the value is the spike count, the gradient is that of the rate model.
                rate = spikes.step(t) / T + (rate - rate.detach())
            # Questions are aligned at the last step: before its first word, a question's state stays 0.
            state = rate * alive[t][:, None]
        return state @ (head_q * head_scale).t() + self.head_bias

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross entropy against target probabilities [questions, classes]."""
        return -(targets * functional.log_softmax(_LOGIT_SCALE * logits, dim=1)).sum(1).mean()

    @torch.no_grad()
    def bound(self) -> None:
        """Clip every bias to the range that the leak of its neuron can express."""
        most = LEAK_BOUND / torch.round(GAIN_MAX / self.log_scale.exp()).squeeze(1)
        self.bias.copy_(torch.maximum(torch.minimum(self.bias, most), -most))

    @torch.no_grad()
    def snap(self) -> GridNetwork:
        """Round the parameters to values that the core can hold, in place, and return the network in its numbers.

        Weights become exactly scale * level, scales gain / threshold, biases leak / threshold.
        """
        training = self.training
        self.eval()  # no dropout in the codes
        q, scale, head_q, head_scale = self.grid()
        neurons = neuron_parameters(scale.squeeze(1), self.bias)
        scale = (GAIN_MAX / neurons.threshold)[:, None]
        self.log_scale.copy_(scale.log())
        self.weights.copy_(q * scale)
        self.bias.copy_(neurons.leak / neurons.threshold)
        self.head.copy_(head_q * head_scale)
        # every word of the vocabulary once: codes do not depend on context, so the encoder is a table
        codes = torch.round(self.codes(torch.arange(len(self.words.rows))) * T)
        distinct, rows = torch.unique(codes, dim=0, return_inverse=True)
        self.train(training)
        threshold = neurons.threshold.double().numpy()
        return GridNetwork(
            rows=rows.int().numpy(),
            codes=distinct.byte().numpy(),
            weights=q.char().numpy(),
            scale=GAIN_MAX / threshold,
            bias=neurons.leak.double().numpy() / threshold,
            head=head_q.char().numpy(),
            head_scale=head_scale.squeeze(1).double().numpy(),
            head_bias=self.head_bias.double().numpy(),
        )
