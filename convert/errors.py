"""Errors of the converter: a base class, and a subclass for each cause."""

from __future__ import annotations

__all__ = [
    "ConstraintError",
    "ConvertError",
    "DataError",
    "ModelFileError",
    "ProofError",
    "TrainingError",
]


class ConvertError(Exception):
    """A file or option that the user gave cannot be converted, trained on, evaluated or published."""


class DataError(ConvertError):
    """A file of questions or of word vectors cannot be read."""


class TrainingError(ConvertError):
    """The data, the settings or the output folder do not allow a training."""


class ModelFileError(ConvertError):
    """The ONNX file cannot be read, or its network is not supported."""


class ProofError(ModelFileError):
    """The network as read from an ONNX file answers otherwise than the file."""


class ConstraintError(ConvertError):
    """The network exceeds the limits of a core."""
