"""Store the results of a cross-validation: one line for each fold and seed, and a summary."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .inputs import TrainingInputs
    from .settings import TrainingSettings

__all__ = ["Fold", "check_validation", "read_folds", "read_validation", "recipe", "summary"]

_UNRELATED: Final = {"dev", "dev_seed"}  # settings that do not affect a cross-validation


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """Accuracy of one network, trained and converted without a fold, on that fold.

    Attributes
    ----------
    recipe
        See `recipe`.
    seed, fold
        Seed of the training; index of the held-out fold.
    questions
        Number of questions in the fold.
    stages
        Share of right answers, 0..1: of the `teachers`, then of each stage as `publish` counts;
        `spiking` is the simulated core with its own readout.
    minutes
        Wall-clock time of training and conversion.
    """

    recipe: str
    seed: int
    fold: int
    questions: int
    stages: dict[str, float]
    minutes: float

    def line(self) -> str:
        """Return the fold as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def recipe(inputs: TrainingInputs, settings: TrainingSettings, folds: int) -> str:
    """Return a digest of all that determines the result except the seed: files, settings and number of folds."""
    chosen = {k: v for k, v in asdict(settings).items() if k not in _UNRELATED}
    facts = json.dumps([inputs.sources, chosen, folds], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def read_folds(path: Path, expected: str) -> list[Fold]:
    """Read the folds that an earlier run wrote; a missing file counts as empty.

    Raises
    ------
    TrainingError
        If the file or a line cannot be read, or a line is of another recipe.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as e:
        raise TrainingError(f"{path}: {e}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            fold = Fold(**json.loads(line))
        except (TypeError, ValueError, RecursionError):
            raise TrainingError(f"{path}:{number}: not a line of a cross-validation") from None
        if fold.recipe != expected:
            raise TrainingError(
                f"{path}:{number}: recipe {fold.recipe}, but this run has {expected}: other files, settings"
                " or folds; choose another folder"
            )
        found.append(fold)
    return found


def summary(found: Sequence[Fold], folds: int, fold_seed: int) -> dict[str, Any]:
    """Summarise the folds.

    Returns
    -------
    dict
        `recipe`, `folds`, `fold_seed`, `seeds`, `questions` (of one seed) and `stages`
        {stage: {mean, sd, seeds}}: accuracy of one seed over all its folds, 0..1, its mean and its
        sample standard deviation over the seeds (None for a single one).
    """
    seeds = sorted({fold.seed for fold in found})
    stages: dict[str, Any] = {}
    for stage in found[0].stages:
        each = []
        for seed in seeds:
            own = [fold for fold in found if fold.seed == seed]
            # Folds differ in size by one question, so weigh their accuracies by it.
            right = sum(fold.stages[stage] * fold.questions for fold in own)
            each.append(right / sum(fold.questions for fold in own))
        stages[stage] = {
            "mean": round(float(np.mean(each)), 5),
            "sd": round(float(np.std(each, ddof=1)), 5) if len(each) > 1 else None,
            "seeds": [round(value, 5) for value in each],
        }
    return {
        "recipe": found[0].recipe,
        "folds": folds,
        "fold_seed": fold_seed,
        "seeds": seeds,
        "questions": sum(fold.questions for fold in found if fold.seed == seeds[0]),
        "stages": stages,
    }


def read_validation(path: Path) -> dict[str, Any]:
    """Read a summary.

    Raises
    ------
    TrainingError
        If the file cannot be read or is no such summary.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        int(found["folds"])
        str(found["recipe"])
    except OSError as e:
        raise TrainingError(f"{path}: {e.strerror or e}") from None
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise TrainingError(f"{path}: not the summary of a cross-validation") from None
    return found


def check_validation(
    path: Path, found: dict[str, Any], inputs: TrainingInputs, settings: TrainingSettings
) -> None:
    """Check that a summary, read from a path, is of a training with these files and settings.

    Raises
    ------
    TrainingError
        If other files or settings were validated.
    """
    expected = recipe(inputs, settings, int(found["folds"]))
    if found["recipe"] != expected:
        raise TrainingError(f"{path}: of recipe {found['recipe']}, but this run has {expected}")
