"""Answer texts on the simulated core: text -> words -> codes -> spikes -> label."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from .encoder import Encoder
from .errors import InputError, ModelError
from .image import CoreImage
from .published import CORE_FILE, model_files
from .questions import NOT_SPLIT, UNKNOWN_WORD, Answers, QuestionCore
from .records import counted
from .text.splitting import LOOKUP_FILE, TOKENIZER_FILE, UNKNOWN, failures, read_splitter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .text.splitting import Splitter

LABELS_FILE: Final = "labels.json"

NEEDED: Final = (CORE_FILE, "encoder.safetensors", TOKENIZER_FILE, LABELS_FILE)
"""Files that every model must have to answer questions."""

FILES: Final = (*NEEDED, LOOKUP_FILE)
"""Files that a classifier reads; only the lookup may be missing, and then the tokenizers library is needed."""


class Classifier:
    """Answers texts with a model: same text, same model, same result on every machine.

    Several threads may use one classifier at the same time.

    Parameters
    ----------
    image
        A core image with a coding; each output line is a class, unless the image has a head.
    encoder
        The code of each word id.
    splitter
        Splits texts into word ids that the encoder knows.
    labels
        Class names in the order of the output lines, or of the head's rows.
    kernel_name
        See `Simulator`.

    Attributes
    ----------
    labels : tuple of str
        Class names; `Answers.label` is an index into them where it is not negative (see `names`).
    cores : int
        Number of cores of the image.

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
        splitter: Splitter,
        labels: Sequence[str],
        kernel_name: str | None = None,
    ) -> None:
        if len(labels) != image.classes:
            what = "output lines" if image.head is None else "classes"
            raise ModelError(
                f"labels: {len(labels)} names, but the core image has {image.classes} {what}"
            )
        words = len(encoder.rows)
        # Checked once here, so that no text can produce a word id that the encoder does not know.
        if splitter.highest >= words:
            raise ModelError(
                f"tokenizer: word id {splitter.highest}, but the encoder knows 0..{words - 1}"
            )
        self.labels = tuple(labels)
        self.cores = image.cores
        self._encoder = encoder
        self._splitter = splitter
        self._core = QuestionCore(image, encoder, kernel_name)

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:8]) + ", ..." * (len(self.labels) > 8)
        return (
            f"<Classifier: {counted(len(self.labels), 'class')} ({shown}),"
            f" {counted(len(self._encoder.rows), 'word')}, {counted(self.cores, 'core')}>"
        )

    @classmethod
    def load(
        cls,
        reference: str,
        registry: str | Path | None = None,
        *,
        kernel_name: str | None = None,
    ) -> Self:
        """Load a published model from a registry.

        Parameters
        ----------
        reference
            `model:version`, `model:alias` or `model@digest`, for example `trec:production`.
        registry
            The registry's directory; None: the registry that is bundled with the package.
        kernel_name
            See `Simulator`.

        Raises
        ------
        InputError
            The registry has no such model, or no registry is installed.
        SimcoreError
            The model is damaged, lacks a file, or its files do not fit each other.

        """
        try:
            files = model_files(reference, registry, NEEDED, optional=[LOOKUP_FILE])
        except LookupError as e:  # its argument, because str() of a KeyError adds quotation marks
            raise InputError(f"{reference}: {e.args[0]}") from None
        return cls.from_files(files, kernel_name=kernel_name)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, kernel_name: str | None = None) -> Self:
        """Make a classifier from the files of a published model, given by name.

        Files other than those of a classifier are ignored.

        Raises
        ------
        SimcoreError
            A file is missing or invalid, or the files do not fit each other.

        """
        for name in NEEDED:
            if name not in files:
                raise ModelError(f"model: {name} is missing")
        encoder = Encoder.from_bytes(files["encoder.safetensors"])
        return cls(
            image=CoreImage.from_bytes(files[CORE_FILE]),
            encoder=encoder,
            splitter=read_splitter(files, model_words_only=encoder.model_words_only),
            labels=read_labels(files[LABELS_FILE]),
            kernel_name=kernel_name,
        )

    def word_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Split texts into word ids with the model's own tokenizer, without the ids that the network skips.

        A text that `classify` would answer with UNKNOWN_WORD or NOT_SPLIT has no word ids.

        Raises
        ------
        InputError
            `texts` is one str instead of a list of them, or holds a text that UTF-8 cannot encode; the position of the
            text is named.

        """
        _refuse_str(texts)
        ids, starts, _ = self._split(texts)
        ids, starts = self._encoder.without_skipped(ids, starts)
        words, ends = ids.tolist(), starts.tolist()
        return [words[a:b] for a, b in pairwise(ends)]

    def classify(self, texts: Sequence[str], *, threads: int = 1) -> Answers:
        """Answer a batch of texts; the result depends neither on the size of the batch nor on `threads`.

        Parameters
        ----------
        texts
            Raw questions.
        threads
            Threads of the simulation, which runs without the GIL.

        Raises
        ------
        InputError
            `texts` is one str instead of a list of them, or holds a text that UTF-8 cannot encode.

        """
        _refuse_str(texts)
        ids, starts, labels = self._split(texts)
        answers = self.answer_flat(ids, starts, threads=threads)
        if labels is not None:
            np.copyto(answers.label, labels, where=labels < 0)
        return answers

    def _split(
        self, texts: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32] | None]:
        """Split texts into word ids (see `LookupSplitter.split`); texts that cannot be read get none.

        Also return the labels UNKNOWN_WORD and NOT_SPLIT of such texts, int32 (n,), 0 for the others; None if there
        are only others.

        """
        ids, starts = self._splitter.split(texts)
        if self._encoder.unusable:
            ids = np.where(np.isin(ids, self._encoder.unusable), UNKNOWN, ids)
        if not ids.size or ids.min() >= 0:
            return ids, starts, None
        labels = np.zeros(len(starts) - 1, dtype=np.int32)
        labels[failures(ids, starts)] = np.where(ids[ids < 0] == UNKNOWN, UNKNOWN_WORD, NOT_SPLIT)
        kept = np.repeat(labels == 0, np.diff(starts))
        return ids[kept], np.concatenate([[0], np.cumsum(kept)])[starts], labels

    def names(self, answers: Answers) -> list[str | None]:
        """Return the class name of each answer; None where nothing was simulated (a negative label).

        Use this rather than `labels[answers.label[i]]`: the sentinels are negative, so Python would take them for
        indices from the end.

        Raises
        ------
        InputError
            `answers` is something else than `Answers`, for example the array `Answers.label`.

        """
        if not isinstance(answers, Answers):
            raise InputError(
                f"answers: {type(answers).__name__}, expected the Answers that classify returned"
            )
        return [self.labels[label] if label >= 0 else None for label in answers.label.tolist()]

    def answer_ids(self, questions: Sequence[Sequence[int]], *, threads: int = 1) -> Answers:
        """Answer questions that are already split into word ids (see `classify`).

        Raises
        ------
        InputError
            A question is not a sequence of word ids, or has a word id that the encoder does not know.

        """
        _refuse_flat(questions)
        return self._core.answer(questions, threads=threads)

    def answer_flat(
        self, ids: NDArray[np.int64], starts: NDArray[np.int64], *, threads: int = 1
    ) -> Answers:
        """Answer questions whose word ids are in one array (see `QuestionCore.answer_flat`)."""
        return self._core.answer_flat(ids, starts, threads=threads)


def read_labels(data: bytes) -> list[str]:
    """Parse the bytes of a labels.json: a list of class names in the order of the network's outputs.

    Raises
    ------
    ModelError
        The bytes are not a JSON list of distinct strings.

    """
    try:
        labels = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError("labels.json: not JSON") from None
    if not isinstance(labels, list) or not labels or not all(isinstance(x, str) for x in labels):
        raise ModelError('labels.json: expected a JSON list of class names, such as ["HUM", "NUM"]')
    if len(set(labels)) != len(labels):
        raise ModelError("labels.json: duplicate class name")
    return labels


def _refuse_str(texts: Sequence[str]) -> None:
    """Raise InputError for anything but texts: a single one's characters would be answered one by one."""
    if isinstance(texts, str):
        raise InputError("texts: expected a list of texts, got one str; pass [text]")
    if not isinstance(texts, Iterable):
        raise InputError(f"texts: {type(texts).__name__}, expected a list of texts")


def _refuse_flat(questions: Sequence[Any]) -> None:
    """Raise InputError if a question is a number or a str: callers forget the outer list, or the splitting."""
    for i, words in enumerate(questions):
        if isinstance(words, str) or not hasattr(words, "__len__"):
            raise InputError(
                f"question {i}: {type(words).__name__}, expected a sequence of word ids"
            )
