"""Distil a constrained network from its float network (needs torch)."""

from .loop import train_student
from .questions import judging_questions
from .schedule import Distilled, distil
from .settings import DistilSettings

__all__ = ["DistilSettings", "Distilled", "distil", "judging_questions", "train_student"]
