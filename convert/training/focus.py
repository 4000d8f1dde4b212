"""Find the focus of a question, the word that names what it asks for: `city` in `What is the oldest city in Spain?`.

Huang, Thint and Qin, Question Classification using Head Words and their Hypernyms, EMNLP 2008, find it by
parsing; here it is the last word of the first run of nouns after the question word, found from the words alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["OPENINGS", "Focus"]

OPENINGS: Final = 3
"""Number of kinds of questions: those that begin with `what`, those that begin with `who`, and all others."""

_VERBS: Final = (
    "is are was were be 's 're do does did has have had can could will would shall should may might must"
    " 'd"
)
_OTHERS: Final = (
    "what which who whom whose when where why how been being am 've 'll 'm ca wo n't the a an this that"
    " these those of in on at by for from to with as into onto about between among during than and or"
    " but if not no it its he she they them his her their you your we our i my me him us there here many"
    " much long far often old tall big high some any all most more <unk> <number> <year> so such very"
    " only also up out off over under after before since until against without within per through"
)
_VERB_WORDS: Final = frozenset(_VERBS.split())
_FUNCTION_WORDS: Final = _VERB_WORDS | frozenset(_OTHERS.split())
_ASKING: Final = (
    ("what", "which", "whose"),
    ("who",),
    ("how", "when", "where", "why"),
)
"""Question words in groups: the search starts after a word of the first group that occurs in the question."""

_ORDERS: Final = (
    "name",
    "define",
    "identify",
    "tell",
)  # count only as the first word: `Name a city in Spain`
_KIND_OF: Final = (
    "type",
    "types",
    "kind",
    "kinds",
    "sort",
    "name",
    "names",
    "form",
    "part",
    "number",
)
_LONGEST_RUN: Final = 4  # words
_TRIES: Final = 3  # runs of nouns that are looked at


class Focus:
    """Find the focus of questions.

    Parameters
    ----------
    words
        The vocabulary, by word id.
    nouns
        bool [vocabulary]: which words can be nouns.
    """

    def __init__(self, words: Sequence[str], nouns: NDArray[np.bool_]) -> None:
        self._words = words
        function = np.array([word in _FUNCTION_WORDS for word in words])
        self._function = function
        self._nouns = nouns & ~function
        ids = {word: i for i, word in enumerate(words)}
        self._what, self._who = ids.get("what", -1), ids.get("who", -1)

    def find(self, ids: Sequence[int]) -> int:
        """Return the position of the focus in a question's word ids, or -1 if it has none."""
        words = [self._words[i] for i in ids]
        asking = self._asking(words)
        place = asking + 1
        for _ in range(_TRIES):
            while place < len(ids) and self._function[ids[place]]:
                place += 1
            if place == len(ids):
                return -1
            end = place
            while self._run_goes_on(ids, place, end):
                end += 1
            after = words[end + 1 : end + 2]
            # `What is Spain's capital?` asks for the capital, so skip the owner.
            owner = after == ["'s"] and words[asking + 1] in _VERB_WORDS
            if not owner and not (after == ["of"] and words[end] in _KIND_OF):
                return end
            place = end + 2
        return -1

    def places(self, ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Return the row of the focus in packed questions (see `corpus.pack`), int64 [questions]; -1 for none."""
        last = len(ids) - 1
        starts = alive.int().argmax(dim=0).tolist()
        columns = zip(ids.t().tolist(), starts, strict=True)
        found = [self.find(column[start:][::-1]) for column, start in columns]
        return torch.tensor([-1 if place < 0 else last - place for place in found])

    def openings(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the kind of each packed question, int64 [questions], 0..OPENINGS-1."""
        first = ids[-1]
        return torch.where(first == self._what, 0, torch.where(first == self._who, 1, 2))

    def _asking(self, words: Sequence[str]) -> int:
        """Return the position of the question word, or -1 (before the first word) if there is none."""
        for n, group in enumerate(_ASKING):
            if n == 1 and words[0] in _ORDERS:
                return 0
            for i, word in enumerate(words):
                if word in group:
                    return i
        return -1

    def _run_goes_on(self, ids: Sequence[int], start: int, end: int) -> bool:
        longest = min(len(ids), start + _LONGEST_RUN)
        return end + 1 < longest and bool(self._nouns[ids[end + 1]])
