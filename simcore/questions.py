"""Run questions, given as word ids, on the simulated core."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from .chip._dispatch import kernel
from .chip.derive import derive
from .chip.simulator import Outcome, Simulator, in_threads, pack_lines, shares
from .coding import MAX_WORDS
from .errors import InputError, ModelError
from .head import head_scores
from .schedule import input_raster, spike_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .chip.derive import Program
    from .encoder import Encoder
    from .image import Coding, CoreImage

NO_WORDS: Final = -1
"""`Answers.label` of a text that holds no word; nothing was simulated."""

TOO_LONG: Final = -2
"""`Answers.label` of a text of more than MAX_WORDS words; nothing was simulated."""

_VOID: Final = -3
"""`Answers.label` of a question that the program kernel leaves to the chip kernel."""

_STEPS_AT_ONCE: Final = 16_384
"""Steps whose rasters the chip kernel holds in memory at once: 16 MiB at 15 ticks and 64 input lines, and as much
again for every 34 output lines with the readout "max"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What the core answered to a batch of n texts, one row for each text, in order.

    Attributes
    ----------
    label : int32 (n,)
        Index into the classifier's labels; NO_WORDS or TOO_LONG where nothing was simulated.
    scores : int32 (n, classes)
        Output spikes of each class in the steps that are read, or what the head on the host makes of these; the label
        is the first of the largest.
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

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All of them, in the order in which the kernel takes them."""
        return (
            self.label,
            self.scores,
            self.spikes,
            self.synaptic_events,
            self.ticks,
            self.words,
        )

    @classmethod
    def empty(cls, n: int, classes: int) -> Self:
        """Make the answers to n texts, to be filled in; scores are zero."""
        return cls(
            label=np.empty(n, dtype=np.int32),
            scores=np.zeros((n, classes), dtype=np.int32),
            spikes=np.empty((n, 3), dtype=np.int64),
            synaptic_events=np.empty(n, dtype=np.int64),
            ticks=np.empty(n, dtype=np.int64),
            words=np.empty(n, dtype=np.int32),
        )


class QuestionCore:
    """A core image with its encoder, made ready to answer questions.  Safe from several threads.

    Parameters
    ----------
    image
        A core image with a coding; without a head, output line = class.
    encoder
        The code of each word id.
    kernel_name
        See `Simulator`.
    use_program
        Run the smaller equal network of `program.derive` where there is one; the answers are the same.

    Raises
    ------
    ModelError
        The encoder does not fit the image.

    """

    def __init__(
        self,
        image: CoreImage,
        encoder: Encoder,
        kernel_name: str | None = None,
        *,
        use_program: bool = True,
    ) -> None:
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
        self._program: Any = None
        program = derive(image) if use_program and kernel_name != "reference" else None
        if program is not None and len(encoder.codes):
            self._program = kernel(kernel_name).ProgramRunner(
                **_runner_arguments(program, image.coding, encoder, image.output_lines)
            )

    @property
    def has_program(self) -> bool:
        """Whether the program kernel answers, rather than the chip kernel; the answers are the same."""
        return self._program is not None

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

        Raises
        ------
        InputError
            A word id that the encoder does not know.

        """
        starts = np.array([0, *accumulate(map(len, questions))], dtype=np.int64)
        ids = np.array([*chain.from_iterable(questions)], dtype=np.int64)
        return self.answer_flat(ids, starts, threads=threads)

    def answer_flat(
        self, ids: NDArray[np.int64], starts: NDArray[np.int64], *, threads: int = 1
    ) -> Answers:
        """Answer questions that lie in one array (see `answer`).

        Parameters
        ----------
        ids : int64 (words of all questions,)
        starts : int64 (n + 1,)
            Question q is ids[starts[q]:starts[q + 1]]; rising from 0 to len(ids).
        threads
            As in `answer`.

        Raises
        ------
        InputError
            A word id that the encoder does not know, or starts that do not fit.

        """
        if len(starts) == 0 or starts[0] != 0 or starts[-1] != len(ids):
            raise InputError(f"starts: must rise from 0 to the {len(ids)} words")
        n = len(starts) - 1
        answers = Answers.empty(n, self.image.output_lines)
        if self._program is None:
            self._answer_on_chip(ids, starts, answers, np.arange(n), threads)
            return self._weighed(answers)
        work, arrays = self._program.answer, answers.arrays
        if threads == 1 or n <= 1:
            found = work(ids, starts, 0, n, *arrays)
        else:
            parts = in_threads(lambda p: work(ids, starts, *p, *arrays), shares(n, threads))
            found = min(parts) or max(parts)
        if found < 0:
            self._refuse_unknown(ids[starts[-1 - found] : starts[-found]])
            raise InputError(f"starts: question {-1 - found} ends before it begins")
        if found:
            void = np.flatnonzero(answers.label == _VOID)
            self._answer_on_chip(ids, starts, answers, void, threads)
        return self._weighed(answers)

    def _weighed(self, answers: Answers) -> Answers:
        """Apply the head, where the image has one."""
        if self.image.head_weights is None:
            return answers
        run = answers.label >= 0
        scores = head_scores(self.image, answers.scores, answers.words)
        scores[~run] = 0
        label = np.where(run, scores.argmax(axis=1), answers.label).astype(np.int32)
        return replace(answers, label=label, scores=scores)

    def _refuse_unknown(self, ids: NDArray[np.int64]) -> None:
        """Refuse the first word id that the encoder does not know."""
        unknown = (ids < 0) | (ids >= len(self.encoder.rows))
        if unknown.any():
            raise InputError(
                f"word id {ids[np.argmax(unknown)]}: the encoder knows 0..{len(self.encoder.rows) - 1}"
            )

    def _answer_on_chip(
        self,
        ids: NDArray[np.int64],
        starts: NDArray[np.int64],
        answers: Answers,
        chosen: NDArray[np.intp],
        threads: int,
    ) -> None:
        """Answer the chosen questions with the chip kernel, into their rows of `answers`."""
        words = np.diff(starts)[chosen]
        answers.words[chosen] = words
        answers.label[chosen] = np.where(words > MAX_WORDS, TOO_LONG, NO_WORDS)
        for array in answers.arrays[1:5]:
            array[chosen] = 0
        chosen = chosen[(words > 0) & (words <= MAX_WORDS)]
        if not len(chosen):
            return
        steps = np.diff(starts)[chosen] + self._coding.drain_steps
        for first, last in _pieces(steps):
            piece = chosen[first:last]
            words = np.diff(starts)[piece]
            within = np.arange(words.sum()) - np.repeat(np.cumsum(words) - words, words)
            read = ids[np.repeat(starts[piece], words) + within]
            self._refuse_unknown(read)
            outcome = self._simulate(self.encoder.rows[read], words, threads)
            counts = outcome.counts
            if outcome.raster is not None:
                counts = self._largest(outcome.raster, words)
            answers.label[piece] = counts.argmax(axis=1)
            answers.scores[piece] = counts
            answers.spikes[piece] = outcome.spikes
            answers.synaptic_events[piece] = outcome.synaptic_events
            answers.ticks[piece] = steps[first:last] * self._coding.ticks_per_step

    def _simulate(self, rows: NDArray[np.int32], words: NDArray[np.int64], threads: int) -> Outcome:
        """Run questions, given as code rows, on the chip kernel: write out their input raster."""
        coding, simulator = self._coding, self._simulator
        steps = words + coding.drain_steps
        raster = input_raster(coding, self.encoder.codes[rows], words, simulator.lines)
        return simulator.run(
            pack_lines(raster),
            np.concatenate([[0], np.cumsum(steps)]) * coding.ticks_per_step,
            counted=coding.steps_read(words) * coding.ticks_per_step,
            record=coding.readout == "max",
            threads=threads,
        )

    def _largest(self, raster: NDArray[np.uint16], words: NDArray[np.int64]) -> NDArray[np.int32]:
        """Count the spikes on each output line in every step; return the largest counts of the steps read."""
        T, read = self._coding.ticks_per_step, self._coding.steps_read(words)
        steps = words + self._coding.drain_steps
        counts = raster.reshape(len(raster) // T, T, -1).sum(axis=1, dtype=np.int32)
        ends = np.cumsum(steps)
        windows = np.stack([ends - read, ends], axis=1).reshape(-1)
        # every other window is one that is read; the last one ends with the raster
        found = np.maximum.reduceat(counts, windows[:-1], axis=0)[::2]
        return np.asarray(found, dtype=np.int32)


def _runner_arguments(
    program: Program, coding: Coding, encoder: Encoder, output_lines: int
) -> dict[str, Any]:
    """List what the kernel's ProgramRunner takes: the program, and the signals of every code and of the gate."""
    T = coding.ticks_per_step
    lines = np.zeros(coding.lines, dtype=np.uint64)
    spikes = np.zeros(coding.lines, dtype=np.int64)
    fed = len(program.line_signals)
    lines[:fed], spikes[:fed] = program.line_signals, program.line_spikes
    split = coding.word_lines - coding.backward_lines

    def of_codes(first: int, last: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        signals = np.zeros((len(encoder.codes), T), dtype=np.uint64)
        for line in range(first, last):
            signals |= np.where(spike_pattern(T), lines[line], np.uint64(0))[encoder.codes[:, line]]
        return signals, (encoder.codes[:, first:last] @ spikes[first:last]).astype(np.int32)

    word_signals, word_spikes = of_codes(0, split)
    back_signals, back_spikes = of_codes(split, coding.word_lines)
    gate = coding.gate_line
    arguments = {f.name: getattr(program, f.name) for f in fields(program)}
    del arguments["line_signals"], arguments["line_spikes"]
    return arguments | {
        "word_signals": word_signals,
        "word_spikes": word_spikes,
        "back_signals": back_signals,
        "back_spikes": back_spikes,
        "both": coding.backward_lines > 0,
        "word_rows": encoder.rows,
        "gate_signals": np.full(T, lines[gate] if gate >= 0 else 0, dtype=np.uint64),
        "gate_spikes": int(T * spikes[gate]) if gate >= 0 else 0,
        "drain_steps": coding.drain_steps,
        "reverse": coding.direction == "reverse",
        "every": coding.readout != "last",
        "largest": coding.readout == "max",
        "lines": output_lines,
        "longest": MAX_WORDS,
    }


def _pieces(steps: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut a batch into pieces (first, last) of at most _STEPS_AT_ONCE steps, at least one question each."""
    bins = (np.cumsum(steps) - 1) // _STEPS_AT_ONCE
    return list(pairwise([0, *(np.flatnonzero(np.diff(bins)) + 1).tolist(), len(steps)]))
