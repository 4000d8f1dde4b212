"""The word that says what a question asks for: `city` of `What is the oldest city in Spain?`.

Huang, Thint and Qin, Question Classification using Head Words and their Hypernyms, EMNLP 2008, take it from
a parse; here it is the end of the first run of nouns behind the question word, found by the words alone.
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
"""Kinds of questions: those that begin with `what`, with `who`, and all others."""

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
"""Words behind which the run of nouns is looked for, the first of these groups that stands there."""

_ORDERS: Final = ("name", "define", "identify", "tell")  # as the first word: `Name a city in Spain`
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
_LONGEST_RUN: Final = 4
_TRIES: Final = 3


class Focus:
    """Finds the focus of questions.

    Parameters
    ----------
    words
        The vocabulary, by word id.
    nouns
        bool [vocabulary]: words that can be nouns.
    """

    def __init__(self, words: Sequence[str], nouns: NDArray[np.bool_]) -> None:
        self._words = words
        function = np.array([word in _FUNCTION_WORDS for word in words])
        self._function = function
        self._nouns = nouns & ~function
        ids = {word: i for i, word in enumerate(words)}
        self._what, self._who = ids.get("what", -1), ids.get("who", -1)

    def find(self, ids: Sequence[int]) -> int:
        """Return the place of the focus in a question's word ids, -1 where there is none."""
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
            # `What is Spain's capital?` asks for the capital.
            owner = after == ["'s"] and words[asking + 1] in _VERB_WORDS
            if not owner and not (after == ["of"] and words[end] in _KIND_OF):
                return end
            place = end + 2
        return -1

    def places(self, ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Find the focus of packed questions (see `corpus.pack`); return its row, int64 [questions].

        -1 where a question has none.
        """
        last = len(ids) - 1
        starts = alive.int().argmax(dim=0).tolist()
        columns = zip(ids.t().tolist(), starts, strict=True)
        found = [self.find(column[start:][::-1]) for column, start in columns]
        return torch.tensor([-1 if place < 0 else last - place for place in found])

    def openings(self, ids: torch.Tensor) -> torch.Tensor:
        """Tell the kinds of packed questions apart, int64 [questions], 0..OPENINGS-1."""
        first = ids[-1]
        return torch.where(first == self._what, 0, torch.where(first == self._who, 1, 2))

    def _asking(self, words: Sequence[str]) -> int:
        """Find the question word: -1, in front of all, where there is none."""
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
