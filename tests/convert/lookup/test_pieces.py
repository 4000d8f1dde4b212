"""Check that lookups equal the library for ByteLevel, Metaspace, Prepend and patterns that ignore case."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from trained_tokenizers import AWKWARD, STEMS, corpus, ids_of, pairs, scored, word_pieces
from usual_tokenizers import CL100K

from spikewatch.convert.lookup import CannotCompileError, check_against_library, compile_tokenizer
from spikewatch.convert.lookup.parts import subword_texts
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter
from spikewatch.simcore.text.splitting import read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

ByteLevel, Metaspace, Split = (
    pre_tokenizers.ByteLevel,
    pre_tokenizers.Metaspace,
    pre_tokenizers.Split,
)
BYTES = ByteLevel.alphabet()
FALLBACK = tuple(f"<0x{byte:02X}>" for byte in range(256))
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPACED = (*AWKWARD, " ", "  ", "\n", "'s", "'S", "'\u017f", "'ll", "n't", "12345", "\u2581", "^")


def bytes_after(pattern: str) -> bytes:
    split = Split(Regex(pattern), "isolated")
    after = ByteLevel(add_prefix_space=False, use_regex=False)
    return pairs(split=pre_tokenizers.Sequence([split, after]), alphabet=BYTES, unk_token=None)


def word_level_bytes() -> bytes:
    made = Tokenizer(models.WordLevel({"<unk>": 0, "\u0120who": 1, "\u00c3\u00a9": 2}, "<unk>"))
    made.pre_tokenizer = ByteLevel()
    return bytes(made.to_str(), "utf-8")


MADE: dict[str, Callable[[], bytes]] = {
    "bytes": lambda: pairs(split=ByteLevel(add_prefix_space=False), alphabet=BYTES, unk_token=None),
    "bytes after a space": lambda: pairs(split=ByteLevel(), alphabet=BYTES, unk_token=None),
    "bytes, some of them unknown": lambda: pairs(split=ByteLevel()),
    "bytes, some of them dropped": lambda: pairs(split=ByteLevel(), unk_token=None),
    "bytes of whole texts": lambda: pairs(split=ByteLevel(use_regex=False), alphabet=BYTES),
    "bytes after another split": lambda: pairs(
        split=pre_tokenizers.Sequence([Split(Regex(r"\d"), "isolated"), ByteLevel()]),
        alphabet=BYTES,
    ),
    "bytes, whole words first": lambda: pairs(
        split=ByteLevel(), alphabet=BYTES, words=("\u0120wonderful", "xyz"), ignore_merges=True
    ),
    "bytes before another split": lambda: pairs(
        split=pre_tokenizers.Sequence([ByteLevel(), Split(Regex("[aeiou]"), "isolated")])
    ),
    "bytes of bytes": lambda: pairs(
        split=pre_tokenizers.Sequence([ByteLevel(), ByteLevel(use_regex=False)]), alphabet=BYTES
    ),
    "bytes and whole words": word_level_bytes,
    "bytes in scored words": lambda: scored(split=ByteLevel()),
    "bytes in words with a prefix": lambda: pairs(
        split=ByteLevel(), continuing_subword_prefix="##"
    ),
    "bytes in words with a suffix": lambda: pairs(split=ByteLevel(), end_of_word_suffix="</w>"),
    "bytes and fallback": lambda: pairs(split=ByteLevel(), words=FALLBACK, byte_fallback=True),
    "bytes in parts of words": lambda: word_pieces(split=ByteLevel()),
    "bytes before the split": lambda: pairs(normalizer=normalizers.ByteLevel(), alphabet=BYTES),
    "cl100k": lambda: bytes_after(CL100K),
    "o200k": lambda: bytes_after(O200K),
    "metaspace": lambda: scored(split=Metaspace()),
    "metaspace at the start": lambda: pairs(split=Metaspace(prepend_scheme="first")),
    "metaspace nowhere": lambda: pairs(split=Metaspace(prepend_scheme="never")),
    "metaspace without split": lambda: scored(split=Metaspace(split=False)),
    "metaspace after another split": lambda: scored(
        split=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), Metaspace()]),
        normalizer=normalizers.NFKC(),
    ),
    "metaspace of another character": lambda: pairs(
        split=pre_tokenizers.Sequence([Split(Regex("[,;]"), "isolated"), Metaspace("^")])
    ),
    "prepended": lambda: pairs(
        split=None,
        normalizer=normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        ),
    ),
}


@cache
def compiled(name: str) -> tuple[LookupSplitter, Tokenizer, Lookup]:
    data = MADE[name]()
    lookup = Lookup.from_bytes(compile_tokenizer(data).to_bytes())
    return LookupSplitter(lookup), read_tokenizer(data), lookup


@pytest.mark.parametrize("name", MADE)
class TestEqualToTheLibrary:
    @settings(max_examples=60, deadline=None)
    @given(text=st.text(max_size=60))
    def test_on_any_text(self, name: str, text: str) -> None:
        splitter, library, _ = compiled(name)
        assert ids_of(splitter, [text]) == [library.encode(text).ids]

    @settings(max_examples=120, deadline=None)
    @given(text=st.lists(st.sampled_from([*SPACED, *STEMS])).map("".join))
    def test_on_texts_of_spaces_awkward_characters_and_parts_of_words(
        self, name: str, text: str
    ) -> None:
        splitter, library, _ = compiled(name)
        assert ids_of(splitter, [text]) == [library.encode(text).ids]

    def test_on_texts_like_the_trained_ones(self, name: str) -> None:
        splitter, library, lookup = compiled(name)
        vocabulary = list(library.get_vocab())
        texts = [*corpus(), *vocabulary, *subword_texts(lookup, vocabulary)]
        expected = [each.ids for each in library.encode_batch(texts)]
        assert ids_of(splitter, texts) == expected


@pytest.mark.parametrize(
    "name",
    ["bytes after a space", "o200k", "metaspace", "bytes and whole words", "bytes in scored words"],
)
def test_the_check_before_publishing_passes(name: str) -> None:
    data = MADE[name]()
    check_against_library(compile_tokenizer(data), data, list(corpus()))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            pre_tokenizers.Sequence(
                [pre_tokenizers.WhitespaceSplit(), Metaspace(prepend_scheme="first")]
            ),
            "pre-tokenizer Metaspace: prepend_scheme first is not supported after a split",
        ),
        (
            Split(Regex("(?i:miss|toe)"), "isolated"),
            "pattern '(?i:miss|toe)': 'miss|toe)' is not supported",
        ),
    ],
    ids=["metaspace first", "several characters that fold to one"],
)
def test_what_cannot_be_compiled_is_named(split: pre_tokenizers.PreTokenizer, message: str) -> None:
    with pytest.raises(CannotCompileError) as caught:
        compile_tokenizer(pairs(split=split))
    assert str(caught.value) == message
