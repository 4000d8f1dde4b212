"""The head on the host: integer rows that turn the spikes on the output lines into scores of the classes.

A classifier's core may hold its readout, so that every output line is a class; or its hidden units' spikes leave by
the output lines, and the host weighs them.  All of it is integer arithmetic, so the answers are the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .coding import MAX_WORDS
from .errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .image import Coding, CoreImage

SCORE_MAX: Final = 2**31 - 1
"""Largest size of a score: scores are int32."""

LARGEST_LINES: Final = 256
"""Most output lines whose largest counts of any step are read: counts of every tick are kept for it."""


def check_head(image: CoreImage) -> None:
    """Check that the head fits the image, and that no question can give a score beyond 32 bits.

    Raises
    ------
    ImageError
        Naming what does not fit.

    """
    coding, weights, bias = image.coding, image.head_weights, image.head_bias
    if coding is not None and coding.readout == "max" and image.output_lines > LARGEST_LINES:
        raise ImageError(
            f"coding: readout max of {image.output_lines} output lines, limit {LARGEST_LINES}"
        )
    if weights is None and bias is None:
        return
    if weights is None or bias is None:
        raise ImageError("head: one of head_weights and head_bias is missing")
    if coding is None:
        raise ImageError("head: the image states no coding, so it is no classifier")
    if len(bias) == 0 or weights.shape[1] != image.output_lines:
        raise ImageError(
            f"head: {len(bias)} classes of {weights.shape[1]} lines,"
            f" but the image has {image.output_lines} output lines"
        )
    neurons = np.bincount(image.outputs[:, 2], minlength=image.output_lines)
    most = np.abs(weights.astype(np.float64)) @ neurons * coding.ticks_per_step
    steps = MAX_WORDS + coding.drain_steps if coding.readout == "mean" else coding.drain_steps + 1
    shift = np.abs(bias.astype(np.float64)) * float(_bias_share(coding, MAX_WORDS))
    largest = float((most * steps + shift).max())
    if largest > SCORE_MAX:
        raise ImageError(f"head: a score could reach {largest:.0f}, limit {SCORE_MAX}")


def head_scores(
    image: CoreImage, counts: NDArray[np.int32], words: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Weigh the spikes on the output lines.

    Parameters
    ----------
    image
        An image with a head.
    counts : int32 (n, output lines)
        Spikes read of each question.
    words : int32 (n,)
        Words of each question: where the spikes of all steps are added up, the bias counts once for each word.

    Returns
    -------
    int32 (n, classes)

    """
    if image.coding is None or image.head_weights is None or image.head_bias is None:
        raise ImageError("head: the image has none")
    bias = np.outer(_bias_share(image.coding, words.astype(np.float64)), image.head_bias)
    # float64 holds every sum exactly, in any order: |score| < 2**31 (check_head)
    scores = counts.astype(np.float64) @ image.head_weights.T.astype(np.float64) + bias
    return scores.astype(np.int32)


def _bias_share(coding: Coding, words: Any) -> Any:
    """Give how often the bias counts for questions of so many words."""
    return words if coding.readout == "mean" else words * 0 + 1
