"""Hold the steps of lookups equal to the normalizers and pre-tokenizers of the library, one by one."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from distinct_characters import distinct_characters
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.normalizers import BertNormalizer, Strip
from tokenizers.pre_tokenizers import (
    BertPreTokenizer,
    CharDelimiterSplit,
    Digits,
    FixedLength,
    Punctuation,
    Split,
    UnicodeScripts,
    Whitespace,
    WhitespaceSplit,
)

from spikewatch.convert.lookup import CannotCompileError, compile_tokenizer
from spikewatch.convert.lookup.conformance import with_all_words
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter

if TYPE_CHECKING:
    from collections.abc import Iterator

BEHAVIORS = ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")

PIECES: dict[str, normalizers.Normalizer | pre_tokenizers.PreTokenizer] = {
    **{
        f"bert {clean} {chinese} {accents} {lower}": BertNormalizer(
            clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower
        )
        for clean, chinese, accents, lower in (
            (True, True, None, True),
            (True, True, None, False),
            (True, False, True, False),
            (False, True, False, True),
            (False, False, True, True),
            (False, False, False, False),
        )
    },
    "strip": Strip(),
    "strip left": Strip(right=False),
    "strip right": Strip(left=False),
    "nmt": normalizers.Nmt(),
    "strip accents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "many": normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]),
            normalizers.Replace(Regex(" {2,}"), " "),
            Strip(),
        ]
    ),
    **{f"punctuation {b}": Punctuation(b) for b in BEHAVIORS},
    **{f"characters {b}": Split("", b) for b in BEHAVIORS},
    **{
        f"vowels {b}{' inverted' * inverted}": Split(Regex(r"\s+|[aeiou]"), b, invert=inverted)
        for b in BEHAVIORS
        for inverted in (False, True)
    },
    "literal": Split("ab", "merged_with_next"),
    "digits": Digits(individual_digits=True),
    "runs of digits": Digits(individual_digits=False),
    "bert split": BertPreTokenizer(),
    "fixed length": FixedLength(3),
    "scripts": UnicodeScripts(),
    "delimiter": CharDelimiterSplit("-"),
    "several": pre_tokenizers.Sequence(
        [WhitespaceSplit(), Punctuation("contiguous"), Digits(), UnicodeScripts()]
    ),
}


def tokenizer_of(piece: normalizers.Normalizer | pre_tokenizers.PreTokenizer) -> Tokenizer:
    made = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    if isinstance(piece, normalizers.Normalizer):
        made.normalizer = piece
        made.pre_tokenizer = Whitespace()
    else:
        made.pre_tokenizer = piece
    return made


@cache
def compiled(name: str) -> tuple[Lookup, Tokenizer]:
    made = tokenizer_of(PIECES[name])
    return Lookup.from_bytes(compile_tokenizer(made.to_str().encode()).to_bytes()), made


@cache
def texts_of_all_kinds() -> list[str]:
    """Return texts of the characters of Unicode in a row, and of some between a letter and a blank."""
    chosen = distinct_characters()
    parts = [chosen[k : k + 256] for k in range(0, len(chosen), 256)]
    return [*parts, *("".join(f"a{c} " for c in part) for part in parts[::3])]


def assert_equal(name: str, texts: list[str]) -> None:
    """Compare the pieces of texts, each of which is a word of its own."""
    lookup, library = with_all_words(*compiled(name), texts)
    ids, starts = LookupSplitter(lookup).split(texts)
    expected = [each.ids for each in library.encode_batch_fast(texts)]
    for text, begin, wanted in zip(texts, pairwise(starts), expected, strict=True):
        assert ids[slice(*begin)].tolist() == wanted, text


def awkward() -> Iterator[str]:
    yield from "abeio1249 \t\n\u00a0\u3000.,-_!?\"'`$+<>\u00ab\u2014\u00b2\u0663\u00bd\u216b\u00e9\u00df\u0130"
    yield from "\u0301\u0323\u0345\u200d\u0000\u0007\ufffd\u00ad\u4e2d\u3042\u30fc\u30ab\uac01\u1100\u03a3\u03b1\u0436"
    yield from (
        "``",
        "ab",
        "  ",
        "e\u0301",
        "\U0001f469",
        "\U00020000",
        "\U0010ffff",
        "What is ",
        "12a",
    )


@pytest.mark.parametrize("name", PIECES)
class TestEqualToTheLibrary:
    def test_on_characters_of_all_kinds(self, name: str) -> None:
        assert_equal(name, texts_of_all_kinds())

    @settings(max_examples=25, deadline=None)
    @given(texts=st.lists(st.lists(st.sampled_from([*awkward()])).map("".join), max_size=20))
    def test_on_texts_of_awkward_characters(self, name: str, texts: list[str]) -> None:
        assert_equal(name, texts)

    @settings(max_examples=15, deadline=None)
    @given(texts=st.lists(st.text(max_size=40), max_size=20))
    def test_on_any_text(self, name: str, texts: list[str]) -> None:
        assert_equal(name, texts)


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (Split("", "removed", invert=True), "pre-tokenizer Split: removes every text"),
        (FixedLength(0), "pre-tokenizer FixedLength: length 0"),
    ],
)
def test_what_cannot_be_compiled_is_named(piece: pre_tokenizers.PreTokenizer, message: str) -> None:
    with pytest.raises(CannotCompileError) as caught:
        compile_tokenizer(tokenizer_of(piece).to_str().encode())
    assert str(caught.value) == message
