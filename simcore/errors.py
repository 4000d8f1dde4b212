"""Errors of the simulator package."""

from __future__ import annotations


class SimcoreError(Exception):
    """Base of everything that simcore refuses; its text is one line for the user."""


class ImageError(SimcoreError):
    """A core image that breaks a limit of the chip, or a file that holds no valid image."""


class ModelError(SimcoreError):
    """Model files (encoder, tokenizer, labels) that do not fit each other or the core image."""


class InputError(SimcoreError):
    """Spikes or texts that the simulator cannot run."""
