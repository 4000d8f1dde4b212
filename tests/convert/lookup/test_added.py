"""Hold lookups with added tokens equal to the library."""

from __future__ import annotations

from functools import cache

import pytest
from distinct_characters import distinct_characters
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from trained_tokenizers import ids_of

from spikewatch.convert.lookup import CannotCompileError, check_against_library, compile_tokenizer
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter

WORDS = (
    "[UNK]",
    *"abcxy?.-\u00e9",
    "ab",
    "abc",
    "bc",
    "who",
    "what",
    "name",
    "the",
    "is",
    "1",
    "12",
)
CONTENTS = ("<a>", "abc", "Who", "é", "ab", "b c", "<A>x", "\u0391\u03a3", "[MASK]", "-")
NORMALIZERS = {
    "none": None,
    "lower case": normalizers.Lowercase(),
    "bert": normalizers.BertNormalizer(),
    "strip": normalizers.Sequence([normalizers.Strip(), normalizers.NFKC()]),
    "replace": normalizers.Replace(Regex("y+"), "a"),
}


def added(
    *tokens: AddedToken, normalizer: str = "none", split: pre_tokenizers.PreTokenizer | None = None
) -> bytes:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = split or pre_tokenizers.Whitespace()
    if NORMALIZERS[normalizer] is not None:
        made.normalizer = NORMALIZERS[normalizer]
    made.add_tokens(list(tokens))
    return bytes(made.to_str(), "utf-8")


def alike(normalizer: str, flags: int) -> bytes:
    """Return a tokenizer whose added tokens all have the same flags."""
    return added(
        *(
            AddedToken(
                content,
                single_word=bool(flags & 1),
                lstrip=bool(flags & 2),
                rstrip=bool(flags & 4),
                normalized=bool(flags & 8),
                special=k % 2 == 0,
            )
            for k, content in enumerate(CONTENTS)
        ),
        normalizer=normalizer,
    )


def mixed() -> bytes:
    return added(
        AddedToken("abc", normalized=False),
        AddedToken("BCd", normalized=True),
        AddedToken("cde", lstrip=True, rstrip=True),
        AddedToken(" x", normalized=False, single_word=True),
        AddedToken("\n\n", normalized=False),
        AddedToken("ab", normalized=False, special=True, rstrip=True),
        AddedToken("abcabd", normalized=False, special=True, lstrip=True),
        normalizer="lower case",
    )


@cache
def compiled(name: str, flags: int) -> tuple[LookupSplitter, Tokenizer]:
    data = mixed() if name == "mixed" else alike(name, flags)
    lookup = Lookup.from_bytes(compile_tokenizer(data).to_bytes())
    return LookupSplitter(lookup), Tokenizer.from_str(data.decode())


PARTS = st.sampled_from(
    [
        *(*CONTENTS, "abcabd", "abcab", "bcd", "BCD", "cde", " x", "\n\n", "\n", "who", "WHO", "<a", "<A>"),
        *("a", "b", "yy", "A", "_", "\u4e2d", "1", "\u00b2", "\u0301", "\u200d", "e\u0301", "\u03c2", "\u03c3"),
        *(" ", "  ", "\t", "\u00a0", "\u3000", "\x1c", "\x85", "\u200b", "\u0130", "?", "the name", "\U0001f469"),
    ]
)  # fmt: skip
TEXTS = st.lists(PARTS, max_size=12).map("".join)
KINDS = [
    ("mixed", 0),
    *(("lower case", flags) for flags in range(16)),
    *((name, flags) for name in NORMALIZERS for flags in (0, 3, 12, 15)),
]


@pytest.mark.parametrize(("name", "flags"), KINDS)
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(TEXTS | st.text(max_size=30), min_size=10, max_size=30))
def test_equal_to_the_library(name: str, flags: int, texts: list[str]) -> None:
    splitter, library = compiled(name, flags)
    assert ids_of(splitter, texts) == [library.encode(text).ids for text in texts]


def test_blanks_and_characters_of_words_are_those_of_the_library() -> None:
    """Characters of all kinds next to a token: before it and after it."""
    data = added(
        AddedToken("<one>", single_word=True),
        AddedToken("<left>", lstrip=True),
        AddedToken("<right>", rstrip=True),
        split=pre_tokenizers.Split(Regex("<"), "isolated"),
    )
    splitter, library = (
        LookupSplitter(compile_tokenizer(data)),
        Tokenizer.from_str(data.decode()),
    )
    characters = distinct_characters()
    texts = []
    # A character that is a blank or of a word changes the number of ids: "." is neither.
    for k in range(0, len(characters), 512):
        some = characters[k : k + 512]
        texts.append("".join(f".{c}<one>.<one>{c}.{c}<left>.<right>{c}." for c in some))
    expected = [each.ids for each in library.encode_batch_fast(texts)]
    assert ids_of(splitter, texts) == expected


def test_many_tokens_amid_many_blanks_take_no_quadratic_time() -> None:
    tokens = [AddedToken(f"<{i}>", lstrip=True, rstrip=True) for i in range(3000)]
    splitter = LookupSplitter(compile_tokenizer(added(*tokens)))
    text = " " * 200_000 + "".join(f"<{i}>" for i in range(3000)) + " " * 200_000 + "<<<" * 50_000
    ids = ids_of(splitter, [text])[0]
    assert ids[:3000] == [len(WORDS) + i for i in range(3000)]


def test_the_check_before_publishing_compares_added_tokens() -> None:
    data, other = mixed(), added(AddedToken("abc", normalized=False), normalizer="lower case")
    check_against_library(compile_tokenizer(data), data, ["Who is abc ?"])
    with pytest.raises(CannotCompileError, match="^its lookup differs from the library's result"):
        check_against_library(compile_tokenizer(other), data, ["Who ?"])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([AddedToken("ABC"), AddedToken("abc")], "two added tokens read 'ABC' once normalized"),
        (
            [AddedToken("\n", lstrip=True), AddedToken("<x>", rstrip=True)],
            "added token '\\n' begins with white space and strips it",
        ),
        (
            [AddedToken("x" * 1025, normalized=False)],
            "an added token has 1025 characters, limit 1024",
        ),
    ],
)
def test_what_cannot_be_compiled_is_named(tokens: list[AddedToken], message: str) -> None:
    with pytest.raises(CannotCompileError) as caught:
        compile_tokenizer(added(*tokens, normalizer="lower case"))
    assert str(caught.value) == message


def test_a_token_that_normalizes_to_nothing_is_refused() -> None:
    with pytest.raises(CannotCompileError) as caught:
        compile_tokenizer(added(AddedToken(" "), normalizer="strip"))
    assert str(caught.value) == "added token ' ' is empty once normalized"
