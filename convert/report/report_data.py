"""Gather the data of a report: from the model's files, and from runs of the model made for the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...simcore import CoreImage, Encoder
from ...simcore.classifier import Classifier
from ...simcore.program.inspection import inspect
from ..errors import ConstraintError, DataError
from ..evaluation.explain import Explanation, explain
from ..evaluation.figures import class_figures, confusion_matrix, core_figures, utilisation
from ..evaluation.stages import STAGES, describe_data, label_indices
from ..network.constrained import CONSTRAINED_FILE
from ..network.place import unplace
from ..words.question_files import AS_USUAL, for_model, read_questions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ...registry import Details, Model
    from ...simcore.question_files import ReadOptions
    from ..network.constrained import ConstrainedNetwork
    from ..words.question_files import Example

QUESTION: Final = "Who wrote Hamlet?"
"""The question explained if neither a question nor a file of questions is given."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReportData:
    """Everything that a report on a published model shows.

    Attributes
    ----------
    details : Details
        The registry's record: pin, layers and their digests, time of publishing.
    labels : tuple of str
    image : CoreImage
    placed : ConstrainedNetwork or None
        The network read back from the core; None if spikewatch-convert did not place the core.
    evaluation : dict
        The content of `eval.json`, overridden by what was counted for this report.
    stages : dict
        Figures of each stage, in stage order.
    counted : str
        When the figures were counted, in words.
    training : dict or None
        The content of `training.json`, if the model has one.
    explanation : Explanation or None
        The run of one question, word by word.
    unanswered : str
        Why there is no explanation; empty if there is one.

    """

    details: Details
    labels: tuple[str, ...]
    image: CoreImage
    placed: ConstrainedNetwork | None
    evaluation: dict[str, Any]
    stages: dict[str, dict[str, Any]]
    counted: str
    training: dict[str, Any] | None
    explanation: Explanation | None
    unanswered: str


def gather(
    model: Model,
    details: Details,
    *,
    question: str | None = None,
    data: Path | None = None,
    reading: ReadOptions = AS_USUAL,
) -> ReportData:
    """Read a model's files, evaluate it on `data` if given, and explain one question.

    Parameters
    ----------
    model, details
        The loaded model, and the registry's record of it.
    question
        The question to explain; None: the first one of `data` that has a text, or QUESTION.
    data
        Questions to evaluate the model on; None: show the figures of `eval.json`.
    reading
        Encoding of `data` and names of its columns.

    Raises
    ------
    ConvertError, SimcoreError
        If the model lacks a file that a classifier needs, or the question or the data cannot be used.

    """
    evaluation = _document(model.files, "eval.json") or {}
    counted = "when the model was published (eval.json)"
    first = None
    if data is not None:
        questions = read_questions(data, labelled=False, reading=for_model(reading, model.files))
        evaluation = evaluation | _count(model, data, questions, reading)
        counted = "for this report"
        first = next((q.text for q in questions if q.text), None)
    explanation, unanswered = _follow(model.files, question, first)
    classifier = Classifier.from_files(model.files)
    image = CoreImage.from_bytes(model.files["core.safetensors"])
    placed = _placed(image, model.files)
    use = inspect(image).as_json()["use"] if placed is None else utilisation(image, placed)
    return ReportData(
        details=details,
        labels=classifier.labels,
        image=image,
        placed=placed,
        evaluation=evaluation
        | {"utilisation": use, "head": "core" if image.head is None else "host"},
        stages=_stages(evaluation.get("stages")),
        counted=counted,
        training=_document(model.files, "training.json"),
        explanation=explanation,
        unanswered=unanswered,
    )


def _document(files: Mapping[str, bytes], name: str) -> dict[str, Any] | None:
    """Return a JSON object of the model; None if the file is missing or holds another type."""
    try:
        found = json.loads(files.get(name, b"null"))
    except (ValueError, RecursionError):
        raise DataError(f"{name}: not JSON") from None
    return found if isinstance(found, dict) else None


def _count(
    model: Model, data: Path, questions: list[Example], reading: ReadOptions
) -> dict[str, Any]:
    """Evaluate every stage on the questions, or only the core if the model does not contain the earlier stages."""
    if {"model.onnx", CONSTRAINED_FILE} <= model.files.keys():
        from ..publishing.publish import evaluate_model  # noqa: PLC0415 - only here onnxruntime is needed

        return evaluate_model(model, data, reading)
    classifier = Classifier.from_files(model.files)
    answers = classifier.classify([q.text for q in questions])
    if not (answers.ticks > 0).any():
        raise DataError(f"{data}: none of the questions has a word that the tokenizer knows")
    confusion, accuracy = None, None
    if all(q.label is not None for q in questions):
        truth = label_indices(questions, classifier.labels)
        confusion = confusion_matrix(truth, answers.label, classifier.labels)
        accuracy = float((answers.label == truth).mean())
    return {
        "questions": len(questions),
        "without_words": int((answers.words == 0).sum()),
        "data": describe_data(data),
        "stages": {"spiking": {"accuracy": accuracy, "agreement": None}},
        "confusion": confusion,
        "classes": None if confusion is None else class_figures(confusion),
        "responses": None,
        "per_question": core_figures(answers, classifier.cores),
    }


def _stages(found: Any) -> dict[str, dict[str, Any]]:
    """Return the stages in order, and compute losses that early versions of `eval.json` lack."""
    stages: dict[str, dict[str, Any]] = {}
    before: float | None = None
    for stage in ("teacher", "student", *STAGES):
        if not (isinstance(found, dict) and isinstance(found.get(stage), dict)):
            continue
        stated = {k: _share(found[stage].get(k)) for k in ("accuracy", "agreement", "loss")}
        accuracy, loss = stated["accuracy"], stated["loss"]
        if loss is None and accuracy is not None and before is not None:
            loss = before - accuracy
        before = accuracy
        agreed = _share(found[stage].get("agreement_before"))
        stages[stage] = stated | {"loss": loss, "agreement_before": agreed}
    return stages


def _share(value: Any) -> float | None:
    """Return a number in -1..1 as a float, and None for anything else."""
    # a published eval.json may hold anything; the comparison is false for NaN
    return float(value) if isinstance(value, int | float) and -1 <= value <= 1 else None


def _follow(
    files: Mapping[str, bytes], wanted: str | None, first: str | None
) -> tuple[Explanation | None, str]:
    """Explain `wanted`; if it is None, explain a default, and return the reason if that cannot be explained."""
    if wanted is not None:
        return explain(files, wanted), ""
    question = first or QUESTION
    try:
        return explain(files, question), ""
    except DataError as e:
        return None, f"{e}; pass --question with one that does."


def _placed(image: CoreImage, files: Mapping[str, bytes]) -> ConstrainedNetwork | None:
    try:
        return unplace(image, Encoder.from_bytes(files["encoder.safetensors"]))[0]
    except ConstraintError:
        return None
