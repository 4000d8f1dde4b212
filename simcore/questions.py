"""Run questions, given as word ids, on the simulated core."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from .errors import ModelError
from .run import Outcome, Simulator, pack_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .encoder import Encoder
    from .image import Coding, CoreImage

MAX_WORDS: Final = 1024
"""Longest question in words."""

NO_WORDS: Final = -1
"""`Answers.label` of a text that holds no word; nothing was simulated."""

TOO_LONG: Final = -2
"""`Answers.label` of a text of more than MAX_WORDS words; nothing was simulated."""

_STEPS_AT_ONCE: Final = 65_536
"""Steps whose input raster is held in memory at once: 8 MiB at 15 ticks and 64 lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What the core answered to a batch of n texts, one row for each text, in order.

    Attributes
    ----------
    label : int32 (n,)
        Index into the classifier's labels; NO_WORDS or TOO_LONG where nothing was simulated.
    scores : int32 (n, classes)
        Output spikes of each class in the drain steps; the label is the first of the largest.
    spikes : int64 (n, 3)
        Input, hidden and output spikes (see `Outcome.spikes`).
    synaptic_events : int64 (n,)
        Synaptic events on the chip.
    ticks : int64 (n,)
        Chip ticks.
    words : int32 (n,)
        Words read.

    """

    label: NDArray[np.int32]
    scores: NDArray[np.int32]
    spikes: NDArray[np.int64]
    synaptic_events: NDArray[np.int64]
    ticks: NDArray[np.int64]
    words: NDArray[np.int32]


class QuestionCore:
    """A core image with its encoder, made ready to answer questions.  Safe from several threads.

    Parameters
    ----------
    image
        A core image with a coding; output line = class.
    encoder
        The code of each word id.
    kernel_name
        See `Simulator`.

    Raises
    ------
    ModelError
        The encoder does not fit the image.

    """

    def __init__(self, image: CoreImage, encoder: Encoder, kernel_name: str | None = None) -> None:
        if image.coding is None:
            raise ModelError("core image: it states no coding, so it is no classifier")
        if image.coding.word_lines != encoder.codes.shape[1]:
            raise ModelError(
                f"encoder: codes of {encoder.codes.shape[1]} lines,"
                f" but the core image reads {image.coding.word_lines}"
            )
        if encoder.codes.size and int(encoder.codes.max()) > image.coding.ticks_per_step:
            raise ModelError(
                f"encoder: activity {encoder.codes.max()}, limit {image.coding.ticks_per_step}"
            )
        self.image = image
        self.encoder = encoder
        self._coding = image.coding
        self._simulator = Simulator(image, kernel_name)
        self._word_raster = _word_raster(encoder.codes, image.coding, self._simulator.lines)
        self._drain_raster = _drain_raster(image.coding, self._simulator.lines)

    def answer(
        self, questions: Sequence[Sequence[int] | NDArray[np.int64]], *, threads: int = 1
    ) -> Answers:
        """Answer questions; the result does not depend on batch size or threads.

        Parameters
        ----------
        questions
            Word ids of each question, in the order of the text.
        threads
            Threads for the simulation, which runs without the GIL.

        """
        words = np.fromiter(map(len, questions), dtype=np.int32, count=len(questions))
        runnable = np.flatnonzero((words > 0) & (words <= MAX_WORDS))
        answers = _empty_answers(words, self.image.output_lines)
        steps = words[runnable].astype(np.int64) + self._coding.drain_steps
        for piece in _pieces(steps):
            chosen = runnable[piece]
            flat = chain.from_iterable([questions[i] for i in chosen])
            ids = np.fromiter(flat, dtype=np.int64, count=int(words[chosen].sum()))
            outcome = self._simulate(ids, words[chosen].astype(np.int64), threads)
            answers.scores[chosen] = outcome.counts
            answers.label[chosen] = outcome.counts.argmax(axis=1)
            answers.spikes[chosen] = outcome.spikes
            answers.synaptic_events[chosen] = outcome.synaptic_events
            answers.ticks[chosen] = steps[piece] * self._coding.ticks_per_step
        return answers

    def raster(
        self, ids: NDArray[np.int64], words: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Make the input raster of a batch of questions.

        Parameters
        ----------
        ids
            int64: word ids of all questions, one after the other.
        words
            int64 (questions,): words of each question.

        Returns
        -------
        raster, starts
            As `Simulator.run` takes them.

        """
        coding = self._coding
        steps = words + coding.drain_steps
        first = np.cumsum(steps) - steps
        begin = np.cumsum(words) - words
        within = np.arange(len(ids)) - np.repeat(begin, words)
        place = np.repeat(first, words) + within
        if coding.direction == "reverse":
            place = np.repeat(first + words - 1, words) - within
        raster = np.empty((int(steps.sum()), *self._drain_raster.shape), dtype=np.uint64)
        raster[:] = self._drain_raster
        raster[place] = self._word_raster[self.encoder.rows[ids]]
        starts = np.concatenate([[0], np.cumsum(steps)]) * coding.ticks_per_step
        return raster.reshape(-1, raster.shape[2]), starts

    def _simulate(self, ids: NDArray[np.int64], words: NDArray[np.int64], threads: int) -> Outcome:
        raster, starts = self.raster(ids, words)
        drain = self._coding.drain_steps * self._coding.ticks_per_step
        return self._simulator.run(
            raster, starts, counted=np.full(len(words), drain), threads=threads
        )


