"""Straight-through estimators: the core's grids forward, the identity's gradient backward.

The detached grid value is added to a difference that is exactly zero, so that what goes forward lies
on the grid to the last bit.
"""

from __future__ import annotations

import torch

from ..network.constrained import T

__all__ = ["activities", "levels"]


def levels(weights: torch.Tensor, scale: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Round weights to integers low..high in units of their scale."""
    bounded = torch.clamp(weights / scale, low, high)
    return torch.round(bounded).detach() + (bounded - bounded.detach())


def activities(rates: torch.Tensor) -> torch.Tensor:
    """Round rates in 0..1 to the nearest activity 0..15, in units of full activity; half goes up."""
    rounded = torch.floor(rates * T + 0.5) / T
    return rounded.detach() + (rates - rates.detach())
