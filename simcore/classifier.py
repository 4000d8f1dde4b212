"""Answer questions on the simulated core: text -> words -> codes -> spikes -> label."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from tokenizers import Tokenizer

from .encoder import Encoder
from .errors import InputError, ModelError
from .image import Coding, CoreImage
from .run import Outcome, Simulator, pack_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FILES: Final = ("core.safetensors", "encoder.safetensors", "tokenizer.json", "labels.json")
"""The files of a published model that a classifier is made of."""

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


class Classifier:
    """A model made ready to answer: same text, same model, same result, everywhere.  Safe from several threads.

    Parameters
    ----------
    image
        A core image with a coding; output line = class.
    encoder
        The code of each word id.
    tokenizer
        Hugging Face tokenizer whose word ids the encoder knows.
    labels
        Class names in the order of the output lines.
    kernel_name
        See `Simulator`.

    Raises
    ------
    ModelError
        The parts do not fit each other.

    """

    def __init__(
        self,
        *,
        image: CoreImage,
        encoder: Encoder,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        kernel_name: str | None = None,
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
        if len(labels) != image.output_lines:
            raise ModelError(
                f"labels: {len(labels)} names, but the core image has {image.output_lines} output lines"
            )
        highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if highest >= len(encoder.rows):
            raise ModelError(
                f"tokenizer: word id {highest}, but the encoder knows 0..{len(encoder.rows) - 1}"
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.labels = tuple(labels)
        self.cores = image.cores
        self.image = image
        self.encoder = encoder
        self._coding = image.coding
        self._tokenizer = tokenizer
        self._simulator = Simulator(image, kernel_name)
        self._word_raster = _word_raster(encoder.codes, image.coding, self._simulator.lines)
        self._drain_raster = _drain_raster(image.coding, self._simulator.lines)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, kernel_name: str | None = None) -> Self:
        """Make a classifier from the files of a published model (see FILES).

        Raises
        ------
        SimcoreError
            A file is missing or invalid, or the files do not fit each other.

        """
        for name in FILES:
            if name not in files:
                raise ModelError(f"model: {name} is missing")
        return cls(
            image=CoreImage.from_bytes(files["core.safetensors"]),
            encoder=Encoder.from_bytes(files["encoder.safetensors"]),
            tokenizer=_read_tokenizer(files["tokenizer.json"]),
            labels=_read_labels(files["labels.json"]),
            kernel_name=kernel_name,
        )

    def word_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Split texts into word ids with the model's own tokenizer.

        Raises
        ------
        InputError
            A text that UTF-8 cannot express, by its position.

        """
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            for i, text in enumerate(texts):
                if not isinstance(text, str):
                    raise InputError(f"text {i}: {type(text).__name__}, expected str") from None
                if not text.isascii() and text != text.encode(errors="replace").decode():
                    raise InputError(f"text {i}: holds a lone surrogate, not valid Unicode") from None
            raise
        return [encoding.ids for encoding in encodings]

    def classify(self, texts: Sequence[str], *, threads: int = 1) -> Answers:
        """Answer a batch of texts; the result does not depend on batch size or threads.

        Parameters
        ----------
        texts
            Raw questions.
        threads
            Threads for the simulation, which runs without the GIL.

        Raises
        ------
        InputError
            A text that UTF-8 cannot express.

        """
        return self.classify_ids(self.word_ids(texts), threads=threads)

    def classify_ids(self, questions: Sequence[Sequence[int]], *, threads: int = 1) -> Answers:
        """Answer questions that are already split into word ids (see `classify`)."""
        words = np.fromiter(map(len, questions), dtype=np.int32, count=len(questions))
        runnable = np.flatnonzero((words > 0) & (words <= MAX_WORDS))
        answers = _empty_answers(words, len(self.labels))
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

    def _simulate(
        self, ids: NDArray[np.int64], words: NDArray[np.int64], threads: int
    ) -> Outcome:
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
    return [slice(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True) if b > a]


def _read_tokenizer(data: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_str(data.decode())
    except UnicodeDecodeError:
        raise ModelError("tokenizer.json: not UTF-8") from None
    except Exception as e:  # noqa: BLE001 - the library raises bare Exception for every fault of the file
        raise ModelError(f"tokenizer.json: {e}") from None


def _read_labels(data: bytes) -> list[str]:
    try:
        labels = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError("labels.json: not JSON") from None
    if not isinstance(labels, list) or not labels or not all(isinstance(x, str) for x in labels):
        raise ModelError("labels.json: expected a list of class names")
    if len(set(labels)) != len(labels):
        raise ModelError("labels.json: a class name stands twice")
    return labels
