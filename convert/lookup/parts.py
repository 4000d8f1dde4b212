"""Texts on which a model of parts of words (WordPiece, Unigram, BPE) may go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore.text.lookup_format import BYTE_LEVEL, BYTES
from .probing import as_text, characters
from .subwords import as_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...simcore.text.lookup import Lookup

_JOINED: Final = 1500
_REPEATED: Final = 40
_NOISE: Final = 300
_TIMES: Final = (2, 3, 15, 16, 17, 31, 32, 33, 34, 65)
"""How often the same word follows itself; BPE merges up to 32 parts in one way, and more in another."""

_LONGEST_PIECE: Final = 10_000
"""Longest piece in characters for which the limit of WordPiece is tried."""


def subword_texts(lookup: Lookup, vocabulary: Sequence[str], seed: int = 0) -> list[str]:
    """Return texts of joined, cut and repeated words of the vocabulary, of noise, and of pieces as long as is allowed.

    Parameters
    ----------
    lookup
        The lookup to test.
    vocabulary
        The words of its tokenizer.
    seed
        Of the random choices.

    Returns
    -------
    list of str
        Empty if each piece is one word.

    """
    if lookup.subwords is None:
        return []
    rng = np.random.default_rng(seed)
    words = sorted(vocabulary)
    if lookup.subwords.settings[2] & BYTE_LEVEL or (lookup.steps[:, 0] == BYTES).any():
        words = [(as_bytes(word) or word.encode()).decode(errors="ignore") for word in words]
    words = [word for word in words if word] or ["a"]
    texts = [_joined(words, rng) for _ in range(_JOINED)]
    some = [words[k] for k in rng.integers(0, len(words), _REPEATED)]
    texts += [word * times for word in some for times in _TIMES]
    texts += [as_text(rng.choice(characters(), int(rng.integers(1, 60)))) for _ in range(_NOISE)]
    most = int(lookup.subwords.settings[1])
    if 0 < most <= _LONGEST_PIECE:
        texts += [
            c * (most + more) for c in ("a", "\u00e9", "\u4e2d", *some[:3]) for more in (-1, 0, 1)
        ]
    return texts


def _joined(words: Sequence[str], rng: np.random.Generator) -> str:
    """Join a few words, cut the result somewhere, and sometimes put another character into it."""
    text = "".join(words[k] for k in rng.integers(0, len(words), int(rng.integers(1, 7))))
    text = text[: int(rng.integers(1, len(text) + 1))]
    if rng.random() < 0.2:
        at = int(rng.integers(0, len(text) + 1))
        text = text[:at] + as_text(rng.choice(characters(), 1)) + text[at:]
    return text
