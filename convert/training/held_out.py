"""A network trained on one part of the questions, put on a core, and counted on the other part."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TrainingError
from ..publishing.conversion import MIN_CALIBRATION, Source, convert
from .run import CALIBRATION_FILE, DEV_FILE, train_on

if TYPE_CHECKING:
    from .corpus import Split
    from .inputs import TrainingInputs
    from .progress import OnProgress
    from .settings import TrainingSettings

__all__ = ["HeldOutResult", "train_and_evaluate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutResult:
    """Answers to the held-out part.

    Attributes
    ----------
    questions
        Questions held out.
    stages
        Share of them answered rightly, 0..1, by the teachers (where there were any) and by each stage of
        the conversion; `spiking` is the simulated core with its own readout.
    """

    questions: int
    stages: dict[str, float]


def train_and_evaluate(
    inputs: TrainingInputs,
    part: Split,
    settings: TrainingSettings,
    *,
    seed: int,
    rule: str,
    progress: OnProgress,
) -> HeldOutResult:
    """Train on one part, convert as `publish` does, and answer the other part.

    Parameters
    ----------
    inputs, part, settings, seed, progress
        See `run.train_on`.
    rule
        How the split was made.

    Raises
    ------
    TrainingError
        A part holds too few questions.
    """
    if len(part.train) < MIN_CALIBRATION or not len(part.dev):
        raise TrainingError(
            f"{rule}: {len(part.train)} questions to train on and {len(part.dev)} held out, at least"
            f" {MIN_CALIBRATION} and 1 are needed"
        )
    with tempfile.TemporaryDirectory(prefix="spikewatch-counted-") as folder:
        out = Path(folder)
        report = train_on(
            inputs, part, out, seed=seed, settings=settings, rule=rule, progress=progress
        )
        source = Source(
            model=out / "model.onnx",
            tokenizer=out / "tokenizer.json",
            labels=out / "labels.json",
            calibrate=out / CALIBRATION_FILE,
            evaluate=out / DEV_FILE,
        )
        # The network lies on the core's grid already: there is nothing to distil.
        evaluation = convert(source, title=rule, recipe="closed-form").evaluation
    taught = {k: v for k, v in report.accuracies.items() if k == "teachers"}
    return HeldOutResult(
        questions=evaluation["questions"],
        stages=taught | {k: v["accuracy"] for k, v in evaluation["stages"].items()},
    )
