"""The error of the tokenizer compiler."""

from __future__ import annotations

from ..errors import ConvertError


class CannotCompileError(ConvertError):
    """A tokenizer cannot be compiled into a lookup; the tokenizers library can still run it."""
