from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import typed
from tokenizers import Tokenizer

from spikewatch.convert.words.question_files import read_questions
from spikewatch.convert.words.tokenizer import SPECIALS, build_tokenizer
from spikewatch.convert.words.vectors import Vectors, WordTable, read_vectors

TREC = Path(__file__).parents[4] / "shared" / "trec" / "train_5500.label"
SHARED_VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "en_core_web_md.vec.gz"

KNOWN = (
    "what who do ca wo n't 's 're 've 'll 'd 'm i you is it the celebrities real names o hara clock "
    "u.s u.s.a d.c a.m e coli mail well known th century s mp at t $ % in café naïve li l abner "
    "news rock n roll em and don't"
)


def vectors(words: dict[str, float]) -> Vectors:
    values = list(words.values())
    distinct, rows = np.unique(values, return_inverse=True)
    return Vectors(
        words=tuple(words),
        rows=rows.astype(np.int32),
        matrix=distinct.astype(np.float32)[:, None],
    )


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer(vectors({word: i for i, word in enumerate(KNOWN.split())}))[0]


class TestTokens:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("What 's it ?", "what 's it"),
            ("What's it?", "what 's it"),
            ("What\u2019s it?", "what 's it"),
            ("What`s it?", "what 's it"),
            ("celebrities ' real names", "celebrities real names"),
            ("celebrities' real names", "celebrities real names"),
            ("do n't I can 't you won't", "do n't i ca n't you wo n't"),
            ("don\u2019t I can't you wo n't", "do n't i ca n't you wo n't"),
            ("I'm you're we've I'd it'll", "i 'm you 're <unk> 've i 'd it 'll"),
            ("O 'Hara O'Hara o 'clock o'clock", "o hara o hara o clock o clock"),
            ("`` rock 'n' roll ''", "rock n roll"),
            ('"Rock \u2019n\u2019 Roll"', "rock n roll"),
            ("` news ' 'news' \u2018news\u2019", "news news news"),
            ("the U.S. and the U.S.A. in D.C. at a.m.", "the u.s and the u.s.a in d.c at a.m"),
            ("e.coli E-mail well-known", "e coli e mail well known"),
            ("4 , 280 4,280 1,000,000 2.5 7", "<number> " * 5),
            ("in 1984? 1066. 2001, 1999-2000", "in <year> <year> <year> <year> <year>"),
            ("1,984 11984 3000 999 1984.5 2.1984", "<number> " * 6),
            ("the 1980s 1980's", "the <year> s <year> 's"),
            ("19th-century mp3", "<number> th century mp <number>"),
            ("$5 50% AT&T", "$ <number> <number> % at t"),
            ("CAFÉ cafe\u0301 \uff4e\uff45\uff57\uff53", "café café news"),
            ("xyzzy", "<unk>"),
            ("?! ... -- ''", ""),
            ("", ""),
        ],
    )
    def test_are_words_clitics_and_numbers(
        self, tokenizer: Tokenizer, text: str, tokens: str
    ) -> None:
        assert tokenizer.encode(text).tokens == tokens.split()

    def test_are_the_same_after_saving_and_loading(self, tokenizer: Tokenizer) -> None:
        text = "What\u2019s the U.S. news at 7 a.m. in 1984? I can 't"

        loaded = Tokenizer.from_str(tokenizer.to_str())

        assert loaded.encode(text).ids == tokenizer.encode(text).ids


class TestVocabulary:
    def build(self, words: dict[str, float]) -> tuple[dict[str, float], WordTable]:
        tokenizer, table = build_tokenizer(vectors(words))
        ids = tokenizer.get_vocab()
        return {word: float(table.matrix[table.rows[i], 0]) for word, i in ids.items()}, table

    def test_drops_words_that_no_text_can_produce(self) -> None:
        values, table = self.build({"well": 1, "well-known": 2, "...": 3, "don't": 4})

        assert set(values) == {*SPECIALS, "well"}
        assert len(table.matrix) == len(SPECIALS) + 1

    def test_prefers_a_words_own_vector_to_one_of_another_spelling(self) -> None:
        values, _ = self.build({"U.S.": 1, "Us": 2, "u.s": 3, "St.": 4, "ST": 5})

        assert values["u.s"] == 3
        assert values["us"] == 2
        assert values["st"] == 4

    def test_averages_numbers_years_and_everything(self) -> None:
        values, _ = self.build({"1": 1, "2.5": 3, "1984": 10, "2001": 20, "cat": 66})

        assert values["<number>"] == 2
        assert values["<year>"] == 15
        assert values["<unk>"] == 20

    def test_gives_words_of_equal_vectors_one_row(self) -> None:
        _, table = self.build({"cat": 1, "dog": 2, "hound": 2})

        assert len(table.rows) == len(SPECIALS) + 3
        assert len(table.matrix) == len(SPECIALS) + 2


@pytest.fixture(scope="module")
def trec_tokenizer() -> Tokenizer:
    return build_tokenizer(read_vectors(SHARED_VECTORS))[0]


@pytest.mark.skipif(not (TREC.exists() and SHARED_VECTORS.exists()), reason="../shared is absent")
class TestTrec:
    def test_typed_and_spaced_questions_give_the_same_words(
        self, trec_tokenizer: Tokenizer
    ) -> None:
        texts = [q.text for q in read_questions(TREC, labelled=True)]
        spaced = trec_tokenizer.encode_batch(texts)
        as_typed = trec_tokenizer.encode_batch([typed(text) for text in texts])

        changed = [typed(text) for text in texts if typed(text) != text]
        different = [
            text for text, a, b in zip(texts, spaced, as_typed, strict=True) if a.ids != b.ids
        ]

        assert len(changed) > 5000
        assert len(different) <= 0.002 * len(texts), different[:20]

    def test_hold_few_unknown_words(self, trec_tokenizer: Tokenizer) -> None:
        texts = [q.text for q in read_questions(TREC, labelled=True)]
        ids = [i for encoding in trec_tokenizer.encode_batch(texts) for i in encoding.ids]

        assert ids.count(0) / len(ids) < 0.01
