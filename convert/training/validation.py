"""What a cross-validation found: one line for every fold and seed, and their summary."""

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

__all__ = ["Fold", "read_folds", "read_validation", "recipe", "summary"]

_UNRELATED: Final = {"dev", "dev_seed"}  # settings that a cross-validation does not use


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """One network, trained without a fold and published, and how it answered the fold.

    Attributes
    ----------
    recipe
        See `recipe`.
    seed, fold
        Of the training; number of the fold that was held out.
    questions
        Held out.
    stages
        Share answered rightly, 0..1: by the `teachers`, then stage by stage as `publish` counts;
        `spiking` is the simulated core with its own readout.
    minutes
        Of training and publishing.
    """

    recipe: str
    seed: int
    fold: int
    questions: int
    stages: dict[str, float]
    minutes: float

    def line(self) -> str:
        """Write it as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def recipe(inputs: TrainingInputs, settings: TrainingSettings, folds: int) -> str:
    """Digest what decides the result beside the seed: files, settings and folds."""
    chosen = {k: v for k, v in asdict(settings).items() if k not in _UNRELATED}
    facts = json.dumps([inputs.sources, chosen, folds], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def read_folds(path: Path, expected: str) -> list[Fold]:
    """Read the lines that an earlier run wrote; a missing file has none.

    Raises
    ------
    TrainingError
        The file or a line cannot be read, or a line is of another recipe.
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
                f"{path}:{number}: recipe {fold.recipe}, this one is {expected}: other files, settings"
                " or folds; choose another folder"
            )
        found.append(fold)
    return found


def summary(found: Sequence[Fold], folds: int, fold_seed: int) -> dict[str, Any]:
    """Bring the folds together.

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


def read_validation(
    path: Path, inputs: TrainingInputs, settings: TrainingSettings
) -> dict[str, Any]:
    """Read a summary, and refuse that of another recipe.

    Raises
    ------
    TrainingError
        It cannot be read, or other files or settings were validated.
    """
    try:
        found = json.loads(path.read_text())
        expected = recipe(inputs, settings, int(found["folds"]))
        validated = found["recipe"]
    except OSError as e:
        raise TrainingError(f"{path}: {e.strerror or e}") from None
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise TrainingError(f"{path}: not the summary of a cross-validation") from None
    if validated != expected:
        raise TrainingError(f"{path}: of recipe {validated}, this one is {expected}")
    result: dict[str, Any] = found
    return result
