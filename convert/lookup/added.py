"""Compile added tokens: words that a tokenizer finds in the text before its model sees the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore.text.lookup_format import (
    LENGTHS,
    LONGEST_ADDED,
    LSTRIP,
    NORMALIZED,
    RSTRIP,
    SINGLE_WORD,
)
from .errors import CannotCompileError
from .probing import SPACE, members

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


def added_tables(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the added tokens of a tokenizer as attributes of a `Lookup`.

    Raises
    ------
    CannotCompileError
        If a lookup cannot find them as the library does; the message names the token.

    """
    found = sorted(
        (_flags(token) & NORMALIZED, [*map(ord, _spelled(tokenizer, token))], i, token)
        for i, token in tokenizer.get_added_tokens_decoder().items()
    )
    if len(found) > LENGTHS["added tokens"]:
        raise CannotCompileError(
            f"it has {len(found)} added tokens, limit {LENGTHS['added tokens']}"
        )
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for when, points, _, token in found:
        if not points:
            raise CannotCompileError(f"added token {token.content!r} is empty once normalized")
        if len(points) > LONGEST_ADDED:
            raise CannotCompileError(
                f"an added token has {len(points)} characters, limit {LONGEST_ADDED}"
            )
        if (when, tuple(points)) in seen:
            raise CannotCompileError(f"two added tokens read {token.content!r} once normalized")
        seen.add((when, tuple(points)))
    _check_blanks([(points, token) for _, points, _, token in found])
    return {
        "added_text": np.array([c for _, points, *_ in found for c in points], np.int32),
        "added_ends": np.cumsum([len(points) for _, points, *_ in found], dtype=np.int32),
        "added_ids": np.array([i for _, _, i, _ in found], np.int32),
        "added_flags": np.array([_flags(token) for *_, token in found], np.uint8),
    }


def _flags(token: AddedToken) -> int:
    return (
        SINGLE_WORD * token.single_word
        | LSTRIP * token.lstrip
        | RSTRIP * token.rstrip
        | NORMALIZED * token.normalized
    )


def _spelled(tokenizer: Tokenizer, token: AddedToken) -> str:
    """Return the text that the library looks for."""
    if token.normalized and tokenizer.normalizer is not None:
        spelled: str = tokenizer.normalizer.normalize_str(token.content)
        return spelled
    content: str = token.content
    return content


def _check_blanks(tokens: list[tuple[list[int], AddedToken]]) -> None:
    """Refuse tokens of which one takes blanks along that are another's: the library then fails on some texts."""
    if not any(token.rstrip for _, token in tokens):
        return
    for points, token in tokens:
        if token.lstrip and members(SPACE)[points[0]]:
            raise CannotCompileError(
                f"added token {token.content!r} begins with white space and strips it"
            )
