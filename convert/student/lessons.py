"""Lessons: versions of the questions, and the teacher's answers to them and to their beginnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from .settings import StudentSettings

    Questions = Sequence[NDArray[np.int64]]
    Ask = Callable[[Questions], NDArray[np.float64]]

__all__ = ["Lesson", "Vocabulary", "lessons"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Vocabulary:
    """The word ids of a tokenizer.

    Attributes
    ----------
    size
        Number of word ids, from 0.
    words
        int64: the ids that a text's own words may have.  Special tokens are not among them: they are never replaced.

    """

    size: int
    words: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lesson:
    """A version of the questions with the teacher's answers.

    Attributes
    ----------
    questions
        Word ids of each question.
    prefix
        int64 (questions,): number of words in the part that is read first, about which the teacher was asked as well.
    answers, prefix_answers
        float32 [questions, classes]: the teacher's probabilities for the question and for that part.

    """

    questions: list[NDArray[np.int64]]
    prefix: NDArray[np.int64]
    answers: torch.Tensor
    prefix_answers: torch.Tensor


def lessons(
    ask: Ask,
    questions: Questions,
    vocabulary: Vocabulary,
    direction: str,
    settings: StudentSettings,
    rng: np.random.Generator,
    *,
    labels: NDArray[np.int64] | None = None,
) -> Iterator[Lesson]:
    """Yield the versions of the questions with the teacher's answers.

    Parameters
    ----------
    ask
        The teacher: logits of questions.
    questions
        Word ids of the questions, each at least one word.
    vocabulary
        Word ids to replace words by.
    direction
        Order of reading: of a reversed question, the end is read first.
    settings
        Number of versions, and how they are made.
    rng
        Random source.
    labels
        int64 (questions,): true labels to mix with the teacher's answers, -1 where there is none; None: none at all.

    """
    for version in range(settings.versions):
        changed = list(questions)
        if version % settings.clean:
            changed = _replaced(questions, vocabulary, settings.share, rng)
        prefix = np.array([rng.integers(1, max(len(q), 2)) for q in changed])
        parts = [
            q[:k] if direction == "forward" else q[len(q) - k :]
            for q, k in zip(changed, prefix, strict=True)
        ]
        answers = _probabilities(ask(changed))
        if labels is not None:
            known = torch.from_numpy(labels) >= 0
            hard = functional.one_hot(torch.from_numpy(labels)[known], answers.shape[1])
            answers[known] += settings.label_share * (hard - answers[known])
        yield Lesson(
            questions=changed,
            prefix=prefix,
            answers=answers,
            prefix_answers=_probabilities(ask(parts)),
        )


def _probabilities(logits: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(logits).softmax(dim=1).float()


def _replaced(
    questions: Questions, vocabulary: Vocabulary, share: float, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Replace a share of the words by any words of the vocabulary."""
    words = np.concatenate(questions)
    hit = (rng.random(len(words)) < share) & np.isin(words, vocabulary.words)
    changed = np.where(hit, rng.choice(vocabulary.words, len(words)), words)
    return list(np.split(changed, np.cumsum([len(q) for q in questions])[:-1]))
