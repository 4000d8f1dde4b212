"""Cross-validate the whole pipeline: train without a fold, convert, answer the fold on the simulated core."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import TrainingError
from ..evaluation.tables import table
from ..progress import OnProgress, silent
from ..words.question_files import AS_USUAL
from .corpus import split_folds
from .held_out import train_and_evaluate
from .inputs import read_inputs
from .run import check_out
from .settings import TrainingSettings
from .validation import Fold, read_folds, recipe, summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ...simcore.question_files import ReadOptions
    from .corpus import Split
    from .inputs import TrainingInputs

__all__ = ["FOLD_SEED", "Validation", "cross_validate"]

FOLD_SEED: Final = 2016
"""Seed of the permutation that is cut into folds."""

_LINES: Final = "folds.jsonl"
_SUMMARY: Final = "cross-validation.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """A finished cross-validation.

    Attributes
    ----------
    file
        The summary that was written.
    summary
        Its content, see `validation.summary`.
    """

    file: Path
    summary: dict[str, Any]

    def __str__(self) -> str:
        found = self.summary
        rows = [
            [
                stage,
                f"{figures['mean']:.2%}",
                "-" if figures["sd"] is None else f"{figures['sd']:.2%}",
                *[f"{value:.2%}" for value in figures["seeds"]],
            ]
            for stage, figures in found["stages"].items()
        ]
        head = ["stage", "mean", "sd over seeds", *[f"seed {seed}" for seed in found["seeds"]]]
        lines = [
            f"{found['folds']} folds, {len(found['seeds'])} seeds, {found['questions']} questions",
            "",
            *table(head, rows),
        ]
        return "\n".join(lines)


def cross_validate(
    data: Path,
    vectors: Path,
    out: Path,
    *,
    wordnet: Path | None = None,
    folds: int = 5,
    seeds: int = 3,
    settings: TrainingSettings | None = None,
    fine: bool = False,
    reading: ReadOptions = AS_USUAL,
    progress: OnProgress = silent,
    note: Callable[[str], None] = lambda _: None,
) -> Validation:
    """For each seed and fold, train and convert a network without the fold, and evaluate it on the fold.

    Every finished fold is one line of `folds.jsonl`, so a stopped run resumes after the last finished fold.

    Parameters
    ----------
    data, vectors, wordnet, settings, fine, reading
        See `train`.
    out
        Folder for `folds.jsonl` and `cross-validation.json`; created if it is missing.
    folds, seeds
        Number of folds (always cut in the same way), and number of seeds (0, 1, ...).
    progress
        Called after every pass over the training questions.
    note
        Called with one line of text after every fold.

    Raises
    ------
    DataError
        If a file cannot be read.
    TrainingError
        If a setting is out of range, `out` holds a cross-validation of another recipe, or cannot be written.
    """
    if seeds < 1:
        raise TrainingError(f"seeds: {seeds}, must be at least 1")
    check_out(out)
    inputs = read_inputs(data, vectors, wordnet, fine=fine, reading=reading)
    settings = settings or TrainingSettings.for_classes(len(inputs.labels))
    settings.check_classes(len(inputs.labels))
    parts = list(split_folds(inputs.corpus, folds, FOLD_SEED))
    digest = recipe(inputs, settings, folds)
    found = read_folds(out / _LINES, digest)
    done = {(fold.seed, fold.fold) for fold in found}
    for seed in range(seeds):
        for number, part in enumerate(parts):
            if (seed, number) in done:
                continue
            fold = _one(inputs, part, settings, digest, seed, number, progress)
            found.append(fold)
            # the whole file again, because a rename is atomic and an append is not
            _write(out / _LINES, "".join(one.line() for one in found))
            note(f"seed {seed}, fold {number}: {_shown(fold)}, {fold.minutes:.1f} minutes")
    # an earlier run with more seeds may have written folds that this summary does not ask for
    chosen = [fold for fold in found if fold.seed < seeds]
    result = summary(chosen, folds, FOLD_SEED)
    _write(out / _SUMMARY, json.dumps(result, indent=2) + "\n")
    return Validation(file=out / _SUMMARY, summary=result)


def _one(
    inputs: TrainingInputs,
    part: Split,
    settings: TrainingSettings,
    digest: str,
    seed: int,
    number: int,
    progress: OnProgress,
) -> Fold:
    started = time.monotonic()
    rule = f"fold {number}"
    found = train_and_evaluate(inputs, part, settings, seed=seed, rule=rule, progress=progress)
    return Fold(
        recipe=digest,
        seed=seed,
        fold=number,
        questions=found.questions,
        stages=found.stages,
        minutes=round((time.monotonic() - started) / 60, 2),
    )


def _shown(fold: Fold) -> str:
    return ", ".join(f"{stage} {value:.1%}" for stage, value in fold.stages.items())


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as e:
        raise TrainingError(f"{path}: {e.strerror or e}") from None
