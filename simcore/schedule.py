"""Compute the ticks at which input lines spike: for the codes of a question's words, and for the gate line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .coding import Coding


def spike_pattern(ticks: int) -> NDArray[np.bool_]:
    """Spread an activity a over the ticks of a step: a spike at t where floor((t+1) a / T) > floor(t a / T).

    Returns
    -------
    bool (T + 1, T)
        Row a: the ticks at which a line of activity a spikes, a of them.

    """
    # Integer division, as in Bresenham's line: every machine gets the same ticks, and the gaps differ by at most one.
    a, t = np.ogrid[: ticks + 1, :ticks]
    return (t + 1) * a // ticks > t * a // ticks


def input_raster(
    coding: Coding, codes: NDArray[np.uint8], words: NDArray[np.int64], lines: int
) -> NDArray[np.bool_]:
    """Compute the input spikes of questions, tick by tick.

    Parameters
    ----------
    coding
        How words become spikes.
    codes : uint8 (words of all questions, word lines)
        The code of each word, in the order of the text.
    words : int64 (n,)
        Words of each question, at least one.
    lines
        Number of input lines, at least `coding.lines`.

    Returns
    -------
    bool (ticks of all questions, lines)

    """
    T = coding.ticks_per_step
    steps = words + coding.drain_steps
    first = np.cumsum(steps) - steps
    # For each word: its position in its question, and the step in which each direction reads it.
    within = np.arange(len(codes)) - np.repeat(np.cumsum(words) - words, words)
    forward = np.repeat(first, words) + within
    reverse = np.repeat(first + words - 1, words) - within
    place, other = (forward, reverse) if coding.direction == "forward" else (reverse, forward)
    gate = np.zeros((T, lines), dtype=np.bool_)
    if coding.gate_line >= 0:
        gate[:, coding.gate_line] = True
    raster = np.zeros((int(steps.sum()), T, lines), dtype=np.bool_)
    spikes = spike_pattern(T)[codes].transpose(0, 2, 1)
    split = coding.word_lines - coding.backward_lines
    raster[place, :, :split] = spikes[:, :, :split]
    raster[other, :, split : coding.word_lines] = spikes[:, :, split:]
    # The gate spikes in the steps that are read, always the last ones of a question.
    step = np.arange(len(raster)) - np.repeat(first, steps)
    raster[step >= np.repeat(steps - coding.steps_read(words), steps)] |= gate
    return raster.reshape(-1, lines)
