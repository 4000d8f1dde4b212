"""Follow one question on the chip, word by word: every spike, and the answer after each word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .chip.reference import ReferenceChip
from .chip.simulator import Simulator, pack_lines
from .errors import InputError, ModelError
from .limits import MAX_WORDS
from .records import counted
from .schedule import input_raster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .coding import Coding
    from .encoder import Encoder
    from .image import CoreImage


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Course:
    """Everything that the chip does with one question of n words, in n steps and the drain steps after them.

    Attributes
    ----------
    order : int64 (n,)
        Position in the text of the word read in each step.
    codes : uint8 (n, word lines)
        Activities of the word lines in each step; on the backward lines, those of the word read from the other end.
    lines : bool (ticks, input lines)
        Spikes on the input lines.
    fired : bool (ticks, cores, 256)
        Spikes of the neurons.
    spikes : int64 (steps, 3)
        Input, hidden and output spikes in each step (see `Outcome.spikes`).
    synaptic_events : int64 (steps,)
        Synaptic events in each step.
    evidence : int32 (n, classes)
        Scores that the question would have if it ended with the word of each step; the last row has its own scores.

    """

    order: NDArray[np.int64]
    codes: NDArray[np.uint8]
    lines: NDArray[np.bool_]
    fired: NDArray[np.bool_]
    spikes: NDArray[np.int64]
    synaptic_events: NDArray[np.int64]
    evidence: NDArray[np.int32]

    def __repr__(self) -> str:
        return (
            f"<Course: {counted(len(self.order), 'word')}, {counted(len(self.spikes), 'step')},"
            f" {counted(len(self.lines), 'tick')}>"
        )


def follow(image: CoreImage, encoder: Encoder, ids: Sequence[int]) -> Course:
    """Run one question with the NumPy reference (slow), and score every beginning of it.

    Parameters
    ----------
    image, encoder
        The core image and the encoder of a classifier.
    ids
        Word ids in the order of the text, 1 to MAX_WORDS of them; those that the network skips are left out.

    Raises
    ------
    ModelError
        The image has no coding.
    InputError
        The question has no words, too many, or one that the encoder does not know.

    """
    coding = image.coding
    if coding is None:
        raise ModelError("core image: has no coding, so it is not a classifier")
    words = _known_words(encoder, ids)
    codes = encoder.codes[encoder.rows[words]]
    simulator = Simulator(image)
    lines = input_raster(coding, codes, np.array([len(words)]), simulator.lines)
    fired, spikes, events = _run(image, coding, lines)
    order = np.arange(len(words))
    return Course(
        order=order if coding.direction == "forward" else order[::-1],
        codes=_as_read(coding, codes),
        lines=lines,
        fired=fired,
        spikes=spikes,
        synaptic_events=events,
        evidence=np.concatenate(
            [_scores(image, coding, simulator, codes, k + 1) for k in range(len(words))]
        ),
    )


def _known_words(encoder: Encoder, ids: Sequence[int]) -> NDArray[np.int64]:
    """Return the word ids as an array; raise if there are none, too many, or some that the encoder does not know."""
    words, _ = encoder.without_skipped(np.array(ids, dtype=np.int64), np.array([0, len(ids)]))
    if not 1 <= len(words) <= MAX_WORDS:
        raise InputError(f"question: {len(words):,} words, limits 1..{MAX_WORDS:,}")
    unknown = words[(words < 0) | (words >= len(encoder.rows))]
    if len(unknown):
        raise InputError(
            f"question: word id {unknown[0]}, but the encoder knows 0..{len(encoder.rows) - 1}"
        )
    return words


def _run(
    image: CoreImage, coding: Coding, lines: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Run the chip tick by tick; return `fired`, `spikes` and `synaptic_events` of a `Course`."""
    T = coding.ticks_per_step
    chip = ReferenceChip(image)
    fired = np.zeros((len(lines), *chip.fired.shape), dtype=np.bool_)
    spikes = np.zeros((len(lines) // T, 3), dtype=np.int64)
    synaptic_events = np.zeros(len(lines) // T, dtype=np.int64)
    for t, line in enumerate(lines.astype(np.uint8)):
        sent, events, _ = chip.tick(line)
        fired[t] = chip.fired
        spikes[t // T] += sent
        synaptic_events[t // T] += events
    return fired, spikes, synaptic_events


def _as_read(coding: Coding, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codes in the order of the steps in which they are read."""
    # The first word lines read in the coding's direction, the backward lines in the other one.
    split = coding.word_lines - coding.backward_lines
    ways = (codes, codes[::-1]) if coding.direction == "forward" else (codes[::-1], codes)
    return np.concatenate([ways[0][:, :split], ways[1][:, split:]], axis=1)


def _scores(
    image: CoreImage, coding: Coding, simulator: Simulator, codes: NDArray[np.uint8], words: int
) -> NDArray[np.int32]:
    """Return the scores of the first `words` words that each direction reads, int32 (1, classes)."""
    split = coding.word_lines - coding.backward_lines
    # After k steps one direction has read the first k words of the text, the other one the last k.
    ways = (codes[:words], codes[-words:])
    if coding.direction == "reverse":
        ways = ways[::-1]
    read = np.concatenate([ways[0][:, :split], ways[1][:, split:]], axis=1)
    n = np.array([words])
    raster = input_raster(coding, read, n, simulator.lines)
    T, steps = coding.ticks_per_step, int(coding.steps_read(n)[0])
    outcome = simulator.run(
        pack_lines(raster), [0, len(raster)], counted=[steps * T], record=coding.readout == "max"
    )
    counts = outcome.counts
    if outcome.raster is not None:
        in_steps = outcome.raster.reshape(-1, T, image.output_lines).sum(axis=1, dtype=np.int32)
        counts = in_steps[-steps:].max(axis=0, keepdims=True)  # the steps read are the last ones
    if image.head is None:
        return counts
    return image.head.scores(coding, counts, n.astype(np.int32))
