"""Simulate TrueNorth cores bit for bit, and classify questions on them (needs nothing else of spikewatch)."""

from __future__ import annotations

from .classifier import Classifier
from .coding import MAX_WORDS, Coding
from .encoder import Encoder
from .errors import ImageError, InputError, ModelError, SimcoreError
from .image import CoreImage, blank
from .power import METHODS, Energy, estimate
from .questions import NO_WORDS, TOO_LONG, Answers, QuestionCore, spike_pattern
from .run import Outcome, Simulator, pack_lines

__all__ = [
    "MAX_WORDS",
    "METHODS",
    "NO_WORDS",
    "TOO_LONG",
    "Answers",
    "Classifier",
    "Coding",
    "CoreImage",
    "Encoder",
    "Energy",
    "ImageError",
    "InputError",
    "ModelError",
    "Outcome",
    "QuestionCore",
    "SimcoreError",
    "Simulator",
    "blank",
    "estimate",
    "pack_lines",
    "spike_pattern",
]
