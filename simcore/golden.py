"""Golden questions: what a model answered when it was published, to be asked again wherever it is loaded.

The simulator is bit-exact, so a loaded model must give the very same labels, scores and spikes.  Where it does not, the
machine, the build or a file is not what it was, and the model must not answer anybody.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .questions import Answers

FILE: Final = "golden.json"
"""The file of a published model that holds them; older models have none."""

SCHEMA: Final = 1

QUESTIONS: Final = 16
"""Golden questions of a published model: a few milliseconds at every load."""

MAX_QUESTIONS: Final = 1024
"""Our own bound on what a load may be made to ask."""


class Answering(Protocol):
    """What is asked (see `Classifier`)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""

    def classify(self, texts: Sequence[str]) -> Answers:
        """Answer a batch of texts."""


def make(classifier: Answering, texts: Sequence[str]) -> bytes:
    """Ask a model some questions and write down its answers, as the content of `golden.json`."""
    asked = [
        {"text": text, **answer}
        for text, answer in zip(texts, _answers(classifier, texts), strict=True)
    ]
    return (json.dumps({"schema": SCHEMA, "questions": asked}, indent=1) + "\n").encode()


def verify(classifier: Answering, data: bytes) -> int:
    """Ask a model its golden questions again.

    Parameters
    ----------
    classifier
        The model, as loaded.
    data
        The bytes of its `golden.json`.

    Returns
    -------
    int
        The number of questions, all answered as before.

    Raises
    ------
    ModelError
        The file is none, or an answer differs: the question, the figure, what it is and what it was.

    """
    asked = _questions(data)
    texts = [question["text"] for question in asked]
    for i, (was, now) in enumerate(zip(asked, _answers(classifier, texts), strict=True)):
        for figure, value in now.items():
            if was.get(figure) != value:
                raise ModelError(
                    f"golden.json: question {i}: {figure} is {value}, "
                    f"was {was.get(figure)} when it was published"
                )
    return len(asked)


def _answers(classifier: Answering, texts: Sequence[str]) -> list[dict[str, Any]]:
    answers = classifier.classify(texts)
    return [
        {
            "label": classifier.labels[answers.label[i]] if answers.label[i] >= 0 else None,
            "scores": answers.scores[i].tolist(),
            "spikes": answers.spikes[i].tolist(),
            "synaptic_events": int(answers.synaptic_events[i]),
            "ticks": int(answers.ticks[i]),
        }
        for i in range(len(texts))
    ]


def _questions(data: bytes) -> list[dict[str, Any]]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError("golden.json: not JSON") from None
    asked = document.get("questions") if isinstance(document, dict) else None
    if not isinstance(asked, list) or document.get("schema") != SCHEMA:
        raise ModelError(f"golden.json: expected an object of schema {SCHEMA} with questions")
    if not 1 <= len(asked) <= MAX_QUESTIONS:
        raise ModelError(f"golden.json: {len(asked)} questions, expected 1 to {MAX_QUESTIONS}")
    for i, question in enumerate(asked):
        if not isinstance(question, dict) or not isinstance(question.get("text"), str):
            raise ModelError(f"golden.json: question {i}: expected an object with a text")
    return asked
