"""Train on one part of the questions, convert the network, and evaluate the core on the other part."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TrainingError
from ..publishing.conversion import convert
from ..publishing.inputs import MIN_CALIBRATION
from ..publishing.source import Source
from .run import CALIBRATION_FILE, DEV_FILE, train_on

if TYPE_CHECKING:
    from ..progress import OnProgress
    from .corpus import Split
    from .inputs import TrainingInputs
    from .settings import TrainingSettings

__all__ = ["HeldOutResult", "train_and_evaluate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutResult:
    """Accuracy on held-out questions.

    Attributes
    ----------
    questions
        Number of held-out questions.
    stages
        Share of right answers, 0..1, of the `teachers` (if any) and of each stage of the conversion;
        `spiking` is the simulated core with its own readout.
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
    """Train on the training part, convert as `publish` does, and evaluate on the dev part.

    Parameters
    ----------
    inputs, part, settings, seed, progress
        See `run.train_on`.
    rule
        Description of the split, for messages.

    Raises
    ------
    TrainingError
        If a part has too few questions.
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
        # The trained network is already on the core's grid, so distilling would gain nothing.
        evaluation = convert(source, title=rule, recipe="closed-form").evaluation
    taught = {k: v for k, v in report.accuracies.items() if k == "teachers"}
    return HeldOutResult(
        questions=evaluation["questions"],
        stages=taught | {k: v["accuracy"] for k, v in evaluation["stages"].items()},
    )
