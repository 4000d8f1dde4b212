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
    tokenizer: bytes,
    texts: Sequence[str],
    note: Callable[[str], None],
    *,
    model_words_only: bool = False,
) -> dict[str, bytes]:
    """Compile a model's tokenizer into a lookup, and check the lookup against the tokenizers library.

    Parameters
    ----------
    tokenizer
        The bytes of the model's tokenizer.json.
    texts
        Questions like those that the model will answer.
    note
        Called with one line of progress, or with the reason why there is no lookup.
    model_words_only
        See `read_tokenizer`.

    Returns
    -------
    dict
        File name to file content; empty if the tokenizer cannot be compiled.

    """
    note("compiling the tokenizer")
    try:
        lookup = compile_tokenizer(tokenizer, model_words_only=model_words_only)
        check_against_library(lookup, tokenizer, texts, model_words_only=model_words_only)
    except CannotCompileError as e:
        note(f"no lookup, so answering with this model needs spikewatch[tokenizers]: {e}")
        return {}
    return {LOOKUP_FILE: lookup.to_bytes()}
