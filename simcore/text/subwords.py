"""The tables of the models that write a piece of text as parts of words: WordPiece, Unigram and BPE.

Each of them first looks for the whole piece among the words of the lookup, of which the first `whole` are pieces that
become exactly that word.  Otherwise:

- WordPiece takes the longest word that the piece begins with, then the longest word that the affix and the rest begin
  with, and so on.  A piece that cannot be covered so is unknown as a whole.
- Unigram takes the words with the highest sum of scores.
- BPE begins with a word for each character, and merges pairs of neighbours in the order in which they were learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ..encoder import MAX_WORDS_IN_TABLE
from .lookup_checks import check
from .lookup_format import BPE, BYTE_FALLBACK, BYTE_LEVEL, MAX_TRIE_BYTES, UNIGRAM, WORDPIECE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEEDED: Final = {
    WORDPIECE: {"settings", "affix"},
    UNIGRAM: {"settings", "scores"},
    BPE: {"settings", "letters", "pairs"},
}
_OPTIONAL: Final = {WORDPIECE: set[str](), UNIGRAM: {"byte_ids"}, BPE: {"byte_ids"}}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subwords:
    """The tables of a model of parts of words, beside the words.

    Attributes
    ----------
    settings : int32 (3,)
        How many words, from the first on, are pieces that become exactly that word; the most characters of a piece
        that is not unknown (WordPiece); flags.
    affix : uint8 (n,), optional
        What words that do not begin a piece begin with, in UTF-8 (WordPiece).
    scores : float64 (words + 1,), optional
        The score of each word, and that of an unknown character (Unigram).
    byte_ids : int32 (256,), optional
        The word of each byte, or -1: what an unknown character becomes or, with BYTE_LEVEL, every byte.
    letters : int32 (n, 5), optional
        Characters, and their words as the first, an inner, the last and the only one of a piece, or -1 (BPE).
    pairs : int32 (n, 3), optional
        Two words that merge, and the word that they make, in the order in which they were learnt (BPE).

    """

    settings: NDArray[np.int32]
    affix: NDArray[np.uint8] | None = None
    scores: NDArray[np.float64] | None = None
    byte_ids: NDArray[np.int32] | None = None
    letters: NDArray[np.int32] | None = None
    pairs: NDArray[np.int32] | None = None

    @classmethod
    def take(cls, tensors: dict[str, NDArray[Any]]) -> Self | None:
        """Remove the tensors of this class from a dict and return them; None if there are none."""
        found = {f.name: tensors.pop(f.name) for f in fields(cls) if f.name in tensors}
        check(not found or "settings" in found, "settings: missing")
        return cls(**found) if found else None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors by name, without those that it lacks."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @property
    def highest(self) -> int:
        """The highest word id in the tables; -1 if there is none."""
        tables = (self.byte_ids, None if self.letters is None else self.letters[:, 1:], self.pairs)
        return max((int(t.max(initial=-1)) for t in tables if t is not None), default=-1)

    def check(self, model: str, words: int, word_bytes: int) -> None:
        """Check all tables, with which the C code then cannot read outside of one.

        Parameters
        ----------
        model
            WORDPIECE, UNIGRAM or BPE.
        words, word_bytes
            Number of words of the lookup, and of their bytes.

        Raises
        ------
        ModelError
            A tensor is missing, not for this model, or has a value outside its range; the text names the tensor.

        """
        present = set(self.arrays)
        wrong = (_NEEDED[model] - present) | (present - _NEEDED[model] - _OPTIONAL[model])
        check(not wrong, f"{', '.join(sorted(wrong))}: missing or not for model {model}")
        whole, most, flags = self.settings.tolist()
        check(0 <= whole <= words, "settings: number of whole words")
        check(most >= 0, "settings: most characters")
        check(0 <= flags < 2 * BYTE_FALLBACK, "settings: flags")
        if flags & (BYTE_LEVEL | BYTE_FALLBACK):
            check(self.byte_ids is not None, "byte_ids: missing")
        check(not flags & BYTE_LEVEL or model == BPE, "settings: flags")
        if model != BPE:
            check(word_bytes <= MAX_TRIE_BYTES, f"word_bytes: {word_bytes}, limit {MAX_TRIE_BYTES}")
        if self.scores is not None:
            check(len(self.scores) == words + 1, "scores: not one for each word and one more")
            check(bool(np.isfinite(self.scores).all()), "scores: not finite")
        if self.byte_ids is not None:
            _check_ids(self.byte_ids, -1, "byte_ids")
        if self.letters is not None:
            _check_ids(self.letters[:, 1:], -1, "letters")
        if self.pairs is not None:
            _check_ids(self.pairs, 0, "pairs")


def _check_ids(ids: NDArray[np.int32], lowest: int, what: str) -> None:
    """Raise ModelError if a value is not a word id, or -1 where that is the lowest."""
    low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
    check(low >= lowest and high < MAX_WORDS_IN_TABLE, f"{what}: word ids")
