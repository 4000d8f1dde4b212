"""Simulate TrueNorth cores bit for bit, and classify questions on them (needs nothing else of spikewatch)."""

from __future__ import annotations

from .chip.outcome import Outcome
from .chip.simulator import Simulator, pack_lines
from .classifier import Classifier
from .coding import Coding
from .course import Course, follow
from .encoder import Encoder
from .errors import ImageError, InputError, ModelError, SimcoreError
from .head import HostHead
from .image import CoreImage, blank
from .limits import MAX_WORDS
from .power import Energy, estimate
from .questions import NO_WORDS, NOT_SPLIT, TOO_LONG, UNKNOWN_WORD, Answers, QuestionCore

__all__ = [
    "MAX_WORDS",
    "NOT_SPLIT",
    "NO_WORDS",
    "TOO_LONG",
    "UNKNOWN_WORD",
    "Answers",
    "Classifier",
    "Coding",
    "CoreImage",
    "Course",
    "Encoder",
    "Energy",
    "HostHead",
    "ImageError",
    "InputError",
    "ModelError",
    "Outcome",
    "QuestionCore",
    "SimcoreError",
    "Simulator",
    "blank",
    "estimate",
    "follow",
    "pack_lines",
]
