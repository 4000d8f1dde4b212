"""Distilling constrained networks from float ones; needs torch."""

from .loop import distil
from .settings import DistilSettings

__all__ = ["DistilSettings", "distil"]
