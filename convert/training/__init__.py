"""Train Elman networks whose weights and activities fit a core, with its spikes in the loop (needs torch)."""

from __future__ import annotations

from .command import train
from .cross_validation import Validation, cross_validate
from .run import FILES, TrainingReport
from .settings import TrainingSettings

__all__ = [
    "FILES",
    "TrainingReport",
    "TrainingSettings",
    "Validation",
    "cross_validate",
    "train",
]
