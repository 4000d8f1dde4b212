"""Golden questions: what a model answered when it was published, checked again wherever the model is loaded.

The simulator is bit-exact, so a loaded model must return exactly the same labels, scores and spikes.  A difference
means that the machine, the build or a file has changed, and then the model must not answer questions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .classifier import Classifier

FILE: Final = "golden.json"
"""The file of a published model that holds its golden questions; older models have none."""

SCHEMA: Final = 1

QUESTIONS: Final = 16
"""Golden questions of a published model; checking them adds a few milliseconds to every load."""

MAX_QUESTIONS: Final = 1024
"""Most golden questions that are accepted: our own bound on the work that a file can cause."""


def make(classifier: Classifier, texts: Sequence[str]) -> bytes:
    """Answer some questions and return texts and answers as the content of `golden.json`."""
    questions = [
        {"text": text, **answer}
        for text, answer in zip(texts, _answers(classifier, texts), strict=True)
    ]
    return (json.dumps({"schema": SCHEMA, "questions": questions}, indent=1) + "\n").encode()


def verify(classifier: Classifier, data: bytes) -> int:
    """Answer a model's golden questions again and compare every figure.

    Parameters
    ----------
    classifier
        The model, as loaded.
    data
        The bytes of its `golden.json`.

    Returns
    -------
    int
        The number of questions; all answers are equal to the recorded ones.

    Raises
    ------
    ModelError
        The bytes are not a valid `golden.json`, or an answer differs; the text names the question, the figure, its
        value now and its value then.

    """
    questions = _questions(data)
    texts = [question["text"] for question in questions]
    for i, (then, now) in enumerate(zip(questions, _answers(classifier, texts), strict=True)):
        for figure, value in now.items():
            if then.get(figure) != value:  # exactly: all figures are integers or names
                raise ModelError(
                    f"golden.json: question {i}: {figure} is {value}, "
                    f"was {then.get(figure)} when it was published"
                )
    return len(questions)


def _answers(classifier: Classifier, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Answer texts and return the figures of each answer as a JSON object."""
    answers = classifier.classify(texts)
    return [
        {
            "label": name,
            "scores": answers.scores[i].tolist(),
            "spikes": answers.spikes[i].tolist(),
            "synaptic_events": int(answers.synaptic_events[i]),
            "ticks": int(answers.ticks[i]),
        }
        for i, name in enumerate(classifier.names(answers))
    ]


def _questions(data: bytes) -> list[dict[str, Any]]:
    """Parse a `golden.json`; raise ModelError if it is not a list of questions with texts."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError("golden.json: not JSON") from None
    questions = document.get("questions") if isinstance(document, dict) else None
    if not isinstance(questions, list) or document.get("schema") != SCHEMA:
        raise ModelError(f"golden.json: expected an object of schema {SCHEMA} with questions")
    if not 1 <= len(questions) <= MAX_QUESTIONS:
        raise ModelError(f"golden.json: {len(questions)} questions, expected 1 to {MAX_QUESTIONS}")
    for i, question in enumerate(questions):
        if not isinstance(question, dict) or not isinstance(question.get("text"), str):
            raise ModelError(f"golden.json: question {i}: expected an object with a text")
    return questions
