"""Convert a trained network into the files of a model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import Classifier, golden
from ...simcore.classifier import read_labels
from ...simcore.text.splitting import read_tokenizer
from ..constraining.recipe import bring_to_core, choose_recipe
from ..errors import ConvertError, DataError
from ..evaluation.model_card import model_card
from ..evaluation.stages import FILE, describe_data, evaluate_stages, label_indices
from ..lookup import lookup_file
from ..network.constrained import HEADS
from ..network.place import HostHead, gate_lines, readout_copies
from ..read import read_model
from ..words.question_files import Example, read_questions
from ..words.vectors import read_vectors, vocabulary_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ..constraining.recipe import Finished
    from ..network.constrained import Head
    from ..network.elman import ElmanNetwork
    from ..words.vectors import WordTable

MAX_WORD_ID: Final = 10**7
"""Highest word id that gets a row of its own from --vectors: our own bound, for memory."""

MIN_CALIBRATION: Final = 16
"""Fewest calibration questions: below, a unit's mean response is noise."""

MAX_CALIBRATION: Final = 2000
"""Most calibration questions used: beyond, responses match no better; taken evenly from the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a model is published from.

    Attributes
    ----------
    model : Path
        The ONNX file.
    tokenizer, labels : Path
        `tokenizer.json` and `labels.json`.
    calibrate : Path
        Calibration questions; labels are not needed.
    evaluate : Path or None
        Questions that the figures of the stages are counted on; None: the calibration questions.
    training : Path or None
        `training.json` of the training, kept in the model.
    vectors : Path or None
        Word vectors, for a model that takes these instead of word ids.

    """

    model: Path
    tokenizer: Path
    labels: Path
    calibrate: Path
    evaluate: Path | None = None
    training: Path | None = None
    vectors: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Converted:
    """A converted model: its files as they are published, and what was measured.

    Attributes
    ----------
    files : dict
        Bytes by file name.
    evaluation : dict
        The content of `eval.json`.

    """

    files: dict[str, bytes]
    evaluation: dict[str, Any]


