"""Convert a trained network to the files of a model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...registry.formats.manifest import MAX_LAYER
from ...simcore import Classifier, golden
from ...simcore.classifier import read_labels
from ...simcore.text.splitting import highest_id, read_tokenizer
from ..constraining.recipe import bring_to_core, choose_recipe
from ..errors import ConvertError, DataError
from ..evaluation.model_card import model_card
from ..evaluation.stages import describe_data, evaluate_stages, label_indices
from ..lookup import lookup_file
from ..network.constrained import CONSTRAINED_FILE
from ..network.elman import HEADS
from ..progress import OnProgress, silent
from ..read import read_model
from ..words.question_files import evenly, read_questions, without_numbers
from ..words.tokenizer_file import check_pad_to, read_tokenizer_file
from ..words.vectors import read_vectors, vocabulary_table
from .description import describe_network
from .fitted_tokenizer import fitted_tokenizer
from .question_words import (
    longest_question,
    note_cut,
    note_lengths,
    question_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..constraining.recipe import PlacedNetwork, Recipe
    from ..network.elman import ElmanNetwork, Head
    from ..read import FloatModel
    from ..words.question_files import Example
    from ..words.tokenizer_file import PadTo
    from ..words.vectors import WordTable
    from .source import Source

MAX_WORD_ID: Final = 10**7
"""Highest word id with --vectors, which make one row for each id: a bound of ours, to limit memory."""

MIN_CALIBRATION: Final = 16
"""Fewest calibration questions: with fewer, a unit's mean response is mostly noise."""

MAX_CALIBRATION: Final = 2000
"""Most calibration questions used, evenly from the file: more do not improve the match."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Converted:
    """A converted model: its files as they are published, and its figures.

    Attributes
    ----------
    files : dict
        Bytes by file name.
    evaluation : dict
        The content of `eval.json`.

    """

    files: dict[str, bytes]
    evaluation: dict[str, Any]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(data):,} bytes" for name, data in self.files.items())
        return f"<Converted {sizes}>"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Contents:
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


def convert(
    source: Source,
    *,
    title: str,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
    progress: OnProgress = silent,
) -> Converted:
    """Turn a trained network into the files of a model: read, constrain, match, place, check.

    Parameters
    ----------
    source
        The files that the model is made from.
    title
        Name and version for the model card.
    recipe
        One of `recipe.RECIPES`; None: distil if torch is installed, otherwise use the closed form.
    readout
        Where the head is computed: "core", by neurons, or "host", from the hidden units' spikes.
    seed
        Seed of the distillation.
    note
        Called with one line before each step.
    progress
        Called after every pass of a distillation and every stage of the evaluation.

    Raises
    ------
    ConvertError, SimcoreError
        A file, the network or an option is not supported; the message is one line that names it.

    """
    contents, chosen = _read(source, check_readout(readout), recipe, note)
    truth = label_indices(contents.worded, contents.names) if chosen == "labels" else None
    placed = bring_to_core(
        contents.network.with_mean(contents.words),
        contents.words,
        chosen,
        truth=truth,
        seed=seed,
        note=note,
        progress=progress,
    )
    files = _model_files(contents, placed, note)
    note(f"evaluating every stage on {len(contents.held_out)} questions")
    evaluation = evaluate_stages(
        questions=contents.held_out,
        files=files,
        float_model=contents.float_model,
        constrained=placed.constrained,
        progress=progress,
    )
    evaluation["data"] = describe_data(Path(source.evaluate or source.calibrate))
    calibrated_on = describe_data(Path(source.calibrate))
    evaluation["calibration"] = {**calibrated_on, "questions": len(contents.words)}
    evaluation["network"] = describe_network(contents.network, placed)
    files["eval.json"] = (json.dumps(evaluation, indent=2, sort_keys=True) + "\n").encode()
    training = None if contents.training is None else json.loads(contents.training)
    files["MODEL_CARD.md"] = model_card(title, evaluation, training).encode()
    return Converted(files=files, evaluation=evaluation)


def check_readout(wanted: str) -> Head:
    """Check where the head is to be computed, and return it.

    Raises
    ------
    ConvertError
        It is neither "core" nor "host".

    """
    for head in HEADS:
        if head == wanted:
            return head
    raise ConvertError(f"readout {wanted!r}: expected {', '.join(HEADS)}")


def _read(
    source: Source, head: Head, recipe: str | None, note: Callable[[str], None]
) -> tuple[_Contents, Recipe]:
    """Read and check every file, the small ones first, so that a wrong one is refused before minutes of work."""
    pad_to = check_pad_to(source.pad_to, source.pad_id, source.pad_side, source.truncate_side)
    labels, given = _read_bytes(source.labels), read_tokenizer_file(Path(source.tokenizer), pad_to)
    training = None if source.training is None else _read_training(source.training)
    names = read_labels(labels)
    reading = replace(source.reading, labels=tuple(names))
    questions = read_questions(Path(source.calibrate), labelled=False, reading=reading)
    calibration = without_numbers(evenly(questions, MAX_CALIBRATION), names)
    labelled = all(q.label is not None for q in calibration)
    chosen = choose_recipe(recipe, labelled=labelled, note=note)
    held_out = calibration
    if source.evaluate is not None:
        held_out = read_questions(Path(source.evaluate), labelled=False, reading=reading)
    texts = [q.text for q in calibration]
    vectors = None
    if source.vectors is not None:
        note(f"reading {Path(source.vectors).name}")
        vectors = _vocabulary(Path(source.vectors), given, note)
    note(f"reading {Path(source.model).name}")
    network, float_model = read_model(
        Path(source.model),
        vectors=vectors,
        output=source.output,
        classes=len(names),
        longest=longest_question(texts, read_tokenizer(given)),
        words=highest_id(read_tokenizer(given)) + 1,
    )
    if len(names) != network.classes:
        raise ConvertError(
            f"labels.json: {len(names)} names, but the network has {network.classes} outputs"
        )
    if chosen == "labels":
        label_indices(calibration, names)  # raises for a label that the network does not have
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
    tokenizer = fitted_tokenizer(given, texts, float_model, note)
    split = _split(texts, tokenizer, pad_to, float_model, note)
    known = [i for i, ids in enumerate(split) if len(ids)]
    if len(known) < MIN_CALIBRATION:
        raise DataError(
            f"{source.calibrate}: {len(known)} questions with words, at least {MIN_CALIBRATION} needed"
        )
    contents = _Contents(
        tokenizer=tokenizer,
        labels=labels,
        training=training,
        names=names,
        network=replace(network, head=head),
        float_model=float_model,
        calibration=calibration,
        worded=[calibration[i] for i in known],
        words=[split[i] for i in known],
        held_out=held_out,
    )
    return contents, chosen


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


def golden_questions(texts: Sequence[str]) -> list[str]:
    """Choose the golden questions of a model, evenly from questions that have words."""
    chosen = np.linspace(0, len(texts) - 1, golden.QUESTIONS).astype(int)
    return [texts[i] for i in chosen]


def _vocabulary(path: Path, tokenizer: bytes, note: Callable[[str], None]) -> WordTable:
    """Look up the tokenizer's words in a file of vectors."""
    vocabulary = read_tokenizer(tokenizer).get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise DataError("tokenizer.json: has no words")
    highest = max(vocabulary.values())
    if highest > MAX_WORD_ID:
        raise DataError(f"tokenizer.json: word id {highest}, limit {MAX_WORD_ID} with --vectors")
    table, missing = vocabulary_table(vocabulary, read_vectors(path))
    if missing == len(vocabulary):
        raise DataError(f"{path}: holds no vector for any of the tokenizer's {missing} words")
    note(
        f"{missing} of the tokenizer's {len(vocabulary)} words have no vector and get a vector of zeros"
    )
    return table


