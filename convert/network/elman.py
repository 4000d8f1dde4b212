"""The float Elman network as read from a model file, and how questions are laid out in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from .spread import Spread

ACTIVATIONS: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),  # 1 / (1 + exp(-x)) overflows for large -x
    "HardSigmoid": lambda x: np.clip(x, 0, 1),  # x is alpha x + beta already, see `activate`
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Affine": lambda x: x,
}
"""Hidden activations that the converter knows, by their ONNX names."""

Head = Literal["core", "host"]

HEADS: Final[tuple[Head, ...]] = ("core", "host")
"""Where the head of a placed network is computed: by neurons of the core, or by the host."""


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
    activation : {"Relu", "Tanh", "Sigmoid", "HardSigmoid", "Softsign", "Affine"}
        f.
    clip : float
        Bound of |W x + U h + b| before f (ONNX attribute `clip`); inf: none.
    direction : {"forward", "reverse"}
        Order in which the words are read.
    C : float64 (classes, n_hidden), or (classes, n_hidden + backward.n_hidden) for a bidirectional network
    c : float64 (classes,)
    readout : {"last", "mean", "sum", "max"}
        r, what the head reads: each unit's state after the last word, or the mean, the sum or the largest of its states
        after all words.
    ceiling : float
        Largest state of a Relu (6 for ReLU6); inf: none.  Bounding the state of a Relu is the same as bounding its
        pre-activation, so the reader sets `clip` and `ceiling` of a bounded Relu to the same value.
    alpha, beta : float
        Affine is alpha x + beta, and HardSigmoid bounds that to 0..1; no other activation uses them.
    head : {"core", "host"}
        Where the head is computed once the network is placed.
    backward : ElmanNetwork or None
        The second direction of a bidirectional network: a layer with its own W, U and b that reads the same words in
        reverse.  r is then this layer's states followed by the second one's, and C spans both; the second layer's own
        C is its part of that, its c is zero.
    spread : Spread or None
        Cores that a student's hidden units are spread over once it is placed; None: as few cores as it takes.

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
    readout: Literal["last", "mean", "sum", "max"] = "last"
    ceiling: float = float("inf")
    alpha: float = 0.2
    beta: float = 0.5
    head: Head = "core"
    backward: ElmanNetwork | None = None
    spread: Spread | None = None

    @property
    def n_hidden(self) -> int:
        """Number of hidden units of this direction."""
        return len(self.b)

    @property
    def classes(self) -> int:
        """Number of outputs of the head."""
        return len(self.c)

    @property
    def placed_readout(self) -> Literal["last", "mean", "max"]:
        """Readout of the placed network: the mean in place of the largest on a core, because neurons only add up."""
        if self.readout == "sum" or (self.readout == "max" and self.head == "core"):
            return "mean"
        return self.readout

    def with_mean(self, questions: list[NDArray[np.int64]]) -> ElmanNetwork:
        """Return the network with the mean as its readout in place of a sum; any other network as it is.

        Divided by the number of words, the logits of a sum are those of a mean, with the same class the largest.  Only
        the head's bias depends on the number of words then, so it becomes its mean over some questions.
        """
        if self.readout != "sum":
            return self
        share = float(np.mean([1 / len(q) for q in questions]))
        backward = None if self.backward is None else self.backward.with_mean(questions)
        return replace(self, readout="mean", c=self.c * share, backward=backward)

    def activate(self, pre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply clip, f and the ceiling to pre-activations of any shape."""
        return activate(
            pre,
            self.activation,
            clip=self.clip,
            ceiling=self.ceiling,
            alpha=self.alpha,
            beta=self.beta,
        )

    def trace(
        self, questions: list[NDArray[np.int64]]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]]:
        """Run questions; return what happens in each step.

        Of a bidirectional network, these are the steps of the first direction; for the second, call `backward.trace`.

        Returns
        -------
        list
            For each step: ids of the words read, int64 (m,); questions that still have a word, intp (m,);
            pre-activations and hidden states, float64 (m, n_hidden).

        """
        h = np.zeros((len(questions), self.n_hidden))
        # W x once for each distinct vector, not once for each word
        table = self.embedding @ self.W.T
        states = []
        for ids, alive in time_steps(questions, self.direction):
            pre = table[self.rows[ids]] + h[alive] @ self.U.T + self.b
            h[alive] = self.activate(pre)
            states.append((ids, alive, pre, h[alive]))
        return states

    def head_inputs(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions; return the values that the head reads, r, float64 (n, values)."""
        r = self.head_inputs_after_each_word(questions)[
            [len(q) - 1 for q in questions], np.arange(len(questions))
        ]
        if self.backward is None:
            return r
        return np.concatenate([r, self.backward.head_inputs(questions)], axis=1)

    def head_inputs_after_each_word(
        self, questions: list[NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        """Return the values that the head would read if each word were the last, float64 (steps, n, n_hidden).

        They are those of this direction alone.
        """
        read = np.zeros((max(len(q) for q in questions), len(questions), self.n_hidden))
        total = np.zeros((len(questions), self.n_hidden))
        for t, (_, alive, _, h) in enumerate(self.trace(questions)):
            if t:
                read[t] = read[t - 1]  # questions that have ended keep their values
            if self.readout in {"mean", "sum"}:
                total[alive] += h
                read[t, alive] = total[alive] / (t + 1 if self.readout == "mean" else 1)
            elif self.readout == "max" and t:
                read[t, alive] = np.maximum(read[t, alive], h)
            else:
                read[t, alive] = h
        return read

    def logits(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions of at least one word each; return the logits, float64 (n, classes)."""
        return self.head_inputs(questions) @ self.C.T + self.c

    def logits_after_each_word(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions; return the logits after every word in the direction of reading, float64 (n, steps, classes).

        After a question's last word, the last logits repeat.  A bidirectional network has read step + 1 words from
        each end.
        """
        read = self.head_inputs_after_each_word(questions)
        if self.backward is not None:
            read = np.concatenate(
                [read, self.backward.head_inputs_after_each_word(questions)], axis=2
            )
        return (read @ self.C.T + self.c).transpose(1, 0, 2)


def activate(
    pre: NDArray[np.float64],
    activation: str,
    *,
    clip: float,
    ceiling: float,
    alpha: float,
    beta: float,
) -> NDArray[np.float64]:
    """Apply clip, f and the ceiling to pre-activations of any shape (see `ElmanNetwork`)."""
    bounded = np.clip(pre, -clip, clip)
    if activation in {"HardSigmoid", "Affine"}:
        bounded = alpha * bounded + beta
    return np.minimum(ACTIVATIONS[activation](bounded), ceiling)


def repeat_units(network: ElmanNetwork, copies: int) -> ElmanNetwork:
    """Return an equivalent network with several equal units for each hidden unit, which share its outgoing weights."""
    return replace(
        network,
        W=np.tile(network.W, (copies, 1)),
        U=np.tile(network.U / copies, (copies, copies)),  # each copy contributes its share
        b=np.tile(network.b, copies),
        C=np.tile(network.C / copies, (1, copies)),
    )


def flip_saturating_units(
    network: ElmanNetwork, questions: list[NDArray[np.int64]]
) -> ElmanNetwork:
    """Return an equivalent network whose tanh or softsign units saturate at -1 rather than at 1.

    A unit whose pre-activations exceed 1 more than they fall below -1 changes its sign, in W, U, b and C.  Saturating
    low suits spikes better: a silent neuron forgets inhibition at its floor, but drive beyond one spike a tick
    accumulates in a neuron that already fires at every tick, and keeps it firing afterwards.  No unit is flipped if
    the head reads the largest states, because the largest state would become the smallest.
    """
    if network.activation not in {"Tanh", "Softsign"} or network.readout == "max":
        return network
    pre = np.concatenate([p for _, _, p, _ in network.trace(questions)])
    above, below = (np.maximum(side - 1, 0).mean(axis=0) for side in (pre, -pre))
    sign = np.where(above > below, -1.0, 1.0)
    return replace(
        network,
        W=network.W * sign[:, None],
        U=network.U * np.outer(sign, sign),
        b=network.b * sign,
        C=network.C * sign,
    )


def reduce_over_time(
    states: Iterable[tuple[NDArray[np.intp], NDArray[np.float64]]],
    words: NDArray[np.int64],
    n_hidden: int,
    readout: str,
) -> NDArray[np.float64]:
    """Reduce activities after each word to the values that are read out, float64 (n, n_hidden).

    Activities are never below 0, so the largest can start from 0.

    Parameters
    ----------
    states
        For every step: the questions that have a word in it, and their activities (m, n_hidden).
    words
        Words of each question, at least one.
    n_hidden, readout
        See `ConstrainedNetwork`.

    """
    read = np.zeros((len(words), n_hidden))
    for alive, after in states:
        if readout == "max":
            read[alive] = np.maximum(read[alive], after)
        else:
            read[alive] = after if readout == "last" else read[alive] + after
    return read / words[:, None] if readout == "mean" else read


def time_steps(
    questions: list[NDArray[np.int64]], direction: str
) -> list[tuple[NDArray[np.int64], NDArray[np.intp]]]:
    """Lay questions of different lengths out in steps, one word of each question in a step.

    Returns
    -------
    list
        For each step in the direction of reading: the ids of the words read, int64 (m,), and the questions that still
        have a word, intp (m,).

    """
    order = [q if direction == "forward" else q[::-1] for q in questions]
    lengths = np.array([len(q) for q in order])
    table = np.zeros((len(order), max(lengths, default=0)), dtype=np.int64)
    for i, q in enumerate(order):
        table[i, : len(q)] = q
    layout = []
    for t in range(table.shape[1]):
        alive = np.flatnonzero(lengths > t)
        layout.append((table[alive, t], alive))
    return layout
