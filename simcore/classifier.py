"""Answer texts on the simulated core: text -> words -> codes -> spikes -> label."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

from .encoder import Encoder
from .errors import ModelError
from .image import CoreImage
from .questions import Answers, QuestionCore
from .text.splitting import LOOKUP_FILE, TOKENIZER_FILE, read_splitter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .text.splitting import Splitter

NEEDED: Final = ("core.safetensors", "encoder.safetensors", TOKENIZER_FILE, "labels.json")
FILES: Final = (*NEEDED, LOOKUP_FILE)
"""The files of a published model that a classifier is made of; only the lookup may be missing."""


class Classifier:
    """A model made ready to answer: same text, same model, same result, everywhere.  Safe from several threads.

    Parameters
    ----------
    image
        A core image with a coding; output line = class, unless it has a head.
    encoder
        The code of each word id.
    splitter
        Splits texts into word ids that the encoder knows.
    labels
        Class names in the order of the output lines, or of the head's rows.
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
        splitter: Splitter,
        labels: Sequence[str],
        kernel_name: str | None = None,
    ) -> None:
        if len(labels) != image.classes:
            what = "output lines" if image.head_bias is None else "classes"
            raise ModelError(
                f"labels: {len(labels)} names, but the core image has {image.classes} {what}"
            )
        if splitter.highest >= len(encoder.rows):
            raise ModelError(
                f"tokenizer: word id {splitter.highest},"
                f" but the encoder knows 0..{len(encoder.rows) - 1}"
            )
        self.labels = tuple(labels)
        self.cores = image.cores
        self._splitter = splitter
        self._core = QuestionCore(image, encoder, kernel_name)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, kernel_name: str | None = None) -> Self:
        """Make a classifier from the files of a published model (see FILES).

        Raises
        ------
        SimcoreError
            A file is missing or invalid, or the files do not fit each other.

        """
        for name in NEEDED:
            if name not in files:
                raise ModelError(f"model: {name} is missing")
        return cls(
            image=CoreImage.from_bytes(files["core.safetensors"]),
            encoder=Encoder.from_bytes(files["encoder.safetensors"]),
            splitter=read_splitter(files),
            labels=read_labels(files["labels.json"]),
            kernel_name=kernel_name,
        )

    def word_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Split texts into word ids with the model's own tokenizer.

        Raises
        ------
        InputError
            A text that UTF-8 cannot express, by its position.

        """
        ids, starts = self._splitter.split(texts)
        words, ends = ids.tolist(), starts.tolist()
        return [words[a:b] for a, b in pairwise(ends)]

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
        return self.answer_flat(*self._splitter.split(texts), threads=threads)

    def answer_ids(self, questions: Sequence[Sequence[int]], *, threads: int = 1) -> Answers:
        """Answer questions that are already split into word ids (see `classify`)."""
        return self._core.answer(questions, threads=threads)

    def answer_flat(
        self, ids: NDArray[np.int64], starts: NDArray[np.int64], *, threads: int = 1
    ) -> Answers:
        """Answer questions whose word ids lie in one array (see `QuestionCore.answer_flat`)."""
        return self._core.answer_flat(ids, starts, threads=threads)


def read_labels(data: bytes) -> list[str]:
    """Parse the bytes of a labels.json: a list of class names in the order of the network's outputs.

    Raises
    ------
    ModelError
        The bytes are no such list.

    """
    try:
        labels = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError("labels.json: not JSON") from None
    if not isinstance(labels, list) or not labels or not all(isinstance(x, str) for x in labels):
        raise ModelError("labels.json: expected a list of class names")
    if len(set(labels)) != len(labels):
        raise ModelError("labels.json: a class name stands twice")
    return labels
