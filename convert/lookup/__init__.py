"""Compile a tokenizer into the lookup of a published model (simcore/text/lookup.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...simcore.text.splitting import LOOKUP_FILE
from .compiler import compile_tokenizer
from .conformance import check_against_library
from .errors import CannotCompileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["CannotCompileError", "check_against_library", "compile_tokenizer", "lookup_file"]


def lookup_file(
    tokenizer: bytes, texts: Sequence[str], note: Callable[[str], None]
) -> dict[str, bytes]:
    """Make the lookup of a model, and hold it to the library.

    Parameters
    ----------
    tokenizer
        The bytes of its tokenizer.json.
    texts
        Questions as they will come.
    note
        Called with one line: what is done, or why there is no lookup.

    Returns
    -------
    dict
        The file by its name; empty where the tokenizer cannot be compiled.

    """
    note("compiling the tokenizer")
    try:
        lookup = compile_tokenizer(tokenizer)
        check_against_library(lookup, tokenizer, texts)
    except CannotCompileError as e:
        note(f"the model gets no lookup, so it needs spikewatch[tokenizers] to answer: {e}")
        return {}
    return {LOOKUP_FILE: lookup.to_bytes()}
