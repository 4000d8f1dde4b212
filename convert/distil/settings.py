"""Settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DistilSettings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilSettings:
    """Everything that decides a distilled network beside the float network, its start and the questions.

    Attributes
    ----------
    epochs, rate
        Passes over the calibration questions with 16 weight levels and 16 activity levels, and their peak learning
        rate.
    spiking_epochs, spiking_rate
        Passes after that with the spikes in the loop.
    batch
        Questions in one step of the optimiser.
    replaced, share
        Share of the questions that are changed in a pass, and of their words that are replaced.
    average
        Decay of the running mean of the weights over the spiking epochs; the mean is the result.
    label_weight
        Share of the true labels in the targets, where there are labels.
    seed
        Seed of everything random.

    """

    epochs: int = 24
    rate: float = 5e-3
    spiking_epochs: int = 12
    spiking_rate: float = 2e-3
    batch: int = 64
    replaced: float = 0.5
    share: float = 0.2
    every: float = 0.5
    average: float = 0.98
    label_weight: float = 0.5
    seed: int = 0
