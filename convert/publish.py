"""Convert a trained network and publish it; evaluate what was published."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..registry import Pin, Registry
from ..registry.references import check_alias, check_model, check_version
from ..simcore import Classifier, CoreImage, golden
from ..simcore.classifier import read_labels, read_tokenizer
from .card import CORES, model_card
from .constrained import HEADS
from .data import Question, read_questions
from .errors import ConvertError, DataError, ModelFileError
from .ledger import FILE, Constrained, describe_data, evaluate_stages, label_indices
from .place import HostHead, gate_lines, readout_copies
from .read import read_model, read_model_bytes
from .recipe import bring_to_core, choose_recipe
from .vectors import read_vectors, vocabulary_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ..registry import Model
    from .constrained import Head
    from .elman import ElmanNetwork
    from .recipe import Finished
    from .tokenizer import WordTable

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
    files[golden.FILE] = golden.make(Classifier.from_files(files), _golden(questions, spoken))
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


def publish(
    source: Source,
    *,
    registry: Path,
    name: str,
    version: str,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    alias: str | None = None,
    created: datetime | None = None,
    actor: str | None = None,
    reason: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> tuple[Pin, Converted]:
    """Convert a trained network and publish it as a version of a model.

    Parameters
    ----------
    source
        Where everything is.
    registry, name, version
        Where it goes: the registry's folder, made when it is missing; a version is published once.
    recipe, readout, seed
        See `convert`.
    alias
        Alias to move to the new version.
    created
        Time written into the manifest; equal files and an equal time give an equal digest.
    actor, reason
        Who and why, for the registry's journal; the actor is user@host when not given.
    note
        Called with one line before each step.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        Something does not fit; the registry is untouched.

    """
    check_model(name)
    check_version(version)
    if alias is not None:
        check_alias(alias)
    converted = convert(
        source,
        title=f"{name} {version}",
        recipe=recipe,
        readout=readout,
        seed=seed,
        note=note,
    )
    note(f"publishing {name}:{version}")
    network = converted.evaluation["network"]
    pin = Registry.init(registry).publish(
        name,
        version,
        converted.files,
        created=created,
        alias=alias,
        actor=actor,
        reason=reason,
        config={
            "architecture": "elman-rnn",
            "format": "safetensors",
            "precision": "int4",
            "capabilities": {"inputTypes": ["text"], "outputTypes": ["text"]},
        },
        annotations={
            "org.opencontainers.image.description": (
                f"Elman RNN {network['input_lines']}-{network['hidden_units']}-{network['classes']}"
                f" on {CORES[network['cores']]}"
                + (", its head on the host" if converted.evaluation["head"] == "host" else "")
            ),
        },
    )
    return pin, converted


def evaluate(reference: str, *, registry: Registry, data: Path) -> dict[str, Any]:
    """Evaluate every stage of a published model on a file of questions.

    Returns
    -------
    dict
        As `evaluate_stages`, with `model` (the pin) and `data`.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        The model or the data cannot be read.

    """
    return evaluate_model(registry.load(reference), data)


def evaluate_model(model: Model, data: Path) -> dict[str, Any]:
    """Evaluate every stage of a loaded model (see `evaluate`)."""
    questions = read_questions(data, labelled=False)
    for name in ("core.safetensors", "model.onnx", FILE):
        if name not in model.files:
            raise ModelFileError(
                f"{model.pin}: {name} is missing, its earlier stages cannot be run"
            )
    network, float_model = read_model_bytes(
        model.files["model.onnx"], what=f"{model.pin}: model.onnx"
    )
    image = CoreImage.from_bytes(model.files["core.safetensors"])
    network = replace(network, head="core" if image.head_bias is None else "host")
    evaluation = evaluate_stages(
        questions=questions,
        files=model.files,
        float_model=float_model,
        constrained=Constrained.from_bytes(model.files[FILE], network),
    )
    return {"model": str(model.pin), "data": describe_data(data), **evaluation}


def _readout(wanted: str) -> Head:
    """Check where the head is to be computed."""
    for head in HEADS:
        if head == wanted:
            return head
    raise ConvertError(f"--readout {wanted}: expected {', '.join(HEADS)}")


def _calibration(questions: list[Question]) -> list[Question]:
    """Take at most MAX_CALIBRATION questions, evenly over the file."""
    if len(questions) <= MAX_CALIBRATION:
        return questions
    chosen = np.linspace(0, len(questions) - 1, MAX_CALIBRATION).astype(int)
    return [questions[i] for i in chosen]


def _golden(questions: list[Question], spoken: list[int]) -> list[str]:
    """Choose the golden questions: evenly over the calibration questions that hold words."""
    chosen = np.linspace(0, len(spoken) - 1, golden.QUESTIONS).astype(int)
    return [questions[spoken[i]].text for i in chosen]


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