def spike_pattern(ticks: int) -> NDArray[np.bool_]:
    """Spread an activity a over the ticks of a step: a spike at t where floor((t+1) a / T) > floor(t a / T).

    Returns
    -------
    bool (T + 1, T)
        Row a: the ticks at which a line of activity a spikes; it holds a spikes.

    """
    a, t = np.ogrid[: ticks + 1, :ticks]
    return (t + 1) * a // ticks > t * a // ticks


def _word_raster(codes: NDArray[np.uint8], coding: Coding, lines: int) -> NDArray[np.uint64]:
    """Spikes of every code: uint64 (rows, ticks, words)."""
    T = coding.ticks_per_step
    spikes = np.zeros((len(codes), T, lines), dtype=np.bool_)
    spikes[:, :, : coding.word_lines] = spike_pattern(T)[codes].transpose(0, 2, 1)
    return pack_lines(spikes.reshape(-1, lines)).reshape(len(codes), T, -1)


def _drain_raster(coding: Coding, lines: int) -> NDArray[np.uint64]:
    """Spikes of a drain step: the gate line at every tick, uint64 (ticks, words)."""
    spikes = np.zeros((coding.ticks_per_step, lines), dtype=np.bool_)
    if coding.gate_line >= 0:
        spikes[:, coding.gate_line] = True
    return pack_lines(spikes)


def _empty_answers(words: NDArray[np.int32], classes: int) -> Answers:
    n = len(words)
    return Answers(
        label=np.where(words > MAX_WORDS, TOO_LONG, NO_WORDS).astype(np.int32),
        scores=np.zeros((n, classes), dtype=np.int32),
        spikes=np.zeros((n, 3), dtype=np.int64),
        synaptic_events=np.zeros(n, dtype=np.int64),
        ticks=np.zeros(n, dtype=np.int64),
        words=words,
    )


def _pieces(steps: NDArray[np.int64]) -> list[slice]:
    """Cut a batch into slices of at most _STEPS_AT_ONCE steps (at least one question each)."""
    bins = (np.cumsum(steps) - 1) // _STEPS_AT_ONCE
    cuts = [0, *(np.flatnonzero(np.diff(bins)) + 1).tolist(), len(steps)]
    return [slice(a, b) for a, b in pairwise(cuts) if b > a]
