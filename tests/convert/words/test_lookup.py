"""Check that lookups equal the tokenizers library over all of Unicode, for every supported tokenizer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny_tokenizer, typed
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from spikewatch.convert.lookup import CannotCompileError, check_against_library, compile_tokenizer
from spikewatch.convert.lookup.conformance import random_texts, with_all_words
from spikewatch.convert.words.question_files import read_questions
from spikewatch.convert.words.tokenizer import build_tokenizer
from spikewatch.convert.words.vectors import Vectors
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import InputError
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter
from spikewatch.simcore.text.splitting import LibrarySplitter, read_tokenizer

TREC = Path(__file__).parents[4] / "shared" / "trec" / "train_5500.label"
WORDS = "what who do ca n't 's 're i you is it the u.s u.s.a o'hara % $ café straße 1984 3 <unk>"

AWKWARD = (
    *"\0\t\n\r \x1f\x7f\x85\xa0aAnNtTsSmM0129.,'’`´<>$%-_?\"",
    *"İıſßẞΣσςŉǰΐﬁﬃÅKΩ½²①㎏ﷺ㍿Ⅷªº\u00adʼ″‴⁗",
    *"\u0300\u0301\u0307\u0308\u0316\u0323\u0327\u0328\u031b\u0334\u0338\u0345\u035c\u05b0\u05b4\u064b\u0651",
    *"\u093c\u09be\u09c7\u0b3e\u0b47\u0dcf\u0dd9\u0dca\u0f71\u0f72\u0f74\u1133a\u11347\u3099\u309a\u302a",
    *"éÉạ̈ệńñņĄḍ̇가각각ᆩᅢ힣ㄱￃｶﾞがぱ",
    *"\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u3000\ufeff\ufffd\uffff\ud7ff\ue000\ufffe",
    *"\U00010400\U00010428\U0001d15e\U0001d160\U0001d165\U0001d16e\U0001d7d8\U0001f600\U0001f1e6",
    *"\U000110ba\U000110a5\U000110b9\U0002f800\U0002fa1d\U000e0100\U0010ffff\U0010fffd\U00020000",
    *"٣۴१๕Ⅻ〇、。！？＇．，１Ａａ\u0130\u2160\u24b6\u1e9b\u1c88\u13a0\uab70",
)  # fmt: skip


def word_level() -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(WORDS.split())}
    return Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))


def trained() -> Tokenizer:
    """Return a tokenizer like those of `train`."""
    words = tuple(WORDS.split()[:-1])
    rows = np.arange(len(words), dtype=np.int32)
    return build_tokenizer(Vectors(words=words, rows=rows, matrix=np.ones((len(words), 1))))[0]


def plain() -> Tokenizer:
    """Return a tokenizer that neither normalises nor splits."""
    return word_level()


def whitespace() -> Tokenizer:
    made = word_level()
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def stripped() -> Tokenizer:
    made = word_level()
    made.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.NFC()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"\d{2,3}|[\p{P}\p{S}]"), "isolated"),
            pre_tokenizers.CharDelimiterSplit("n"),
        ]
    )
    return made


def looking() -> Tokenizer:
    """Return a tokenizer that uses every kind of pattern."""
    made = word_level()
    made.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.Replace(Regex(r"(?<=\p{L})-(?=\p{L})|\.{2,}"), " - "),
            normalizers.Replace("ss", "ß"),
            normalizers.Replace(Regex(r"(ab|a)(?:b|bc){0,2}(?!\S)"), ""),
            normalizers.Replace(Regex(r"(?:n\s?){1,3}t"), "nt"),
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[^\\p{L}\\p{M}\\p{N}\\s'.]"), " "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+(?=[^\s]{2})|\h\w*(?<!t)\."), "removed"),
            pre_tokenizers.Split(Regex(r"[\w']+"), "removed", invert=True),
        ]
    )
    return made


def keras() -> Tokenizer:
    """Return a tokenizer that takes out what Keras' TextVectorization does, an ampersand in a set among it."""
    made = word_level()
    punctuation = r"""[!"#$%&()*+,-./:;<=>?@\[\\\]^_`{|}~\']"""
    made.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(punctuation), "")]
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def tiny() -> Tokenizer:
    return Tokenizer.from_str(tiny_tokenizer().decode())


MADE = {f.__name__: f for f in (trained, tiny, plain, whitespace, stripped, looking, keras)}


