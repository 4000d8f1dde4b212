"""What cannot be compiled."""

from __future__ import annotations

from ..errors import ConvertError


class CannotCompileError(ConvertError):
    """A tokenizer that has no lookup: it still runs by its library."""
