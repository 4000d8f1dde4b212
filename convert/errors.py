"""Errors of the converter: one base, one subclass for each cause."""

from __future__ import annotations

__all__ = ["ConstraintError", "ConvertError", "DataError", "ModelFileError", "TrainingError"]


class ConvertError(Exception):
    """Something that the user gave cannot be converted, trained on or published."""


class DataError(ConvertError):
    """A file of questions or of word vectors cannot be read."""


class TrainingError(ConvertError):
    """The data, the settings or the state of the training do not allow a model."""


class ModelFileError(ConvertError):
    """The ONNX file cannot be read, or holds a network that is not supported."""


class ConstraintError(ConvertError):
    """The network cannot be brought under the limits of one core."""
