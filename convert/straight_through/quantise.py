"""Straight-through estimators (Bengio, Leonard and Courville 2013): round forward, pass the gradient on backward.

The result is the detached rounded value plus a difference that is exactly zero, so it is on the grid to the last bit;
adding a detached rounding error to the value instead would round once more.
"""

from __future__ import annotations

import torch

from ..network.constrained import T

__all__ = ["round_activities", "round_weights"]


def round_weights(weights: torch.Tensor, scale: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Round weights to integers low..high in units of `scale`."""
    bounded = torch.clamp(weights / scale, low, high)
    return torch.round(bounded).detach() + (bounded - bounded.detach())


def round_activities(rates: torch.Tensor) -> torch.Tensor:
    """Round rates in 0..1 to the nearest activity 0..15, in units of full activity; half goes up."""
    rounded = torch.floor(rates * T + 0.5) / T
    return rounded.detach() + (rates - rates.detach())
