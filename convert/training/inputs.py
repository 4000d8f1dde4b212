"""Read the inputs of a training run: labelled questions as word ids, word vectors and WordNet features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TrainingError
from ..words.question_files import AS_USUAL, read_questions
from ..words.tokenizer import build_tokenizer
from ..words.vectors import WordTable, read_vectors
from ..words.wordnet import FILES as WORDNET_FILES
from ..words.wordnet import read_wordnet
from .corpus import Corpus, class_names, encode
from .focus import Focus

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from ...simcore.question_files import ReadOptions
    from .corpus import Split

__all__ = ["TrainingInputs", "read_inputs"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingInputs:
    """The parsed files of a training run.

    Attributes
    ----------
    tokenizer
        Maps raw text to word ids.
    table
        Vectors of the words: components of the vector file, then those of WordNet.
    focus
        Finds the focus of a question.
    labels
        Class names in order of the outputs.
    corpus
        All questions that contain a word.
    sources
        Name (without its folder) and SHA-256 of each file, for `training.json`.
    """

    tokenizer: Tokenizer
    table: WordTable
    focus: Focus
    labels: tuple[str, ...]
    corpus: Corpus
    sources: dict[str, Any]

    def check(self, parts: Split) -> None:
        """Check that the training part has questions of every class.

        Raises
        ------
        TrainingError
            If it has none of some class; the message names the classes.
        """
        missing = set(range(len(self.labels))) - set(parts.train.labels.tolist())
        if missing:
            names = ", ".join(self.labels[i] for i in sorted(missing))
            file = self.sources["data"]["file"]
            raise TrainingError(f"{file}: the training part has no question of class {names}")


def read_inputs(
    data: Path,
    vectors: Path,
    wordnet: Path | None,
    *,
    fine: bool,
    reading: ReadOptions = AS_USUAL,
) -> TrainingInputs:
    """Read the files of a training run.

    Parameters
    ----------
    data, vectors, wordnet, fine, reading
        See `train`.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    questions = read_questions(data, labelled=True, fine=fine, reading=reading)
    tokenizer, table = build_tokenizer(read_vectors(vectors))
    sources: dict[str, Any] = {
        "data": {"file": data.name, "sha256": _sha256(data), "fine": fine},
        "vectors": {"file": vectors.name, "sha256": _sha256(vectors)},
    }
    ids = tokenizer.get_vocab()
    words = sorted(ids, key=ids.__getitem__)
    nouns = np.ones(len(words), dtype=np.bool_)
    if wordnet is not None:
        dictionary = read_wordnet(wordnet)
        table = _joined(table, dictionary.features(words))
        nouns = np.array([dictionary.is_noun(word) for word in words])
        sources["wordnet"] = {"sha256": _sha256(*(wordnet / name for name in WORDNET_FILES))}
    return TrainingInputs(
        tokenizer=tokenizer,
        table=table,
        focus=Focus(words, nouns),
        labels=class_names(questions),
        corpus=encode(
            questions,
            read_questions(data, labelled=True, fine=True, reading=reading),
            tokenizer,
        ),
        sources=sources,
    )


def _joined(table: WordTable, features: np.ndarray) -> WordTable:
    """Append features to the vectors, both scaled to standard deviation 1.

    Only words that have features get their own rows; the others still share rows.
    """
    vectors = table.matrix / max(table.matrix.std(), 1e-6)
    described = np.flatnonzero(features.any(axis=1))
    rows = table.rows.copy()
    rows[described] = len(vectors) + np.arange(len(described), dtype=np.int32)
    # words without features keep their shared row, with zeros for the features
    plain = np.pad(vectors, ((0, 0), (0, features.shape[1])))
    own = np.concatenate([vectors[table.rows[described]], features[described]], axis=1)
    return WordTable(rows=rows, matrix=np.concatenate([plain, own]))


def _sha256(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
