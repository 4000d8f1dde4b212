"""Run questions through every stage of the conversion and count the right answers: the ledger of a model.

Stages (docs/conversion.md): `float`, the model file in onnxruntime, or `teacher` and `student` if a network was taught
to answer as a file does; `weights`, with 16 weight levels; `activities`,
with 16 activity levels as well; `fan-in`, with at most 64 lines as well; `integer`, the integer model that is placed
on the core: distilled, or equal to `fan-in`; `spiking`, the core, simulated spike for spike.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import MAX_WORDS, Classifier, CoreImage, Encoder
from ..errors import DataError
from ..network.place import unplace
from ..progress import OnProgress, counted, silent
from .figures import (
    class_figures,
    confusion_matrix,
    core_figures,
    responses,
    stage_figures,
    utilisation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..network.constrained import ConstrainedStages
    from ..read import FloatModel
    from ..words.question_files import Example

    Answers = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.int64]]

STAGES: Final = ("float", "weights", "activities", "fan-in", "integer", "spiking")
"""The stages of the conversion, in order."""


def evaluate_stages(
    *,
    questions: Sequence[Example],
    files: Mapping[str, bytes],
    float_model: FloatModel,
    constrained: ConstrainedStages,
    teacher: Answers | None = None,
    student: bool = False,
    progress: OnProgress = silent,
) -> dict[str, Any]:
    """Run every stage on the questions, and compute the figures of `eval.json`.

    Parameters
    ----------
    questions
        The questions; if all have labels, accuracies are counted.  No stage answers a question that holds no word:
        it counts as wrong.
    files
        The files of the published model; its core runs exactly as in the daemon.
    float_model, constrained
        The stages before the core.
    teacher
        The teacher of a student, if it can be asked: returns the class of each question, -1 where there is none.  Its
        answers are the first stage.
    student
        Whether the float network is a student, so that its stage is called `student`.
    progress
        Called after every stage.

    Returns
    -------
    dict
        `head`: where the answer is computed, "core" or "host"; `questions`: their number; `without_words`: how many of
        them hold no word; `float_by_recurrence`: how many have a length that the model file does not accept, so that
        the recurrence proven equal to it answers them in the float stage; `stages`: see `stage_figures`; `confusion`
        {labels, matrix} (rows: true classes, columns: spiking answers, last column: no answer) and `classes` (see
        `class_figures`), both None without labels; `responses`: see `figures.responses`; `per_question`: means of
        spikes, synaptic events, ticks, power (uW) and energy (uJ) on the core; `utilisation` {limit: {used, limit}}.

    Raises
    ------
    DataError
        If a label is not one of the model's classes, or no question holds a word.

    """
    classifier = Classifier.from_files(files)
    image = CoreImage.from_bytes(files["core.safetensors"])
    encoder = Encoder.from_bytes(files["encoder.safetensors"])
    labels = classifier.labels
    truth = _truth(questions, labels)
    ids = classifier.word_ids([q.text for q in questions])
    spoken = np.flatnonzero([len(i) > 0 for i in ids])
    if not len(spoken):
        raise DataError(
            f"questions: none of the {len(questions)} has a word that the tokenizer knows"
        )
    words = [np.array(ids[i], dtype=np.int64) for i in spoken]
    if min(map(len, words)) > MAX_WORDS:
        raise DataError(
            f"questions: each of the {len(words)} with words has more than {MAX_WORDS}, so a core answers none:"
            " cut them into single questions"
        )
    one_more = counted(progress, "evaluating", len(STAGES) + (teacher is not None))
    logits_of: dict[str, Callable[[list[NDArray[np.int64]]], NDArray[np.float64]]] = {
        "student" if student else "float": float_model.logits,
        "weights": partial(constrained.wide.logits, rounded=False),
        "activities": constrained.wide.logits,
        "fan-in": (constrained.closed or constrained.core).logits,
        "integer": constrained.core.logits,
    }
    # -1 (no answer) equals no class, so a question without words is wrong in every stage
    first = [] if teacher is None else ["teacher"]
    predicted = {stage: np.full(len(questions), -1) for stage in [*first, *logits_of]}
    if teacher is not None:
        predicted["teacher"][spoken] = teacher(words)
        one_more()
    for stage, logits in logits_of.items():
        predicted[stage][spoken] = logits(words).argmax(axis=1)
        one_more()
    answers = classifier.answer_ids(ids)
    predicted["spiking"] = answers.label
    one_more()
    confusion = None if truth is None else confusion_matrix(truth, answers.label, labels)
    placed, _ = unplace(image, encoder)
    return {
        "head": "core" if image.head is None else "host",
        "questions": len(questions),
        "without_words": len(questions) - len(spoken),
        "float_by_recurrence": sum(not float_model.can_run(q) for q in words),
        "stages": stage_figures(predicted, truth),
        "confusion": confusion,
        "classes": None if confusion is None else class_figures(confusion),
        "responses": responses(constrained.core, image, encoder, words),
        "per_question": core_figures(answers, classifier.cores),
        "utilisation": utilisation(image, placed),
    }


def describe_data(path: Path) -> dict[str, str]:
    """Identify a data file by its name, without the folder, and the SHA-256 of its bytes."""
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def label_indices(questions: Sequence[Example], labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the class index of each question, int64 (questions,); every question must have a label.

    Raises
    ------
    DataError
        If a label is not one of the model's classes.

    """
    index = {label: i for i, label in enumerate(labels)}
    for q in questions:
        if q.label not in index:
            raise DataError(
                f"label {q.label!r} of question {q.text[:60]!r}: not one of the model's classes, {', '.join(labels)}"
            )
    return np.array([index[str(q.label)] for q in questions])


def _truth(questions: Sequence[Example], labels: Sequence[str]) -> NDArray[np.int64] | None:
    if any(q.label is None for q in questions):
        return None
    return label_indices(questions, labels)
