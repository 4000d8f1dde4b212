"""Hold lookups of whole tokenizers equal to the library: over all of Unicode, hostile texts and TREC's questions.

`pytest -m soak tests/convert/lookup` does the same with more texts.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hostile_texts import (
    SEPARATORS,
    every_character,
    hostile_texts,
    trec_questions,
    very_long_texts,
)
from tokenizers import Tokenizer
from trained_tokenizers import corpus
from usual_tokenizers import USUAL, usual

from spikewatch.convert.lookup import check_against_library, compile_tokenizer
from spikewatch.convert.lookup.conformance import with_all_words
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW, MANY = 1500, 60_000


@cache
def compiled(name: str) -> tuple[Lookup, Tokenizer]:
    data = usual(name)
    lookup = Lookup.from_bytes(compile_tokenizer(data).to_bytes())
    return lookup, Tokenizer.from_str(data.decode())


def library_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return what a user's own program gets, or [-1] for a text that the tokenizer cannot encode."""
    try:
        ids: list[int] = tokenizer.encode(text).ids
    except Exception as e:  # noqa: BLE001 - the library raises bare Exception
        assert "unk" in str(e).lower()
        return [-1]
    return ids


def differing(lookup: Lookup, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Return the texts that lookup and library give different ids."""
    ids, starts = LookupSplitter(lookup).split(texts)
    found = ids.tolist()
    return [
        text
        for text, (a, b) in zip(texts, pairwise(starts.tolist()), strict=True)
        if found[a:b] != library_ids(tokenizer, text)
    ]


def differing_pieces(lookup: Lookup, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Return the texts that are split into different pieces: an unknown word would hide such a difference."""
    return differing(*with_all_words(lookup, tokenizer, texts), texts)


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    return sorted(tokenizer.get_vocab())


@pytest.mark.parametrize("name", USUAL)
class TestEqualToTheLibrary:
    def test_on_every_character(self, name: str) -> None:
        texts = every_character(SEPARATORS)
        assert differing(*compiled(name), texts) == []
        assert differing_pieces(*compiled(name), texts[::16]) == []

    def test_on_hostile_texts(self, name: str) -> None:
        lookup, tokenizer = compiled(name)
        texts = hostile_texts(FEW, 0, vocabulary(tokenizer))
        assert differing(lookup, tokenizer, texts) == []
        assert differing_pieces(lookup, tokenizer, texts) == []

    def test_on_very_long_texts(self, name: str) -> None:
        lookup, tokenizer = compiled(name)
        texts = very_long_texts(0, vocabulary(tokenizer))
        assert differing(lookup, tokenizer, texts) == []

    def test_on_questions(self, name: str) -> None:
        texts = [*corpus(), *trec_questions()]
        assert differing(*compiled(name), texts) == []

    def test_the_check_before_publishing_passes(self, name: str) -> None:
        check_against_library(compiled(name)[0], usual(name), list(corpus()))

    @pytest.mark.soak
    @pytest.mark.timeout(3600)
    def test_at_length(self, name: str) -> None:
        lookup, tokenizer = compiled(name)
        for seed in range(1, 1 + MANY // FEW):
            texts = hostile_texts(FEW, seed, vocabulary(tokenizer))
            assert differing(lookup, tokenizer, texts) == []
            assert differing_pieces(lookup, tokenizer, texts) == []
        for separator in SEPARATORS:
            texts = every_character([separator])
            assert differing(lookup, tokenizer, texts) == []
            assert differing_pieces(lookup, tokenizer, texts) == []
        for seed in range(1, 6):
            texts = very_long_texts(seed, vocabulary(tokenizer))
            assert differing(lookup, tokenizer, texts) == []
