"""Texts on which added tokens, truncation and padding may go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...simcore.text.lookup import Lookup

_TEXTS: Final = 1500
_CUTS: Final = 60

_LONGEST: Final = 4096
"""Longest text in words for which truncation and padding are tried."""

_BETWEEN: Final = (
    *(" ", "  ", "\t", "\n", "\u00a0", "\u3000", "\x1c", "\u200b"),
    *("a", "A", "\u00e9", "e\u0301", "\u0301", "\u4e2d", "_", "1", "\u00b2", ".", "<", "-", "\u00df"),
    *(" the name ", "What is ", " ?"),
)  # fmt: skip


def added_texts(lookup: Lookup, seed: int = 0) -> list[str]:
    """Return random texts of added tokens, parts of these, blanks and other characters; empty if it has no such token.

    Parameters
    ----------
    lookup
        The lookup to test.
    seed
        Of the random choices.

    """
    if not len(lookup.added_ids):
        return []
    rng = np.random.default_rng(seed)
    tokens = [
        "".join(map(chr, points.tolist()))
        for points in np.split(lookup.added_text, lookup.added_ends[:-1])
    ]
    texts = list(tokens)
    for _ in range(_TEXTS):
        # Few tokens per text, so that the same one often comes twice.
        some = [tokens[k] for k in rng.integers(0, len(tokens), 3)]
        parts = [
            _changed(some[int(rng.integers(3))], rng)
            if rng.random() < 0.5
            else _BETWEEN[int(rng.integers(len(_BETWEEN)))]
            for _ in range(int(rng.integers(1, 9)))
        ]
        texts.append("".join(parts))
    return texts


def _changed(token: str, rng: np.random.Generator) -> str:
    """Return a token, seldom in another case or only a part of it."""
    changes = (token.upper, token.lower, token.title)
    choice = int(rng.integers(10))
    if choice < len(changes):
        return changes[choice]()
    if choice == len(changes):
        return token[: int(rng.integers(len(token) + 1))]
    return token[int(rng.integers(len(token) + 1)) :] if choice == len(changes) + 1 else token


def long_texts(lookup: Lookup, texts: Sequence[str], seed: int = 0) -> list[str]:
    """Return texts of many lengths around those at which a text is cut or padded; empty if none is.

    Parameters
    ----------
    lookup
        The lookup to test.
    texts
        Texts to build them from.
    seed
        Of the random choices.

    """
    most = max(
        lookup.truncation.kept if lookup.truncation else 0,
        max(lookup.padding.length, lookup.padding.multiple) if lookup.padding else 0,
    )
    if not 0 < most <= _LONGEST:
        return []
    rng = np.random.default_rng(seed)
    words = " ".join(texts).split(" ") or ["a"]
    drawn = [words[k] for k in rng.integers(0, len(words), 2 * most + 2)]
    counts = [0, most - 1, most, most + 1, *rng.integers(0, len(drawn), _CUTS).tolist()]
    return [" ".join(drawn[:count]) for count in counts]
