"""Features of words from the teacher's own answers: what each word does to them in a few questions.

A random start would leave the student to learn every word from the few questions that hold it.  The teacher knows more
words than the questions show, and no look into its file is needed: each word is put into some questions, in place of
one of theirs, and asked alone.  The logits, less their mean over the words, are brought to their principal components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .lessons import Ask, Vocabulary
    from .settings import StudentSettings

__all__ = ["word_features"]

_LENGTHS: Final = (3, 16)
"""Words of the questions that words are put into: in longer ones, a single word does little."""

_AT_ONCE: Final = 4096
"""Questions that the teacher is asked at once, to limit memory."""


def word_features(
    ask: Ask,
    questions: Sequence[NDArray[np.int64]],
    vocabulary: Vocabulary,
    settings: StudentSettings,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return features of every word id, float32 (vocabulary.size, components); zeros for ids that are no words.

    Parameters
    ----------
    ask
        The teacher: logits of questions.
    questions
        Calibration questions as word ids.
    vocabulary
        The word ids.
    settings
        Numbers of contexts and components.
    rng
        Draws the contexts.

    """
    parts = []
    for context, place in _contexts(questions, vocabulary, settings.contexts, rng):
        changed = np.repeat(context[None], len(vocabulary.words), axis=0)
        changed[:, place] = vocabulary.words
        logits = np.concatenate(
            [ask(list(changed[i : i + _AT_ONCE])) for i in range(0, len(changed), _AT_ONCE)]
        )
        # a constant over the classes does not change an answer
        logits -= logits.mean(axis=1, keepdims=True)
        parts.append(logits - logits.mean(axis=0))
    answers = np.concatenate(parts, axis=1)
    # eigenvectors of the covariance, the largest first
    _, directions = np.linalg.eigh(answers.T @ answers)
    components = answers @ directions[:, ::-1][:, : settings.components]
    features = np.zeros((vocabulary.size, components.shape[1]), dtype=np.float32)
    features[vocabulary.words] = components / max(float(components.std()), 1e-12)
    return features


def _contexts(
    questions: Sequence[NDArray[np.int64]],
    vocabulary: Vocabulary,
    number: int,
    rng: np.random.Generator,
) -> list[tuple[NDArray[np.int64], int]]:
    """Return word ids and a place among them for each context; the first is a word alone."""
    shortest, longest = _LENGTHS
    lengths = np.array([len(q) for q in questions])
    fitting = np.flatnonzero((lengths >= shortest) & (lengths <= longest))
    if not len(fitting):
        fitting = np.arange(len(questions))
    found = [_alone(questions[fitting[0]], vocabulary)]
    for i in rng.permutation(fitting):
        places = np.flatnonzero(np.isin(questions[i], vocabulary.words))
        if len(found) <= number and len(places):
            found.append((questions[i], int(rng.choice(places))))
    return found


def _alone(question: NDArray[np.int64], vocabulary: Vocabulary) -> tuple[NDArray[np.int64], int]:
    """Return the context of a word alone: a question's special tokens and its first word, and that word's place."""
    kept = ~np.isin(question, vocabulary.words)
    first = int(np.argmin(kept))
    kept[first] = True
    return question[kept], int(kept[:first].sum())
