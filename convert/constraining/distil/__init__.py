"""Distilling constrained networks from float ones; needs torch."""

from .loop import distil
from .schedule import Taught, teach
from .settings import DistilSettings

__all__ = ["DistilSettings", "Taught", "distil", "teach"]
