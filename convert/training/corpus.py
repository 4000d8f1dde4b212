"""The questions of a training run as word ids: split, batches, augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ..errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from ..words.question_files import Example

__all__ = ["Corpus", "Split", "batches", "class_names", "encode", "folds", "pack", "split"]

_LENGTH_NOISE: Final = (
    2.5  # words; mixes neighbouring lengths, so that batches differ between passes
)
_UNKNOWN_SHARE: Final = 0.02  # of the words, made unknown: rare words of new questions are


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Corpus:
    """Labelled questions as word ids.

    Attributes
    ----------
    ids
        int64 word ids of each question, at least one each.
    labels
        int64 [questions]: index of the class.
    fine
        int64 [questions]: index of the finest label that the data gives; that of the class, where it
        gives none.
    questions
        The questions themselves.
    """

    ids: tuple[NDArray[np.int64], ...]
    labels: NDArray[np.int64]
    fine: NDArray[np.int64]
    questions: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: Sequence[int]) -> Corpus:
        """Keep the chosen questions, in the order given."""
        return Corpus(
            ids=tuple(self.ids[i] for i in chosen),
            labels=self.labels[list(chosen)],
            fine=self.fine[list(chosen)],
            questions=tuple(self.questions[i] for i in chosen),
        )

    def word_counts(self, vocabulary: int) -> NDArray[np.int64]:
        """Count every word id, int64 [vocabulary]."""
        return np.bincount(np.concatenate(self.ids), minlength=vocabulary)

    def membership(self, classes: int) -> NDArray[np.float32]:
        """Tell which class each fine label is of, [fine labels, classes]; all 0 for one without a question."""
        membership = np.zeros((int(self.fine.max()) + 1, classes), dtype=np.float32)
        membership[self.fine, self.labels] = 1
        return membership

    def augmented(
        self, replace: float, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], ...]:
        """Replace words by random ones, drawn as often as they occur, and a few by the unknown word.

        Parameters
        ----------
        replace
            Highest share of a question's words; every question's own share is drawn below it.
        """
        everything = np.concatenate(self.ids)
        lengths = [len(ids) for ids in self.ids]
        share = np.repeat(generator.uniform(0, replace, len(self.ids)), lengths)
        hit = generator.random(len(everything)) < share
        changed = np.where(hit, generator.choice(everything, len(everything)), everything)
        if replace:
            changed[generator.random(len(everything)) < _UNKNOWN_SHARE] = 0
        return tuple(np.split(changed, np.cumsum(lengths)[:-1]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """The training part and the dev part; no word sequence is in both.

    Attributes
    ----------
    train, dev
        The parts.
    duplicates
        Questions left out of the training part because the dev part holds the same words.
    """

    train: Corpus
    dev: Corpus
    duplicates: int


def encode(questions: Sequence[Example], fine: Sequence[Example], tokenizer: Tokenizer) -> Corpus:
    """Tokenise labelled questions; one without any word is left out.

    Parameters
    ----------
    questions, fine
        The same questions with the labels to learn, and with the finest that there are.
    tokenizer
        Text to word ids.
    """
    encodings = tokenizer.encode_batch([question.text for question in questions])
    kept = [i for i, encoding in enumerate(encodings) if encoding.ids]
    return Corpus(
        ids=tuple(np.array(encodings[i].ids, dtype=np.int64) for i in kept),
        labels=_numbered(questions)[kept],
        fine=_numbered(fine)[kept],
        questions=tuple(questions[i] for i in kept),
    )


def class_names(questions: Sequence[Example]) -> tuple[str, ...]:
    """Sort the labels that there are; their places are the numbers of the classes."""
    return tuple(sorted({question.label or "" for question in questions}))


def _numbered(questions: Sequence[Example]) -> NDArray[np.int64]:
    index = {label: i for i, label in enumerate(class_names(questions))}
    return np.array([index[question.label or ""] for question in questions], dtype=np.int64)


def split(corpus: Corpus, dev: int, seed: int) -> Split:
    """Hold out the head of a seeded permutation (NumPy's PCG64) as the dev split; 0 holds out nothing.

    Raises
    ------
    TrainingError
        Fewer questions than twice the dev split.
    """
    if len(corpus) < 2 * dev:
        raise TrainingError(
            f"{len(corpus)} questions with words, at least {2 * dev} needed for a dev split of {dev}"
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(corpus)).tolist()
    return _apart(corpus, order[dev:], order[:dev])


def folds(corpus: Corpus, count: int, seed: int) -> Iterator[Split]:
    """Deal a seeded permutation (NumPy's PCG64) into folds; hold out one after the other.

    Raises
    ------
    TrainingError
        Fewer than two folds, or fewer questions than folds.
    """
    if not 2 <= count <= len(corpus):
        raise TrainingError(f"folds: {count}, expected 2..{len(corpus)}, the number of questions")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(corpus)).tolist()
    for fold in range(count):
        dev = order[fold::count]
        yield _apart(corpus, [i for k, i in enumerate(order) if k % count != fold], dev)


def _apart(corpus: Corpus, train: list[int], dev: list[int]) -> Split:
    """Take both parts; a question of the training part with the same words as a held-out one is dropped."""
    keys = [ids.tobytes() for ids in corpus.ids]
    held_out = {keys[i] for i in dev}
    kept = [i for i in train if keys[i] not in held_out]
    return Split(train=corpus.take(kept), dev=corpus.take(dev), duplicates=len(train) - len(kept))


def pack(sequences: Sequence[NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay questions out for reading them backwards, all ending in the last step.

    Returns
    -------
    ids
        int64 [steps, questions]: words last to first, zeros before them.
    alive
        bool [steps, questions]: where there is a word.
    """
    steps = max(len(ids) for ids in sequences)
    words = np.zeros((steps, len(sequences)), dtype=np.int64)
    alive = np.zeros((steps, len(sequences)), dtype=bool)
    for i, ids in enumerate(sequences):
        words[steps - len(ids) :, i] = ids[::-1]
        alive[steps - len(ids) :, i] = True
    return torch.from_numpy(words), torch.from_numpy(alive)


def batches(
    lengths: NDArray[np.int64], size: int, generator: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Deal questions of similar length into batches, in random order."""
    order = np.argsort(lengths + generator.uniform(0, _LENGTH_NOISE, len(lengths)))
    dealt = [order[i : i + size] for i in range(0, len(order), size)]
    for i in generator.permutation(len(dealt)):
        yield dealt[i]
