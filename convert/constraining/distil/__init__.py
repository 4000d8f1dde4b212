"""Distil a constrained network from its float network (needs torch)."""

from .loop import train_student
from .schedule import Distilled, distil
from .settings import DistilSettings

__all__ = ["DistilSettings", "Distilled", "distil", "train_student"]