@cache
def compiled(name: str) -> tuple[Lookup, Tokenizer]:
    data = MADE[name]().to_str().encode()
    return compile_tokenizer(data), read_tokenizer(data)


def differing(lookup: Lookup, tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    """Return the texts that lookup and library split differently, or give different word ids."""
    lookup, tokenizer = with_all_words(lookup, tokenizer, texts)
    ids, starts = LookupSplitter(lookup).split(texts)
    expected, ends = LibrarySplitter(tokenizer).split(texts)
    if np.array_equal(ids, expected) and np.array_equal(starts, ends):
        return []
    return [
        text
        for i, text in enumerate(texts)
        if ids[starts[i] : starts[i + 1]].tolist() != expected[ends[i] : ends[i + 1]].tolist()
    ]


@pytest.mark.parametrize("name", MADE)
class TestEqualToTheLibrary:
    @settings(max_examples=100, deadline=None)
    @given(text=st.text(max_size=80))
    def test_on_any_text(self, name: str, text: str) -> None:
        assert differing(*compiled(name), [text]) == []

    @settings(max_examples=100, deadline=None)
    @given(text=st.lists(st.sampled_from([*AWKWARD, "n't", "1,984", "U.S.", "don’t"])).map("".join))
    def test_on_texts_of_awkward_characters(self, name: str, text: str) -> None:
        assert differing(*compiled(name), [text]) == []

    def test_on_pairs_of_awkward_characters(self, name: str) -> None:
        pairs = ["".join(pair) for pair in product(AWKWARD, repeat=2)]
        assert differing(*compiled(name), pairs) == []

    def test_on_random_texts_of_all_symbols(self, name: str) -> None:
        lookup, tokenizer = compiled(name)
        assert differing(lookup, tokenizer, random_texts(lookup, seed=1)) == []

    def test_after_saving_and_loading(self, name: str) -> None:
        lookup, tokenizer = compiled(name)
        data = lookup.to_bytes()
        loaded = Lookup.from_bytes(data)
        assert loaded.to_bytes() == data
        assert differing(loaded, tokenizer, ["", "Who's in the U.S.?", *AWKWARD]) == []
        check_against_library(loaded, tokenizer.to_str().encode(), ["Who's in the U.S.?"])


@pytest.mark.parametrize("between", [" ", "\n", "", "a"])
def test_every_character_among_others_equals_the_library(between: str) -> None:
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    texts = [between.join(map(chr, points[i : i + 1024])) for i in range(0, len(points), 1024)]
    assert differing(*compiled("trained"), texts) == []


def test_single_characters_equal_the_library() -> None:
    points = [*range(0x3100), *range(0x3100, 0x110000, 61)]
    texts = [chr(c) for c in points if not 0xD800 <= c < 0xE000]
    assert differing(*compiled("trained"), texts) == []


@pytest.mark.parametrize(
    "text",
    [
        "who " * 50_000,
        "a" * 60_000,
        "\u0323\u0307" * 10_000 + "a",
        "a" + "\u0323\u0307\u0327" * 9_000,
        "n" + " " * 100_000 + "'t",
        "a." * 20_000 + "bb",
        "1,234," * 30_000,
        "\ufdfa" * 20_000,
    ],
    ids=[
        "words", "one word", "marks first", "marks", "blanks", "abbreviation", "number", "expansion",
    ],
)  # fmt: skip
def test_long_texts_are_split_as_by_the_library(text: str) -> None:
    assert differing(*compiled("trained"), [text]) == []


@pytest.mark.skipif(not TREC.exists(), reason="../shared is absent")
def test_the_bundled_tokenizer_splits_trecs_questions_as_the_library_does() -> None:
    data = Registry(bundled()).load("trec:production").files["tokenizer.json"]
    lookup, tokenizer = compile_tokenizer(data), read_tokenizer(data)
    texts = [q.text for q in read_questions(TREC, labelled=True)]
    texts += [typed(text) for text in texts]
    assert differing(lookup, tokenizer, texts) == []
    ids, _ = LookupSplitter(lookup).split(texts)
    assert np.array_equal(ids, LibrarySplitter(tokenizer).split(texts)[0])


def test_batches_and_texts_may_be_empty() -> None:
    splitter = LookupSplitter(compiled("trained")[0])
    ids, starts = splitter.split([])
    assert (len(ids), starts.tolist()) == (0, [0])
    ids, starts = splitter.split(["", "?", "who"])
    assert (len(ids), starts.tolist()) == (1, [0, 0, 0, 1])


def test_texts_that_cannot_be_split_are_named_by_position() -> None:
    splitter = LookupSplitter(compiled("trained")[0])
    with pytest.raises(InputError, match="^text 1: holds a lone surrogate, not valid Unicode$"):
        splitter.split(["who", "who \ud800 is", "\udfff"])
    with pytest.raises(InputError, match="^text 2: bytes, expected str$"):
        splitter.split(["who", "is", b"it"])  # type: ignore[list-item] # that is the point


def test_threads_may_share_a_splitter() -> None:
    splitter = LookupSplitter(compiled("trained")[0])
    texts = [
        f"Who's no. {i} in the U.S. of “{c}”?"
        for i in range(20)
        for c in AWKWARD
        if c.isprintable()
    ]
    alone = splitter.split(texts)
    with ThreadPoolExecutor(4) as pool:
        for ids, starts in pool.map(lambda _: splitter.split(texts), range(8)):
            assert np.array_equal(ids, alone[0])
            assert np.array_equal(starts, alone[1])


def refused() -> dict[str, tuple[Tokenizer, str]]:
    """Return tokenizers that cannot be compiled, with the expected error message."""
    cases = {}

    def case(name: str, message: str) -> Tokenizer:
        made = word_level()
        cases[name] = (made, message)
        return made

    case(
        "normalizer",
        "normalizer Precompiled is not supported: it replaces clusters of characters by a table of its own",
    ).normalizer = normalizers.Precompiled((1024).to_bytes(4, "little") + bytes(1024))
    random = Tokenizer(models.BPE(dropout=0.1))
    cases["model"] = (random, "model BPE: dropout makes its words random")
    for pattern, what in {
        r"a*?b": "a*?b': '*?b' is not supported",
        r"a++": "a++': '++' is not supported",
        r"(a)\1": r"(a)\\1': '\\1' is not supported",
        r"\bwho": r"\\bwho': '\\bwho' is not supported",
        r"^who": "^who': '^who' is not supported",
        r"(?i)who": "(?i)who': '(?i)who' is not supported",
        r"(?<!ab)c": "(?<!ab)c': 'c' is not supported",
        r"(?:a*)*b": "(?:a*)*b': '*b' is not supported",
        r"(?:ab){65}": "(?:ab){65}': '{65}' is not supported",
        r"[a-z&&[^n]]": "[a-z&&[^n]]': '[a-z&&[^n]]' is not supported",
        r"[a-z&&&n]": "[a-z&&&n]': '[a-z&&&n]' is not supported",
        r"a*": "a*': may match the empty text",
    }.items():
        case(pattern, f"pattern '{what}").pre_tokenizer = pre_tokenizers.Split(
            Regex(pattern), "removed"
        )
    many = "|".join(map(chr, range(0x4E00, 0x4E80)))
    case(
        "sets", "its patterns hold 128 character classes, limit 63"
    ).pre_tokenizer = pre_tokenizers.Split(Regex(many), "removed")
    return cases


@pytest.mark.parametrize("case", refused())
def test_the_error_names_the_unsupported_feature(case: str) -> None:
    tokenizer, message = refused()[case]
    with pytest.raises(CannotCompileError) as caught:
        compile_tokenizer(tokenizer.to_str().encode())
    assert str(caught.value) == message


def test_the_check_refuses_a_lookup_of_another_tokenizer() -> None:
    lookup, _ = compiled("whitespace")
    with pytest.raises(
        CannotCompileError, match="^its lookup differs from the library's result on \"Who's it"
    ):
        check_against_library(lookup, tiny_tokenizer(), ["Who's it?"])


def test_the_check_refuses_a_lookup_with_one_wrong_mark() -> None:
    lookup, tokenizer = compiled("trained")
    cells, page = lookup.byte_cells.copy(), lookup.byte_index[1, 3]
    assert cells[page, 1]  # of U+0301
    cells[page, 1] = 0
    with pytest.raises(
        CannotCompileError, match="^its lookup differs from the library's result on "
    ):
        check_against_library(replace(lookup, byte_cells=cells), tokenizer.to_str().encode(), [])