def convert(
    source: Source,
    *,
    title: str,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> Converted:
    """Turn a trained network into the files of a model: read, constrain, match, place, check.

    Parameters
    ----------
    source
        Where everything is.
    title
        Name and version for the model card.
    recipe
        See `recipe.RECIPES`; None: distil where torch is installed, otherwise the closed form.
    readout
        Where the head is computed: "core", by neurons, or "host", from the hidden units' spikes.
    seed
        Seed of the distillation.
    note
        Called with one line before each step.

    Raises
    ------
    ConvertError, SimcoreError
        Something does not fit; one line naming it.

    """
    where = _readout(readout)
    labels, tokenizer = _read_bytes(source.labels), _read_bytes(source.tokenizer)
    vectors = _vocabulary(source.vectors, tokenizer, note) if source.vectors else None
    note(f"reading {source.model.name}")
    network, float_model = read_model(source.model, vectors=vectors)
    network = replace(network, head=where)
    questions = _calibration(read_questions(source.calibrate, labelled=False))
    held_out = read_questions(source.evaluate, labelled=False) if source.evaluate else questions
    splitter = _splitter(tokenizer, labels, network)
    split = [np.array(ids, dtype=np.int64) for ids in splitter([q.text for q in questions])]
    spoken = [i for i, ids in enumerate(split) if len(ids)]
    words = [split[i] for i in spoken]
    if len(words) < MIN_CALIBRATION:
        raise DataError(
            f"{source.calibrate}: {len(words)} questions with words, at least {MIN_CALIBRATION} needed"
        )
    labelled = all(q.label is not None for q in questions)
    chosen = choose_recipe(recipe, labelled=labelled, note=note)
    truth = None
    if chosen == "labels":
        truth = label_indices(questions, read_labels(labels))[spoken]
    finished = bring_to_core(network, words, chosen, truth=truth, seed=seed, note=note)
    core, matched = finished.placed, finished.matched
    files = {
        "core.safetensors": matched.image.to_bytes(),
        "encoder.safetensors": core.encoder().to_bytes(),
        "tokenizer.json": tokenizer,
        "labels.json": labels,
        "model.onnx": float_model.data,
        FILE: finished.constrained.to_bytes(),
    }
    files |= lookup_file(tokenizer, [q.text for q in questions], note)
    files[golden.FILE] = golden.make(
        Classifier.from_files(files), golden_questions([questions[i].text for i in spoken])
    )
    if source.training:
        files["training.json"] = _read_bytes(source.training)
    note(f"evaluating every stage on {len(held_out)} questions")
    evaluation = evaluate_stages(
        questions=held_out,
        files=files,
        float_model=float_model,
        constrained=finished.constrained,
    )
    evaluation["data"] = describe_data(source.evaluate or source.calibrate)
    evaluation["calibration"] = {**describe_data(source.calibrate), "questions": len(words)}
    evaluation["network"] = _describe(network, finished)
    files["eval.json"] = _json(evaluation)
    files["MODEL_CARD.md"] = model_card(title, evaluation, _training(files)).encode()
    return Converted(files=files, evaluation=evaluation)


def _readout(wanted: str) -> Head:
    """Check where the head is to be computed."""
    for head in HEADS:
        if head == wanted:
            return head
    raise ConvertError(f"--readout {wanted}: expected {', '.join(HEADS)}")


def _calibration(questions: list[Example]) -> list[Example]:
    """Take at most MAX_CALIBRATION questions, evenly over the file."""
    if len(questions) <= MAX_CALIBRATION:
        return questions
    chosen = np.linspace(0, len(questions) - 1, MAX_CALIBRATION).astype(int)
    return [questions[i] for i in chosen]


def golden_questions(texts: Sequence[str]) -> list[str]:
    """Choose the golden questions of a model: evenly over questions that hold words."""
    chosen = np.linspace(0, len(texts) - 1, golden.QUESTIONS).astype(int)
    return [texts[i] for i in chosen]


def _splitter(
    tokenizer: bytes, labels: bytes, network: ElmanNetwork
) -> Callable[[list[str]], list[list[int]]]:
    """Check tokenizer and labels against the network; return the tokenizer's text -> word ids."""
    names = read_labels(labels)
    if len(names) != network.classes:
        raise ConvertError(
            f"labels.json: {len(names)} names, but the network has {network.classes} outputs"
        )
    reader = read_tokenizer(tokenizer)
    highest = max(reader.get_vocab(with_added_tokens=True).values(), default=-1)
    if highest >= len(network.rows):
        raise ConvertError(
            f"tokenizer.json: word id {highest}, but the embedding has rows 0..{len(network.rows) - 1}"
        )

    def split(texts: list[str]) -> list[list[int]]:
        return [e.ids for e in reader.encode_batch_fast(texts, add_special_tokens=False)]

    return split


def _vocabulary(path: Path, tokenizer: bytes, note: Callable[[str], None]) -> WordTable:
    """Look the tokenizer's words up in a file of vectors."""
    vocabulary = read_tokenizer(tokenizer).get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise DataError("tokenizer.json: holds no word")
    highest = max(vocabulary.values())
    if highest > MAX_WORD_ID:
        raise DataError(f"tokenizer.json: word id {highest}, limit {MAX_WORD_ID} with --vectors")
    table, missing = vocabulary_table(vocabulary, read_vectors(path))
    if missing == len(vocabulary):
        raise DataError(f"{path}: holds none of the {missing} words of the tokenizer")
    note(f"{missing} of the tokenizer's {len(vocabulary)} words have no vector, zero stands for it")
    return table


def _describe(network: ElmanNetwork, finished: Finished) -> dict[str, Any]:
    core, matched = finished.placed, finished.matched
    copies, possible = 0, 0
    if not isinstance(matched.readout, HostHead):
        parts = matched.readout if isinstance(matched.readout, tuple) else (matched.readout,)
        hidden = [core.n_hidden] if len(parts) == 1 else [core.half(w).n_hidden for w in (0, 1)]
        copies = sum(len(part.gain) for part in parts) // core.classes
        possible = sum(readout_copies(n, core.classes) for n in hidden)
    units = network.n_hidden + (0 if network.backward is None else network.backward.n_hidden)
    return {
        "activation": network.activation,
        "clip": network.clip if np.isfinite(network.clip) else None,
        "direction": network.direction if network.backward is None else "bidirectional",
        "words": len(network.rows),
        "word_vector_components": network.embedding.shape[1],
        "input_lines": core.n_in,
        "hidden_units": core.n_hidden,
        "classes": core.classes,
        "units_per_float_unit": core.n_hidden // units,
        "readout": core.readout,
        "cores": matched.image.cores,
        "lines_used": core.n_in
        + core.n_hidden
        + matched.image.cores * gate_lines(core.readout, core.head),
        "readout_neurons_per_class": copies,
        "readout_neurons_possible": possible,
        "responses": matched.method,
        "recipe": finished.recipe,
        "calibration_agreement": matched.agreement,
        "closed_form_agreement": finished.closed_form_agreement,
    }


def _training(files: dict[str, bytes]) -> dict[str, Any] | None:
    if "training.json" not in files:
        return None
    try:
        training = json.loads(files["training.json"])
    except (ValueError, RecursionError):
        raise DataError("training.json: not JSON") from None
    if not isinstance(training, dict):
        raise DataError("training.json: expected an object")
    return training


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ConvertError(f"{path}: {e.strerror}") from None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
