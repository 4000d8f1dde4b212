"""Answer questions, given as word ids, on the simulated core."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from .chip._dispatch import kernel
from .chip.derive import derive
from .chip.simulator import Simulator, in_threads, pack_lines, shares
from .errors import InputError, ModelError
from .limits import MAX_WORDS
from .records import ArrayRecord, counted
from .schedule import input_raster, spike_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .chip.derive import DerivedNetwork
    from .chip.outcome import Outcome
    from .coding import Coding
    from .encoder import Encoder
    from .image import CoreImage

NO_WORDS: Final = -1
"""`Answers.label` of a text without words; nothing was simulated."""

TOO_LONG: Final = -2
"""`Answers.label` of a text of more than MAX_WORDS words; nothing was simulated."""

UNKNOWN_WORD: Final = -3
"""`Answers.label` of a text with a word that the tokenizer or the network does not know; nothing was simulated."""

NOT_SPLIT: Final = -4
"""`Answers.label` of a text that the tokenizer cannot split into words; nothing was simulated."""

_VOID: Final = -5
"""Label of a question that the derived-network kernel leaves to the chip kernel; never in the result."""

_STEPS_AT_ONCE: Final = 16_384
"""Most steps whose rasters are in memory at once for the chip kernel: 16 MiB at 15 ticks and 64 input lines, and with
the readout "max" as much again for every 34 output lines."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Answers(ArrayRecord):
    """The answers to a batch of n texts, one row for each text, in order.

    Two objects are equal if all their arrays are; `len` returns n.

    Attributes
    ----------
    label : int32 (n,)
        Index into the classifier's labels; NO_WORDS, TOO_LONG, UNKNOWN_WORD or NOT_SPLIT if nothing was simulated.
    scores : int32 (n, classes)
        Output spikes of each class in the steps that are read, or the scores that the head on the host computes from
        them; the label is the first of the highest.
    spikes : int64 (n, 3)
        Input, hidden and output spikes (see `Outcome.spikes`).
    synaptic_events : int64 (n,)
        Synaptic events on the chip.
    ticks : int64 (n,)
        Ticks of the chip.
    words : int32 (n,)
        Words of the text.

    """

    label: NDArray[np.int32]
    scores: NDArray[np.int32]
    spikes: NDArray[np.int64]
    synaptic_events: NDArray[np.int64]
    ticks: NDArray[np.int64]
    words: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"<Answers: {counted(len(self), 'text')}, {counted(self.scores.shape[1], 'class')}>"

    @classmethod
    def empty(cls, n: int, classes: int) -> Self:
        """Make the answers to n texts for a kernel to fill in; scores are zero, other values undefined."""
        return cls(
            label=np.empty(n, dtype=np.int32),
            scores=np.zeros((n, classes), dtype=np.int32),
            spikes=np.empty((n, 3), dtype=np.int64),
            synaptic_events=np.empty(n, dtype=np.int64),
            ticks=np.empty(n, dtype=np.int64),
            words=np.empty(n, dtype=np.int32),
        )


