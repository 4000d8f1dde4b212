"""Read and check the files that a model is made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...registry.formats.manifest import MAX_LAYER
from ...simcore.classifier import read_labels
from ...simcore.text.splitting import highest_id, read_tokenizer
from ..constraining.recipe import choose_recipe
from ..errors import ConvertError, DataError
from ..evaluation.stages import label_indices
from ..files import read_file
from ..read import read_model
from ..words.question_files import evenly, read_questions, without_numbers
from ..words.tokenizer_file import check_pad_to, read_tokenizer_file
from ..words.vectors import read_vectors, vocabulary_table
from .fitted_tokenizer import fitted_tokenizer
from .question_words import longest_question, note_cut, note_lengths, question_words

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ..constraining.recipe import Recipe
    from ..network.elman import ElmanNetwork
    from ..read import FloatModel
    from ..words.question_files import Example
    from ..words.tokenizer_file import PadTo
    from ..words.vectors import WordTable
    from .imitation import Imitation
    from .source import Source

MIN_CALIBRATION: Final = 16
"""Fewest calibration questions: with fewer, a unit's mean response is mostly noise."""

MAX_CALIBRATION: Final = 2000
"""Most calibration questions used, evenly from the file: more do not improve the match."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Given:
    """The files of a `Source` that are read before its model.

    Attributes
    ----------
    labels : bytes
        `labels.json`.
    names : list of str
        Class names.
    tokenizer : bytes
        `tokenizer.json` with the padding of the user's own code.
    pad_to : PadTo or None
        That padding.
    training : bytes or None
        `training.json`, where there is one.
    questions : list of Example
        All calibration questions.
    more : list of Example
        Further texts for a student.
    held_out : list of Example or None
        Questions to count the stages on; None: the calibration questions.
    recipe : {"closed-form", "distill", "labels"}

    """

    labels: bytes
    names: list[str]
    tokenizer: bytes
    pad_to: PadTo | None
    training: bytes | None
    questions: list[Example]
    more: list[Example]
    held_out: list[Example] | None
    recipe: Recipe

    @property
    def calibration(self) -> list[Example]:
        """At most MAX_CALIBRATION questions."""
        return evenly(self.questions, MAX_CALIBRATION)

    def of_student(self, taught: Imitation) -> Given:
        """Return the files for a student, whose held-out and judging questions calibrate nothing."""
        left = {id(q) for q in [*taught.held_out, *taught.judging]}
        return replace(
            self,
            tokenizer=taught.tokenizer,
            pad_to=None,
            questions=[q for q in self.questions if id(q) not in left],
            held_out=taught.held_out if self.held_out is None else self.held_out,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contents:
    """The contents of the files of a `Source`, checked against each other.

    Attributes
    ----------
    tokenizer, labels : bytes
        The files as they are published.
    training : bytes or None
        `training.json`, where there is one.
    names : list of str
        Class names.
    network, float_model
        The network as read from the ONNX file, and the file itself in onnxruntime.
    calibration : list of Example
        At most MAX_CALIBRATION questions; some may hold no word that the tokenizer knows.
    worded : list of Example
        Those of them with at least one word; only these calibrate anything.
    words : list of int64 arrays
        Word ids of each of `worded`.
    held_out : list of Example
        Questions to count the stages on.
    recipe : {"closed-form", "distill", "labels"}

    """

    tokenizer: bytes
    labels: bytes
    training: bytes | None
    names: list[str]
    network: ElmanNetwork
    float_model: FloatModel
    calibration: list[Example]
    worded: list[Example]
    words: list[NDArray[np.int64]]
    held_out: list[Example]
    recipe: Recipe


def read_small(source: Source, recipe: str | None, note: Callable[[str], None]) -> Given:
    """Read and check every file but the model, so that a wrong one is refused before minutes of work.

    Raises
    ------
    ConvertError, SimcoreError
        A file or an option is not supported; the message is one line that names it.

    """
    pad_to = check_pad_to(source.pad_to, source.pad_id, source.pad_side, source.truncate_side)
    labels, tokenizer = (
        _read_bytes(source.labels),
        read_tokenizer_file(Path(source.tokenizer), pad_to),
    )
    training = None if source.training is None else _read_training(source.training)
    names = read_labels(labels)
    reading = replace(source.reading, labels=tuple(names))
    questions = read_questions(Path(source.calibrate), labelled=False, reading=reading)
    questions = without_numbers(questions, names)
    labelled = all(q.label is not None for q in questions)
    chosen = choose_recipe(recipe, labelled=labelled, note=note)
    held_out = None
    if source.evaluate is not None:
        held_out = read_questions(Path(source.evaluate), labelled=False, reading=reading)
    more = [
        q
        for path in source.more
        for q in read_questions(Path(path), labelled=False, reading=source.reading)
    ]
    return Given(
        labels=labels,
        names=names,
        tokenizer=tokenizer,
        pad_to=pad_to,
        training=training,
        questions=questions,
        more=more,
        held_out=held_out,
        recipe=chosen,
    )


def read_network(
    source: Source, given: Given, note: Callable[[str], None]
) -> tuple[ElmanNetwork, FloatModel]:
    """Read the model file of a source as an Elman network.

    Raises
    ------
    ModelFileError
        It is none, or not supported.
    DataError
        The word vectors cannot be read.

    """
    vectors = None
    if source.vectors is not None:
        note(f"reading {Path(source.vectors).name}")
        vectors = _vocabulary(Path(source.vectors), given.tokenizer, note)
    note(f"reading {Path(source.model).name}")
    texts = [q.text for q in given.calibration]
    return read_model(
        Path(source.model),
        vectors=vectors,
        output=source.output,
        classes=len(given.names),
        longest=longest_question(texts, read_tokenizer(given.tokenizer)),
        words=highest_id(read_tokenizer(given.tokenizer)) + 1,
    )


def check_contents(
    source: Source,
    given: Given,
    network: ElmanNetwork,
    float_model: FloatModel,
    note: Callable[[str], None],
) -> Contents:
    """Check labels, tokenizer and questions against the network.

    Raises
    ------
    ConvertError, DataError
        They do not fit; the message is one line.

    """
    names, calibration = given.names, given.calibration
    if len(names) != network.classes:
        raise ConvertError(
            f"labels.json: {len(names)} names, but the network has {network.classes} outputs"
        )
    if given.recipe == "labels":
        label_indices(calibration, names)  # raises for a label that the network does not have
    held_out = calibration if given.held_out is None else given.held_out
    if all(q.label is not None for q in held_out) and source.evaluate is not None:
        label_indices(held_out, names)
    if len(float_model.data) > MAX_LAYER:
        raise ConvertError(
            f"model.onnx: {len(float_model.data)} bytes, but a published file has at most {MAX_LAYER}:"
            " a tokenizer of fewer words makes it smaller"
        )
    rounding = float_model.rounding()
    if rounding is not None:
        note(rounding)
    texts = [q.text for q in calibration]
    tokenizer = fitted_tokenizer(given.tokenizer, texts, float_model, note)
    split = _split(texts, tokenizer, given.pad_to, float_model, note)
    known = [i for i, ids in enumerate(split) if len(ids)]
    if len(known) < MIN_CALIBRATION:
        raise DataError(
            f"{source.calibrate}: {len(known)} questions with words, at least {MIN_CALIBRATION} needed"
        )
    return Contents(
        tokenizer=tokenizer,
        labels=given.labels,
        training=given.training,
        names=names,
        network=network,
        float_model=float_model,
        calibration=calibration,
        worded=[calibration[i] for i in known],
        words=[split[i] for i in known],
        held_out=held_out,
        recipe=given.recipe,
    )


def _split(
    texts: list[str],
    tokenizer: bytes,
    pad_to: PadTo | None,
    float_model: FloatModel,
    note: Callable[[str], None],
) -> list[NDArray[np.int64]]:
    """Return the words of the calibration questions, and report what the user should know about them."""
    reader = read_tokenizer(tokenizer)
    if pad_to is not None:
        note_cut(texts, reader, pad_to, note)
    words = question_words(texts, reader, float_model, note)
    note_lengths([w for w in words if len(w)], reader, float_model, note)
    return words


def _vocabulary(path: Path, tokenizer: bytes, note: Callable[[str], None]) -> WordTable:
    """Look up the tokenizer's words in a file of vectors."""
    vocabulary = read_tokenizer(tokenizer).get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise DataError("tokenizer.json: has no words")
    table, missing = vocabulary_table(vocabulary, read_vectors(path))
    if missing == len(vocabulary):
        raise DataError(f"{path}: holds no vector for any of the tokenizer's {missing} words")
    note(
        f"{missing} of the tokenizer's {len(vocabulary)} words have no vector and get a vector of zeros"
    )
    return table


def _read_training(path: str | Path) -> bytes:
    """Read `training.json`, which the model card quotes: it must be a JSON object."""
    data = _read_bytes(path)
    try:
        training = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError("training.json: not JSON") from None
    if not isinstance(training, dict):
        raise DataError("training.json: expected an object")
    return data


def _read_bytes(path: str | Path) -> bytes:
    try:
        return read_file(Path(path), MAX_LAYER)
    except OSError as e:
        raise ConvertError(f"{path}: {e.strerror}") from None
