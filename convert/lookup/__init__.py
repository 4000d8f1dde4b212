"""Compile a tokenizer into the lookup of a published model (simcore/lookup.py)."""

from __future__ import annotations

from .check import check
from .compiler import compile_tokenizer
from .errors import CannotCompileError

__all__ = ["CannotCompileError", "check", "compile_tokenizer"]