def _model_files(
    contents: _Contents, placed: PlacedNetwork, note: Callable[[str], None]
) -> dict[str, bytes]:
    """Return the files of the model, without those that follow from its evaluation (figures and model card)."""
    encoder = placed.network.encoder()
    # the tokenizer's words beyond the embedding have a row, which is never read, because they are unusable
    rows, words = len(encoder.rows), highest_id(read_tokenizer(contents.tokenizer)) + 1
    encoder = replace(
        encoder,
        rows=np.concatenate([encoder.rows, np.zeros(max(words - rows, 0), np.int32)]),
        skipped=tuple(sorted(contents.float_model.skipped)),
        unusable=(*sorted(contents.float_model.unusable), *range(rows, words)),
    )
    files = {
        "core.safetensors": placed.matched.image.to_bytes(),
        "encoder.safetensors": encoder.to_bytes(),
        "tokenizer.json": contents.tokenizer,
        "labels.json": contents.labels,
        "model.onnx": contents.float_model.data,
        CONSTRAINED_FILE: placed.constrained.to_bytes(),
    }
    # before the classifier: its golden answers must come from the lookup that the edge will use
    files |= lookup_file(contents.tokenizer, [q.text for q in contents.calibration], note)
    classifier = Classifier.from_files(files)
    files[golden.FILE] = golden.make(
        classifier, golden_questions([q.text for q in contents.worded])
    )
    if contents.training is not None:
        files["training.json"] = contents.training
    return files


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
        return Path(path).read_bytes()
    except OSError as e:
        raise ConvertError(f"{path}: {e.strerror}") from None
