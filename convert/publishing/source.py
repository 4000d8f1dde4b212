"""What a model is made from: files, and the padding of the user's own code."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Final

from ...simcore.question_files import ReadOptions
from ..words.question_files import AS_USUAL

_KINDS: Final = {
    "output": str,
    "pad_to": int,
    "pad_id": int,
    "pad_side": str,
    "truncate_side": str,
    "more": tuple,
    "reading": ReadOptions,
}
"""Types of the attributes of a `Source` that are not files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The files that a model is made from, and what else was done to the questions in training.

    Attributes
    ----------
    model : str or Path
        The trained network, ONNX.
    tokenizer : str or Path
        `tokenizer.json` of Hugging Face's tokenizers.
    labels : str or Path
        `labels.json`: the class names in the order of the network's outputs.
    calibrate : str or Path
        Calibration questions (docs/question-files.md), at least 16; only the recipe `labels` needs their labels.
    evaluate : str or Path or None
        Questions that the figures of the stages are counted on; None: the calibration questions.
    training : str or Path or None
        `training.json` of the training, which is published with the model.
    vectors : str or Path or None
        Word vectors (word2vec, fastText .vec, GloVe), for a network that takes these instead of word ids.
    output : str or None
        Name of the model's output that holds the logits; None: the one that is a classifier's.
    pad_to : int or None
        Number of words that the user's own code fills every question up to, after the tokenizer; longer questions are
        cut. None: there is no such code.
    pad_id : int or None
        Word id that it fills up with; None: 0.
    pad_side, truncate_side : {"left", "right"} or None
        Whether padding comes before the words or after them, and whether long questions lose their first words (as by
        Keras' `pad_sequences`, unless told otherwise) or their last ones; None: "right".
    more : tuple of str or Path
        Further question files, of which only the texts are used, to teach a student with.
    reading : ReadOptions
        Encoding of the question files and names of their columns.

    Raises
    ------
    TypeError
        An attribute has another type.

    """

    model: str | Path
    tokenizer: str | Path
    labels: str | Path
    calibrate: str | Path
    evaluate: str | Path | None = None
    training: str | Path | None = None
    vectors: str | Path | None = None
    output: str | None = None
    pad_to: int | None = None
    pad_id: int | None = None
    pad_side: str | None = None
    truncate_side: str | None = None
    more: tuple[str | Path, ...] = ()
    reading: ReadOptions = AS_USUAL

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), _KINDS.get(field.name)
            if kind is not None:
                if value is not None and type(value) is not kind:
                    raise TypeError(f"Source.{field.name}: expected {kind.__name__}, got {value!r}")
            elif not isinstance(value, str | Path) and (
                value is not None or field.default is MISSING
            ):
                raise TypeError(f"Source.{field.name}: expected str or Path, got {value!r}")
