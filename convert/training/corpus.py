"""Split, batch and augment the questions of a training run, as word ids."""

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

__all__ = ["Corpus", "Split", "batches", "class_names", "encode", "pack", "split", "split_folds"]

# Words added to lengths before sorting, so that batches differ between passes
_LENGTH_NOISE: Final = 2.5
_UNKNOWN_SHARE: Final = 0.02  # of all words become unknown, as the rare words of new questions are


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Corpus:
    """Labelled questions as word ids.

    Attributes
    ----------
    ids
        int64 word ids of each question; at least one per question.
    labels
        int64 [questions]: index of each question's class.
    fine
        int64 [questions]: index of the finest label in the data; the class itself if the data has no finer one.
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
        """Return the chosen questions, in the order of `chosen`."""
        return Corpus(
            ids=tuple(self.ids[i] for i in chosen),
            labels=self.labels[list(chosen)],
            fine=self.fine[list(chosen)],
            questions=tuple(self.questions[i] for i in chosen),
        )

    def word_counts(self, vocabulary: int) -> NDArray[np.int64]:
        """Return the number of occurrences of every word id, int64 [vocabulary]."""
        return np.bincount(np.concatenate(self.ids), minlength=vocabulary)

    def membership(self, classes: int) -> NDArray[np.float32]:
        """Return a float32 matrix [fine labels, classes]: 1 where a fine label belongs to a class, else 0.

        Fine labels without a question have a row of zeros.
        """
        membership = np.zeros((int(self.fine.max()) + 1, classes), dtype=np.float32)
        membership[self.fine, self.labels] = 1
        return membership

    def augmented(
        self, replace: float, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], ...]:
        """Return the questions with some words replaced by random ones, and a few by the unknown word.

        Replacements are drawn by the frequency of words in the corpus.

        Parameters
        ----------
        replace
            Largest share of a question's words to replace; each question's own share is drawn below it.
        """
        everything = np.concatenate(self.ids)
        lengths = [len(ids) for ids in self.ids]
        share = np.repeat(generator.uniform(0, replace, len(self.ids)), lengths)
        hit = generator.random(len(everything)) < share
        changed = np.where(hit, generator.choice(everything, len(everything)), everything)
        if replace:
            # 0 is the id of the unknown word
            changed[generator.random(len(everything)) < _UNKNOWN_SHARE] = 0
        return tuple(np.split(changed, np.cumsum(lengths)[:-1]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A training part and a dev part that share no word sequence.

    Attributes
    ----------
    train, dev
        The parts.
    duplicates
        Number of questions dropped from the training part because the dev part holds the same words.
    """

    train: Corpus
    dev: Corpus
    duplicates: int


def encode(questions: Sequence[Example], fine: Sequence[Example], tokenizer: Tokenizer) -> Corpus:
    """Tokenise labelled questions; questions without any word are left out.

    Parameters
    ----------
    questions, fine
        The same questions with the labels to learn, and with the finest labels in the data.
    tokenizer
        Maps texts to word ids.
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
    """Return the distinct labels, sorted; the position of a label is its class index."""
    return tuple(sorted({question.label or "" for question in questions}))


def _numbered(questions: Sequence[Example]) -> NDArray[np.int64]:
    index = {label: i for i, label in enumerate(class_names(questions))}
    return np.array([index[question.label or ""] for question in questions], dtype=np.int64)


def split(corpus: Corpus, dev: int, seed: int) -> Split:
    """Hold out the head of a seeded permutation (NumPy's PCG64) as the dev split; 0 holds out nothing.

    Raises
    ------
    TrainingError
        If there are fewer questions than twice the dev split.
    """
    if len(corpus) < 2 * dev:
        raise TrainingError(
            f"{len(corpus)} questions with words, at least {2 * dev} needed for a dev split of {dev}"
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(corpus)).tolist()
    return _apart(corpus, order[dev:], order[:dev])


def split_folds(corpus: Corpus, count: int, seed: int) -> Iterator[Split]:
    """Yield one split for each fold of a seeded permutation (NumPy's PCG64), with that fold held out.

    Raises
    ------
    TrainingError
        If there are fewer than two folds, or fewer questions than folds.
    """
    if not 2 <= count <= len(corpus):
        raise TrainingError(f"folds: {count}, expected 2..{len(corpus)}, the number of questions")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(corpus)).tolist()
    for fold in range(count):
        dev = order[fold::count]  # dealt out in turn, so that sizes differ by one at most
        yield _apart(corpus, [i for k, i in enumerate(order) if k % count != fold], dev)


def _apart(corpus: Corpus, train: list[int], dev: list[int]) -> Split:
    """Return both parts, without training questions that have the same words as a held-out one."""
    keys = [ids.tobytes() for ids in corpus.ids]
    held_out = {keys[i] for i in dev}
    kept = [i for i in train if keys[i] not in held_out]
    return Split(train=corpus.take(kept), dev=corpus.take(dev), duplicates=len(train) - len(kept))


def pack(sequences: Sequence[NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pack questions of any lengths into one array, last word first, aligned at the last step.

    Returns
    -------
    ids
        int64 [steps, questions]: words last to first, preceded by zeros.
    alive
        bool [steps, questions]: True where there is a word.
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
    """Yield batches of questions (indices) of similar length, in random order."""
    order = np.argsort(lengths + generator.uniform(0, _LENGTH_NOISE, len(lengths)))
    dealt = [order[i : i + size] for i in range(0, len(order), size)]
    for i in generator.permutation(len(dealt)):
        yield dealt[i]