class QuestionCore:
    """A core image with its encoder, prepared for answering questions; safe to use from several threads at once.

    Parameters
    ----------
    image
        A core image with a coding; without a head, every output line is a class.
    encoder
        The code of each word id.
    kernel_name
        See `Simulator`.
    use_derived_network
        Run the smaller equal network (`chip/derive.py`) if the image has one; the answers are the same.

    Raises
    ------
    ModelError
        The encoder does not fit the image, or the image has no coding.

    """

    def __init__(
        self,
        image: CoreImage,
        encoder: Encoder,
        kernel_name: str | None = None,
        *,
        use_derived_network: bool = True,
    ) -> None:
        if image.coding is None:
            raise ModelError("core image: it has no coding, so it is not a classifier")
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
        self._derived: Any = None
        network = None
        # An encoder without codes knows no word; the kernel needs at least one row to point at.
        if use_derived_network and kernel_name != "reference" and len(encoder.codes):
            network = derive(image)
        if network is not None:
            self._derived = kernel(kernel_name).DerivedRunner(
                **_runner_arguments(network, image.coding, encoder, image.output_lines)
            )

    def __repr__(self) -> str:
        parts = [
            counted(self.image.cores, "core"),
            counted(self.image.classes, "class"),
            counted(len(self.encoder.rows), "word"),
            f"kernel {self._simulator.kernel_name}{', derived network' * self.uses_derived_network}",
        ]
        return f"<QuestionCore: {', '.join(parts)}>"

    @property
    def uses_derived_network(self) -> bool:
        """Whether the derived-network kernel answers, rather than the chip kernel; the answers are the same."""
        return self._derived is not None

    def answer(
        self, questions: Sequence[Sequence[int] | NDArray[np.int64]], *, threads: int = 1
    ) -> Answers:
        """Answer questions; the result does not depend on batch size or threads.

        Parameters
        ----------
        questions
            Word ids of each question, in the order of the text.
        threads
            Threads that share the questions; the kernels run without the GIL.

        Raises
        ------
        InputError
            The encoder does not know a word id.

        """
        starts = np.array([0, *accumulate(map(len, questions))], dtype=np.int64)
        ids = np.array([*chain.from_iterable(questions)], dtype=np.int64)
        return self.answer_flat(ids, starts, threads=threads)

    def answer_flat(
        self, ids: NDArray[np.int64], starts: NDArray[np.int64], *, threads: int = 1
    ) -> Answers:
        """Answer questions whose word ids are in one array (see `answer`), without the ids that the network skips.

        Parameters
        ----------
        ids : int64 (words of all questions,)
        starts : int64 (n + 1,)
            Question q is ids[starts[q]:starts[q + 1]]; `starts` rises from 0 to len(ids).
        threads
            As in `answer`.

        Raises
        ------
        InputError
            The encoder does not know a word id, or `starts` does not fit.

        """
        if len(starts) == 0 or starts[0] != 0 or starts[-1] != len(ids):
            raise InputError(f"starts: must rise from 0 to the {len(ids)} words")
        ids, starts = self.encoder.without_skipped(ids, starts)
        n = len(starts) - 1
        answers = Answers.empty(n, self.image.output_lines)
        if self._derived is None:
            self._answer_on_chip(ids, starts, answers, np.arange(n), threads)
            return self._with_head(answers)
        if threads == 1 or n <= 1:
            found = self._answer_derived(ids, starts, answers, (0, n))
        else:
            parts = in_threads(
                lambda share: self._answer_derived(ids, starts, answers, share), shares(n, threads)
            )
            # An error (below 0) of any share comes first; otherwise any number above 0 means that answers are void.
            found = min(parts) or max(parts)
        if found < 0:
            self._refuse_unknown(ids[starts[-1 - found] : starts[-found]])
            raise InputError(f"starts: question {-1 - found} ends before it begins")
        if found:
            void = np.flatnonzero(answers.label == _VOID)
            self._answer_on_chip(ids, starts, answers, void, threads)
        return self._with_head(answers)

    def _answer_derived(
        self,
        ids: NDArray[np.int64],
        starts: NDArray[np.int64],
        answers: Answers,
        share: tuple[int, int],
    ) -> int:
        """Answer a share (first, last + 1) of the questions; return what `DerivedRunner.answer` does."""
        found: int = self._derived.answer(
            ids,
            starts,
            *share,
            answers.label,
            answers.scores,
            answers.spikes,
            answers.synaptic_events,
            answers.ticks,
            answers.words,
        )
        return found

    def _with_head(self, answers: Answers) -> Answers:
        """Compute scores and labels by the head, if the image has one."""
        head = self.image.head
        if head is None:
            return answers
        run = answers.label >= 0  # not NO_WORDS or TOO_LONG
        scores = head.scores(self._coding, answers.scores, answers.words)
        scores[~run] = 0
        label = np.where(run, scores.argmax(axis=1), answers.label).astype(np.int32)
        return replace(answers, label=label, scores=scores)

    def _refuse_unknown(self, ids: NDArray[np.int64]) -> None:
        """Raise InputError if the encoder does not know one of the word ids."""
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
        # for the questions that are not simulated; the other labels are written below
        answers.label[chosen] = np.where(words > MAX_WORDS, TOO_LONG, NO_WORDS)
        for array in (answers.scores, answers.spikes, answers.synaptic_events, answers.ticks):
            array[chosen] = 0
        chosen = chosen[(words > 0) & (words <= MAX_WORDS)]
        if not len(chosen):
            return
        steps = np.diff(starts)[chosen] + self._coding.drain_steps
        for first, last in _batches(steps):
            piece = chosen[first:last]
            words = np.diff(starts)[piece]
            # position of each word in its question
            within = np.arange(words.sum()) - np.repeat(np.cumsum(words) - words, words)
            read = ids[np.repeat(starts[piece], words) + within]
            self._refuse_unknown(read)
            outcome = self._simulate(self.encoder.rows[read], words, threads)
            counts = outcome.counts
            if outcome.raster is not None:
                counts = self._largest_counts(outcome.raster, words)
            answers.label[piece] = counts.argmax(axis=1)
            answers.scores[piece] = counts
            answers.spikes[piece] = outcome.spikes
            answers.synaptic_events[piece] = outcome.synaptic_events
            answers.ticks[piece] = steps[first:last] * self._coding.ticks_per_step

    def _simulate(self, rows: NDArray[np.int32], words: NDArray[np.int64], threads: int) -> Outcome:
        """Run questions of so many words each, given as code rows, on the chip kernel."""
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

    def _largest_counts(
        self, raster: NDArray[np.uint16], words: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Return the largest count of each output line in any step that is read, int32 (questions, output lines)."""
        T, read = self._coding.ticks_per_step, self._coding.steps_read(words)
        steps = words + self._coding.drain_steps
        counts = raster.reshape(len(raster) // T, T, -1).sum(axis=1, dtype=np.int32)
        ends = np.cumsum(steps)
        windows = np.stack([ends - read, ends], axis=1).reshape(-1)
        # reduceat reduces between consecutive indices: every other window is one that is read, the last to the end
        found = np.maximum.reduceat(counts, windows[:-1], axis=0)[::2]
        return np.asarray(found, dtype=np.int32)


def _runner_arguments(
    network: DerivedNetwork, coding: Coding, encoder: Encoder, output_lines: int
) -> dict[str, Any]:
    """Compute the arguments of `DerivedRunner`: the network, and the signals of every code and of the gate."""
    T = coding.ticks_per_step
    lines = np.zeros(coding.lines, dtype=np.uint64)
    spikes = np.zeros(coding.lines, dtype=np.int64)
    fed = len(network.line_signals)
    # The image may have fewer lines than the coding: its last lines may feed no axon.
    lines[:fed], spikes[:fed] = network.line_signals, network.line_spikes
    split = coding.word_lines - coding.backward_lines

    def of_codes(first: int, last: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Compute signals (code rows, T) and input spikes (code rows,) of the word lines first..last - 1."""
        signals = np.zeros((len(encoder.codes), T), dtype=np.uint64)
        for line in range(first, last):
            signals |= np.where(spike_pattern(T), lines[line], np.uint64(0))[encoder.codes[:, line]]
        return signals, (encoder.codes[:, first:last] @ spikes[first:last]).astype(np.int32)

    word_signals, word_spikes = of_codes(0, split)
    back_signals, back_spikes = of_codes(split, coding.word_lines)
    gate = coding.gate_line
    arguments = {f.name: getattr(network, f.name) for f in fields(network)}
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
        "no_words": NO_WORDS,
        "too_long": TOO_LONG,
        "void": _VOID,
    }


def _batches(steps: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut questions into batches (first, last + 1) of about _STEPS_AT_ONCE steps, of at least one question each."""
    # A question belongs to the batch in which its last step falls.
    bins = (np.cumsum(steps) - 1) // _STEPS_AT_ONCE
    return list(pairwise([0, *(np.flatnonzero(np.diff(bins)) + 1).tolist(), len(steps)]))
