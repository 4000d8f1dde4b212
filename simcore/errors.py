"""Errors of the simulator package."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 1000
"""Most characters of an error text."""


class SimcoreError(Exception):
    """Base of all errors that simcore raises for bad input; the text is one line for the user."""

    def __str__(self) -> str:
        """Return the text, cut to a limit and escaped, so that a name from a hostile file cannot break the line."""
        text = super().__str__()
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}..."
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class ImageError(SimcoreError):
    """A core image breaks a limit of the chip, or a file is not a valid image."""


class ModelError(SimcoreError):
    """Model files (encoder, tokenizer, labels) are invalid, or do not fit each other or the core image."""


class InputError(SimcoreError):
    """The simulator cannot run these spikes or texts."""
