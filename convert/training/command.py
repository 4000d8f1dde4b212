"""Train as `spikewatch-convert train` does: read the files, split, optionally search, train, write the result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..errors import TrainingError
from ..progress import OnProgress, silent
from ..words.question_files import AS_USUAL
from .corpus import split
from .inputs import read_inputs
from .run import TrainingReport, check_out, train_on
from .search import best_split
from .settings import TrainingSettings
from .validation import check_validation, read_validation

if TYPE_CHECKING:
    from pathlib import Path

    from ...simcore.question_files import ReadOptions

__all__ = ["train"]

_SEED_MAX: Final = 2**63 - 1  # the largest seed that torch accepts


def train(
    data: Path,
    vectors: Path,
    out: Path,
    *,
    wordnet: Path | None = None,
    seed: int = 0,
    settings: TrainingSettings | None = None,
    dev: int | None = None,
    fine: bool = False,
    reading: ReadOptions = AS_USUAL,
    search: bool = False,
    validation: Path | None = None,
    progress: OnProgress = silent,
) -> TrainingReport:
    """Train an Elman network that fits one core, and write it as an ONNX model with its tokenizer.

    The same seed on the same machine with the same libraries gives the same model: everything runs on one
    thread. The dev split influences no choice; the network answers it once, at the end.

    Parameters
    ----------
    data
        Labelled questions (docs/question-files.md).
    vectors
        Word vectors (word2vec, fastText `.vec`, GloVe; see `words.vectors`).
    out
        Folder for the files; created if it is missing, written to only at the end.
    wordnet
        Folder of WordNet's files, for features of the words; None: word vectors alone.
    seed
        Seed of weights, order, augmentation and dropout, at least 0; the split has its own seed.
    settings
        Settings; None: the defaults for the number of classes, with which the bundled models were trained.
    dev
        Number of questions to hold out; None: as in the settings.
    fine
        Train on TREC's fine labels.
    reading
        Encoding of `data` and names of its columns.
    search
        Choose the numbers of inputs and hidden units by trials on a fifth of the training part (see
        `search.best_split`) instead of taking them from the settings.
    validation
        The `cross-validation.json` of the same recipe; its figures are copied into `training.json`.
    progress
        Called after every pass over the questions.

    Raises
    ------
    DataError
        If a file cannot be read.
    TrainingError
        If there are too few questions, a setting is out of range, the validation is of another recipe, or
        `out` cannot be written.
    """
    if not 0 <= seed <= _SEED_MAX:
        raise TrainingError(f"seed: {seed}, expected 0..{_SEED_MAX}")
    check_out(out)
    validated = None if validation is None else read_validation(validation)
    inputs = read_inputs(data, vectors, wordnet, fine=fine, reading=reading)
    settings = settings or TrainingSettings.for_classes(len(inputs.labels))
    if dev is not None:
        settings = replace(settings, dev=dev)
    settings.check_classes(len(inputs.labels))
    extra: dict[str, Any] = {}
    parts = split(inputs.corpus, settings.dev, settings.dev_seed)
    inputs.check(parts)
    if search:
        settings, extra["search"] = best_split(inputs, parts.train, settings, seed, progress)
        extra["selection"] = (
            "inputs and hidden units by the search below, on the training part; otherwise a fixed schedule"
        )
    if validation is not None and validated is not None:
        check_validation(validation, validated, inputs, settings)
        extra["cross_validation"] = validated
    rule = (
        f"numpy PCG64({settings.dev_seed}).permutation of the questions that hold a word; the first"
        f" {settings.dev} are the dev split; of the others, those with the same words as one of the"
        " dev split are dropped"
        if settings.dev
        else "none: every question that holds a word is trained on"
    )
    return train_on(
        inputs,
        parts,
        out,
        seed=seed,
        settings=settings,
        rule=rule,
        extra=extra,
        progress=progress,
    )
