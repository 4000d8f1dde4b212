"""Define the errors of the converter: one base, one subclass for each cause."""

from __future__ import annotations

__all__ = ["ConstraintError", "ConvertError", "DataError", "ModelFileError", "TrainingError"]


class ConvertError(Exception):
    """Base of all errors that the user's input can cause in training, conversion or publishing."""


class DataError(ConvertError):
    """A file of questions or of word vectors cannot be read."""


class TrainingError(ConvertError):
    """Training cannot run with this data, these settings or this output folder."""


class ModelFileError(ConvertError):
    """The ONNX file cannot be read, or holds a network that is not supported."""


class ConstraintError(ConvertError):
    """The network cannot be made to fit the limits of the core."""
