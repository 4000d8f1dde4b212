"""Check that lookups of WordPiece, Unigram and BPE equal the tokenizers library, for models that its trainers make."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from trained_tokenizers import AWKWARD, STEMS, corpus, ids_of, pairs, scored, word_pieces

from spikewatch.convert.lookup import CannotCompileError, check_against_library, compile_tokenizer
from spikewatch.convert.lookup.parts import subword_texts
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter
from spikewatch.simcore.text.splitting import read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

BYTE_WORDS = tuple(f"<0x{byte:02X}>" for byte in range(256))
HOLED = tuple(word for k, word in enumerate(BYTE_WORDS) if k % 5)

MADE: dict[str, Callable[[], bytes]] = {
    "wordpiece": word_pieces,
    "wordpiece without prefix": lambda: word_pieces(prefix=""),
    "wordpiece of short words": lambda: word_pieces(max_input_chars_per_word=6),
    "bpe": pairs,
    "bpe without unknown word": lambda: pairs(unk_token=None),
    "bpe with fused unknown words": lambda: pairs(fuse_unk=True),
    "bpe with prefix": lambda: pairs(continuing_subword_prefix="##"),
    "bpe with suffix": lambda: pairs(end_of_word_suffix="</w>"),
    "bpe with both": lambda: pairs(continuing_subword_prefix="@@", end_of_word_suffix="!"),
    "bpe with bytes": lambda: pairs(words=BYTE_WORDS, byte_fallback=True),
    "bpe with some bytes": lambda: pairs(words=HOLED, byte_fallback=True),
    "bpe with some bytes, fused": lambda: pairs(words=HOLED, byte_fallback=True, fuse_unk=True),
    "bpe that ignores merges": lambda: pairs(words=("foobar", "xyz"), ignore_merges=True),
    "bpe of whole texts": lambda: pairs(split=None),
    "unigram": scored,
    "unigram of whole texts": lambda: scored(split=None),
    "unigram with bytes": lambda: scored(words=BYTE_WORDS, byte_fallback=True),
    "unigram with some bytes": lambda: scored(words=HOLED, byte_fallback=True),
}


@cache
def compiled(name: str) -> tuple[LookupSplitter, Tokenizer, Lookup]:
    data = MADE[name]()
    lookup = Lookup.from_bytes(compile_tokenizer(data).to_bytes())
    return LookupSplitter(lookup), read_tokenizer(data), lookup


@pytest.mark.parametrize("name", MADE)
class TestEqualToTheLibrary:
    @settings(max_examples=100, deadline=None)
    @given(text=st.text(max_size=80))
    def test_on_any_text(self, name: str, text: str) -> None:
        splitter, library, _ = compiled(name)
        assert ids_of(splitter, [text]) == [library.encode(text).ids]

    @settings(max_examples=200, deadline=None)
    @given(text=st.lists(st.sampled_from([*AWKWARD, *STEMS])).map("".join))
    def test_on_texts_of_awkward_characters_and_parts_of_words(self, name: str, text: str) -> None:
        splitter, library, _ = compiled(name)
        assert ids_of(splitter, [text]) == [library.encode(text).ids]

    def test_on_joined_cut_and_repeated_words_of_the_vocabulary(self, name: str) -> None:
        splitter, library, lookup = compiled(name)
        vocabulary = list(library.get_vocab())
        texts = [*vocabulary, *subword_texts(lookup, vocabulary)]
        expected = [each.ids for each in library.encode_batch(texts)]
        assert ids_of(splitter, texts) == expected

    def test_the_check_before_publishing_passes(self, name: str) -> None:
        data = MADE[name]()
        check_against_library(compile_tokenizer(data), data, list(corpus()))


@pytest.mark.parametrize("part", ["w", "wonder", "a\u0301", "xé", "ing "])
@pytest.mark.parametrize("name", ["wordpiece", "bpe of whole texts", "unigram of whole texts"])
def test_a_piece_of_a_hundred_thousand_characters_is_split_as_by_the_library(
    name: str, part: str
) -> None:
    splitter, library, _ = compiled(name)
    text = part * (100_000 // len(part))
    assert ids_of(splitter, [text]) == [library.encode(text).ids]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (lambda: word_pieces(unk_token="[none]"), "wonder ☃"),
        (lambda: pairs(unk_token="[none]"), "wonder ☃"),
        (lambda: scored(unk_id=None), "wonder ☃"),
    ],
    ids=["wordpiece", "bpe", "unigram"],
)
def test_a_word_that_cannot_be_encoded_makes_the_text_minus_one(
    data: Callable[[], bytes], text: str
) -> None:
    made = data()
    with pytest.raises(Exception, match=r"(?i)unk|missing"):
        read_tokenizer(made).encode(text)
    splitter = LookupSplitter(compile_tokenizer(made))
    known = read_tokenizer(made).encode("wonder").ids
    assert ids_of(splitter, ["wonder", text, "wonder"]) == [known, [-1], known]


class TestScores:
    """Unigram by hand: what the trainer does not make."""

    @staticmethod
    def equal(
        vocab: list[tuple[str, float]], unk_id: int | None, texts: list[str]
    ) -> list[list[int]]:
        made = Tokenizer(models.Unigram(vocab, unk_id, False))
        data = made.to_str().encode()
        found = ids_of(LookupSplitter(compile_tokenizer(data)), texts)
        assert found == [made.encode(text).ids for text in texts]
        return found

    def test_of_equal_scores_the_first_is_kept(self) -> None:
        vocab = [
            ("<unk>", 0.0),
            ("a", -1.0),
            ("b", -1.0),
            ("ab", -2.0),
            ("abb", -3.0),
            ("bb", -2.0),
        ]
        assert self.equal(vocab, 0, ["ab", "abb", "abbab"])[0] == [3]

    def test_unknown_characters_that_spell_a_word_together_are_that_word(self) -> None:
        vocab = [("<unk>", 0.0), ("a", -1.0), ("xy", -50.0)]
        assert self.equal(vocab, 0, ["axya", "xy", "xyx"])[0] == [1, 2, 1]

    def test_of_equal_words_the_last_counts(self) -> None:
        vocab = [("<unk>", 0.0), ("a", -1.0), ("a", -30.0), ("aa", -5.0)]
        assert self.equal(vocab, 0, ["a", "aa", "aaa"])[0] == [2]

    def test_the_unknown_word_in_a_text_joins_unknown_characters(self) -> None:
        vocab = [("a", -1.0), ("<unk>", -2.0), ("b", -1.0)]
        assert self.equal(vocab, 1, ["a<unk>?<unk>b", "?<unk>"])[0] == [0, 1, 2]


class TestMerges:
    """BPE by hand."""

    @staticmethod
    def model(vocab: dict[str, int], merges: list[tuple[str, str]], **options: Any) -> bytes:
        made: bytes = Tokenizer(models.BPE(vocab, merges, **options)).to_str().encode()
        return made

    def test_a_word_made_in_two_ways_keeps_the_order_of_ranks(self) -> None:
        vocab = {c: i for i, c in enumerate(["a", "b", "c", "ab", "bc", "abc", "cab", "abcab"])}
        merges = [("b", "c"), ("a", "b"), ("ab", "c"), ("a", "bc"), ("c", "ab"), ("abc", "ab")]
        data = self.model(vocab, merges)
        texts = ["abc", "abcab", "cabcab", "bcab" * 30, "abcabcab" * 30]
        expected = [read_tokenizer(data).encode(text).ids for text in texts]
        assert ids_of(LookupSplitter(compile_tokenizer(data)), texts) == expected

    def test_unknown_words_wait_behind_the_words_of_bytes(self) -> None:
        """The library writes an unknown word only before the next known one, but the words of bytes at once."""
        vocab = {"<unk>": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3}
        data = self.model(vocab, [], unk_token="<unk>", byte_fallback=True)
        assert read_tokenizer(data).encode("?éa").ids == [2, 3, 0, 1]
        assert ids_of(LookupSplitter(compile_tokenizer(data)), ["?éa"]) == [[2, 3, 0, 1]]

    def test_dropout_is_refused(self) -> None:
        data = self.model({"a": 0}, [], dropout=0.5)
        with pytest.raises(CannotCompileError, match="^model BPE: dropout makes its words random$"):
            compile_tokenizer(data)

    def test_two_words_with_one_id_are_refused(self) -> None:
        described = json.loads(self.model({"a": 0, "b": 1}, []))
        described["model"]["vocab"]["b"] = 0
        data = json.dumps(described).encode()
        with pytest.raises(CannotCompileError, match="have the same id$"):
            compile_tokenizer(data)
