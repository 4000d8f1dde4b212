"""Gather what a report is made of: the model's own files, and what is run now."""

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
from ..words.question_files import read_questions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ...registry import Details, Model
    from ..network.constrained import ConstrainedNetwork
    from ..words.question_files import Example

QUESTION: Final = "Who wrote Hamlet?"
"""The question that is followed where none is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReportData:
    """What is known about a published model.

    Attributes
    ----------
    details : Details
        What the registry says of it: pin, layers and their digests, when it was made.
    labels : tuple of str
    image : CoreImage
    placed : ConstrainedNetwork or None
        The hidden layer as it stands on the core; None where the core was not placed by this program.
    evaluation : dict
        What `eval.json` holds, and over it what was counted now.
    stages : dict
        Figures of each stage, in the order of the stages.
    counted : str
        When the figures were counted, in words.
    training : dict or None
        What `training.json` holds.
    explanation : Explanation or None
        The question that is followed.
    unanswered : str
        Why there is no explanation; empty where there is one.

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
    model: Model, details: Details, *, question: str | None = None, data: Path | None = None
) -> ReportData:
    """Read a model's files, count what `data` asks for, and follow a question.

    Parameters
    ----------
    model, details
        The loaded model, and what its registry tells about it.
    question
        The question to follow; None: the first of `data` that holds a word, or QUESTION.
    data
        Questions to count the answers of, instead of the figures that `eval.json` holds.

    Raises
    ------
    ConvertError, SimcoreError
        The model is no classifier, or the question or the data cannot be used.

    """
    evaluation = _document(model.files, "eval.json") or {}
    counted = "when the model was published (eval.json)"
    first = None
    if data is not None:
        questions = read_questions(data, labelled=False)
        evaluation = evaluation | _count(model, data, questions)
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
        | {"utilisation": use, "head": "core" if image.head_bias is None else "host"},
        stages=_stages(evaluation.get("stages")),
        counted=counted,
        training=_document(model.files, "training.json"),
        explanation=explanation,
        unanswered=unanswered,
    )


def _document(files: Mapping[str, bytes], name: str) -> dict[str, Any] | None:
    """Read a JSON object of the model; None where it has none."""
    try:
        found = json.loads(files.get(name, b"null"))
    except (ValueError, RecursionError):
        raise DataError(f"{name}: not JSON") from None
    return found if isinstance(found, dict) else None


def _count(model: Model, data: Path, questions: list[Example]) -> dict[str, Any]:
    """Count every stage's answers, or the core's alone where the model keeps no earlier stages."""
    if {"model.onnx", CONSTRAINED_FILE} <= model.files.keys():
        from ..publishing.publish import evaluate_model  # noqa: PLC0415 - only here onnxruntime is needed

        return evaluate_model(model, data)
    classifier = Classifier.from_files(model.files)
    answers = classifier.classify([q.text for q in questions])
    if not (answers.ticks > 0).any():
        raise DataError(f"{data}: none of its questions holds a word")
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
    """Put the stages in order, and add what early versions did not state."""
    stages: dict[str, dict[str, Any]] = {}
    before: float | None = None
    for stage in STAGES:
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
    """Take a share as it is, and anything else for one that is not stated."""
    return float(value) if isinstance(value, int | float) and -1 <= value <= 1 else None


def _follow(
    files: Mapping[str, bytes], wanted: str | None, first: str | None
) -> tuple[Explanation | None, str]:
    """Follow the question asked for, or one of our choice, which need not hold a word of this model."""
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
