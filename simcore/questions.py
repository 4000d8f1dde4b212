"""Run questions, given as word ids, on the simulated core."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from .errors import ModelError
from .run import Outcome, Simulator, in_threads, pack_lines, shares

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
        if len(words) and words.min() > 0 and words.max() <= MAX_WORDS:
            outcome = self._run(questions, words, threads)
            ticks = (
                words.astype(np.int64) + self._coding.drain_steps
            ) * self._coding.ticks_per_step
            return Answers(
                label=outcome.counts.argmax(axis=1).astype(np.int32),
                scores=outcome.counts,
                spikes=outcome.spikes,
                synaptic_events=outcome.synaptic_events,
                ticks=ticks,
                words=words,
            )
        answers = _empty_answers(words, self.image.output_lines)
        runnable = np.flatnonzero((words > 0) & (words <= MAX_WORDS))
        if len(runnable):
            some = self.answer([questions[i] for i in runnable.tolist()], threads=threads)
            for name in ("label", "scores", "spikes", "synaptic_events", "ticks"):
                getattr(answers, name)[runnable] = getattr(some, name)
        return answers

    def _run(
        self,
        questions: Sequence[Sequence[int] | NDArray[np.int64]],
        words: NDArray[np.int32],
        threads: int,
    ) -> Outcome:
        """Run questions of at least one word each."""
        starts = np.zeros(len(words) + 1, dtype=np.int64)
        np.cumsum(words, out=starts[1:])
        flat = chain.from_iterable(questions)
        ids = np.fromiter(flat, dtype=np.int64, count=int(starts[-1]))
        rows = self.encoder.rows[ids]
        outcome = Outcome.zeros(len(words), self.image.output_lines)
        if self._simulator.program is None or self._coding.readout == "mean":
            for first, last in _pieces(words.astype(np.int64) + self._coding.drain_steps):
                piece = slice(first, last)
                got = self._simulate(rows[starts[first] : starts[last]], words[piece], threads)
                for to, values in zip(outcome.arrays, got.arrays, strict=True):
                    to[piece] = values
            return outcome
        in_threads(
            lambda share: self._answer_share(rows, starts, outcome, share),
            shares(len(words), threads),
        )
        return outcome

    def _answer_share(
        self,
        rows: NDArray[np.int32],
        starts: NDArray[np.int64],
        outcome: Outcome,
        share: tuple[int, int],
    ) -> None:
        """Answer questions first..last-1 on the program kernel, into their rows of the outcome."""
        first, last = share
        coding = self._coding
        self._simulator.program.answer(
            self._word_raster,
            self._drain_raster,
            coding.drain_steps,
            coding.direction == "reverse",
            rows,
            starts[first : last + 1],
            *(array[first:last] for array in outcome.arrays),
        )

    def _simulate(self, rows: NDArray[np.int32], words: NDArray[np.int32], threads: int) -> Outcome:
        """Run questions, given as code rows, on an image that has no program: write out their input raster."""
        coding = self._coding
        steps = words.astype(np.int64) + coding.drain_steps
        first = np.cumsum(steps) - steps
        within = np.arange(len(rows)) - np.repeat(np.cumsum(words) - words, words)
        place = np.repeat(first, words) + within
        if coding.direction == "reverse":
            place = np.repeat(first + words - 1, words) - within
        raster = np.empty((int(steps.sum()), *self._drain_raster.shape), dtype=np.uint64)
        raster[:] = self._drain_raster
        raster[place] = self._word_raster[rows]
        if coding.readout == "mean":
            later = np.ones(len(raster), dtype=np.bool_)
            later[first] = False
            raster[later] |= self._drain_raster
        return self._simulator.run(
            raster.reshape(-1, raster.shape[2]),
            np.concatenate([[0], np.cumsum(steps)]) * coding.ticks_per_step,
            counted=coding.steps_read(words) * coding.ticks_per_step,
            threads=threads,
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


def _pieces(steps: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut a batch into pieces (first, last) of at most _STEPS_AT_ONCE steps, at least one question each."""
    bins = (np.cumsum(steps) - 1) // _STEPS_AT_ONCE
    return list(pairwise([0, *(np.flatnonzero(np.diff(bins)) + 1).tolist(), len(steps)]))
