"""The float Elman network, as read from a model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from .constrained import steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ACTIVATIONS: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
"""Hidden activations that the converter knows, by their ONNX names."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ElmanNetwork:
    """h_t = f(clip(W x_t + U h_{t-1} + b)),  logits = C r + c   (Elman 1990; ONNX operator RNN).

    Attributes
    ----------
    embedding : float64 (rows, d)
        Distinct word vectors x.
    rows : int32 (words,)
        Row of `embedding` of each word id.
    W : float64 (n_hidden, d)
    U : float64 (n_hidden, n_hidden)
    b : float64 (n_hidden,)
        Sum of the input and recurrent bias.
    activation : {"Relu", "Tanh", "Sigmoid"}
        f.
    clip : float
        Bound of |W x + U h + b| before f (ONNX attribute `clip`); inf: none.
    direction : {"forward", "reverse"}
        Order in which the words are read.
    C : float64 (classes, n_hidden)
    c : float64 (classes,)
    readout : {"last", "mean"}
        What the head reads, r: the state after the last word, or the mean of the states after every word.

    """

    embedding: NDArray[np.float64]
    rows: NDArray[np.int32]
    W: NDArray[np.float64]
    U: NDArray[np.float64]
    b: NDArray[np.float64]
    activation: str
    clip: float
    direction: Literal["forward", "reverse"]
    C: NDArray[np.float64]
    c: NDArray[np.float64]
    readout: Literal["last", "mean"] = "last"

    @property
    def n_hidden(self) -> int:
        """Hidden units."""
        return len(self.b)

    @property
    def classes(self) -> int:
        """Outputs of the head."""
        return len(self.c)

    def activate(self, pre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply clip and f."""
        return ACTIVATIONS[self.activation](np.clip(pre, -self.clip, self.clip))

    def trace(
        self, questions: list[NDArray[np.int64]]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]]:
        """Run questions; list for every step: words read, questions alive, pre-activations, hidden states."""
        h = np.zeros((len(questions), self.n_hidden))
        table = self.embedding @ self.W.T
        states = []
        for ids, alive in steps(questions, self.direction):
            pre = table[self.rows[ids]] + h[alive] @ self.U.T + self.b
            h[alive] = self.activate(pre)
            states.append((ids, alive, pre, h[alive]))
        return states

    def logits(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions of at least one word each; return float64 (n, classes)."""
        return self.every_logits(questions)[
            np.arange(len(questions)), [len(q) - 1 for q in questions]
        ]

    def every_logits(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions; return the logits after every word in the direction of reading, float64 (n, steps, classes).

        Steps after a question's last word repeat the last answer.
        """
        steps = max(len(q) for q in questions)
        read = np.zeros((steps, len(questions), self.n_hidden))
        total = np.zeros((len(questions), self.n_hidden))
        for t, (_, alive, _, h) in enumerate(self.trace(questions)):
            if t:
                read[t] = read[t - 1]
            if self.readout == "mean":
                total[alive] += h
                read[t, alive] = total[alive] / (t + 1)
            else:
                read[t, alive] = h
        return (read @ self.C.T + self.c).transpose(1, 0, 2)
