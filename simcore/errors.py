"""Errors of the simulator package."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 1000


class SimcoreError(Exception):
    """Base of everything that simcore refuses; its text is one line for the user."""

    def __str__(self) -> str:
        """Give the text; names that come out of hostile files can neither break the line nor drown it."""
        text = super().__str__()
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}..."
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class ImageError(SimcoreError):
    """A core image that breaks a limit of the chip, or a file that holds no valid image."""


class ModelError(SimcoreError):
    """Model files (encoder, tokenizer, labels) that do not fit each other or the core image."""


class InputError(SimcoreError):
    """Spikes or texts that the simulator cannot run."""
