"""The head on the host: integer weights that turn the spikes on the output lines into scores of the classes.

The core of a classifier can hold its readout, and then every output line is a class.  Otherwise the spikes of the
hidden units leave on the output lines, and the host multiplies their counts by the weights of a head.  All of it is
integer arithmetic, so the answers are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import ImageError
from .limits import MAX_WORDS
from .records import ArrayRecord, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .coding import Coding

SCORE_MAX: Final = 2**31 - 1
"""Largest magnitude of a score: scores are int32."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class HostHead(ArrayRecord):
    """The head that the host computes: scores = weights @ counts + bias.

    Attributes
    ----------
    weights : int32 (classes, output lines)
        Weight of one spike on each output line.
    bias : int32 (classes,)
        Added once to a question; with the readout "mean", which adds up all steps, once for each word.

    """

    weights: NDArray[np.int32]
    bias: NDArray[np.int32]

    def __repr__(self) -> str:
        classes, lines = (
            counted(len(self.bias), "class"),
            counted(self.weights.shape[1], "output line"),
        )
        return f"<HostHead: {classes}, {lines}>"

    def check(self, coding: Coding | None, neurons: NDArray[np.int64]) -> None:
        """Check that the head fits its image, and that no question can give a score beyond 32 bits.

        Parameters
        ----------
        coding
            The coding of the image.
        neurons : int64 (output lines,)
            Neurons that drive each output line; each can spike at every tick.

        Raises
        ------
        ImageError
            The image has no coding or other output lines, or a score could leave 32 bits.

        """
        if coding is None:
            raise ImageError("head: the image has no coding, so it is not a classifier")
        if len(self.bias) == 0 or self.weights.shape[1] != len(neurons):
            raise ImageError(
                f"head: {len(self.bias)} classes of {self.weights.shape[1]} lines,"
                f" but the image has {len(neurons)} output lines"
            )
        # The bound of one step: every neuron of a line spikes at every tick.  In int32 this product could overflow.
        most = np.abs(self.weights.astype(np.float64)) @ neurons * coding.ticks_per_step
        steps = (
            MAX_WORDS + coding.drain_steps if coding.readout == "mean" else coding.drain_steps + 1
        )
        shift = np.abs(self.bias.astype(np.float64)) * float(_bias_factor(coding, MAX_WORDS))
        largest = float((most * steps + shift).max())
        if largest > SCORE_MAX:
            raise ImageError(f"head: a score could reach {largest:.0f}, limit {SCORE_MAX}")

    def scores(
        self, coding: Coding, counts: NDArray[np.int32], words: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Compute the scores of questions.

        Parameters
        ----------
        coding
            The coding of the image.
        counts : int32 (n, output lines)
            Spikes of each question in the steps that are read.
        words : int32 (n,)
            Words of each question.

        Returns
        -------
        int32 (n, classes)

        """
        bias = np.outer(_bias_factor(coding, words.astype(np.float64)), self.bias)
        # float64 (so BLAS) holds every sum exactly, in any order: |score| < 2**31, as `check` has proven.
        scores = counts.astype(np.float64) @ self.weights.T.astype(np.float64) + bias
        return scores.astype(np.int32)


def _bias_factor(coding: Coding, words: Any) -> Any:
    """Return how often the bias counts in questions of this many words (a number or an array)."""
    return words if coding.readout == "mean" else words * 0 + 1  # 1 in the shape of `words`
