"""The words of a text are those that the tokenizers library returns for the text alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support import TINY_WORDS, tiny_model_files, tiny_network
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from spikewatch.simcore import (
    MAX_WORDS,
    NO_WORDS,
    NOT_SPLIT,
    TOO_LONG,
    UNKNOWN_WORD,
    Classifier,
    Encoder,
    InputError,
    ModelError,
)
from spikewatch.simcore.text.splitting import (
    UNKNOWN,
    UNSPLIT,
    LibrarySplitter,
    read_splitter,
    read_tokenizer,
)

VOCABULARY = {word: i for i, word in enumerate(TINY_WORDS)}
TEXTS = [
    "",
    "who",
    "who is the moon",
    "who wrote hamlet in the capital of france",
    "zebra",
    " ",
] * 2
CLS_SEP = processors.TemplateProcessing(
    single="the $A of", special_tokens=[("the", VOCABULARY["the"]), ("of", VOCABULARY["of"])]
)
PADDINGS: list[dict[str, Any] | None] = [
    None,
    {"length": 6, "pad_id": 3},
    {"length": 6, "pad_id": 3, "direction": "left"},
    {"length": 6, "pad_id": 3, "pad_to_multiple_of": 4},
    {"pad_id": 3},
    {"pad_id": 3, "pad_to_multiple_of": 4, "direction": "left"},
    {"length": 0, "pad_id": 3},
]
TRUNCATIONS: list[dict[str, Any] | None] = [
    None,
    {"max_length": 4},
    {"max_length": 4, "direction": "left", "strategy": "only_first"},
    {"max_length": 4, "stride": 1},
]


def tokenizer(*, unknown: str = "<unk>") -> Tokenizer:
    """Return a tokenizer over TINY_WORDS that splits at blanks."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def split(made: Tokenizer, texts: list[str], **options: bool) -> list[list[int]]:
    """Split texts by the splitter of a model with this tokenizer."""
    ids, starts = read_splitter({"tokenizer.json": made.to_str().encode()}, **options).split(texts)
    assert ids.dtype == starts.dtype == np.int64
    return [ids[a:b].tolist() for a, b in pairwise(starts.tolist())]


@pytest.mark.parametrize("special", [None, CLS_SEP], ids=["no-special-tokens", "special-tokens"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_each_text_has_the_words_that_the_library_returns_for_it_alone(
    padding: dict[str, Any] | None, truncation: dict[str, Any] | None, special: Any
) -> None:
    made = tokenizer()
    made.post_processor = special
    if padding is not None:
        made.enable_padding(**padding)
    if truncation is not None:
        made.enable_truncation(**truncation)
    assert split(made, TEXTS) == [made.encode(text).ids for text in TEXTS]


def test_added_tokens_are_words() -> None:
    made = tokenizer()
    made.add_special_tokens([AddedToken("[CLS]", special=True)])
    assert split(made, ["who[CLS]is"]) == [[1, len(TINY_WORDS), 7]]


def test_a_tokenizer_is_not_changed_by_its_splitter() -> None:
    made = tokenizer()
    made.enable_padding(length=6)
    LibrarySplitter(made).split(["who"])
    assert made.padding is not None


@pytest.mark.parametrize(
    "made",
    [
        tokenizer(unknown="<nothing>"),
        Tokenizer(models.WordPiece({"who": 0})),
        Tokenizer(models.Unigram([("who", -1.0), *((c, -9.0) for c in "who")])),
        Tokenizer(models.BPE({"w": 0}, [], unk_token="<nothing>")),
    ],
    ids=["WordLevel", "WordPiece", "Unigram", "BPE"],
)
def test_a_word_that_the_tokenizer_does_not_know_costs_its_own_text_only(made: Tokenizer) -> None:
    """The library raises for the whole batch."""
    known = "w" if isinstance(made.model, models.BPE) else "who"
    made.enable_padding(length=3)
    good = made.encode(known).ids
    assert split(made, [known, "zzz", known, "who zzz"]) == [good, [UNKNOWN], good, [UNKNOWN]]


def test_a_text_that_the_library_refuses_costs_itself_only() -> None:
    made = tokenizer()
    made.enable_truncation(2, strategy="only_second")  # what a single text does not have
    assert split(made, ["who is", "who is the"]) == [[1, 7], [UNSPLIT]]
    reason = LibrarySplitter(made).reason
    assert reason("who is") == ""
    assert reason("who is the") == "Truncation error: Second sequence not provided"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [(7, "int, expected str"), ("a\ud800", "holds a lone surrogate, not valid Unicode")],
)
def test_what_is_no_text_is_named(wrong: Any, text: str) -> None:
    with pytest.raises(InputError, match=f"^text 1: {text}$"):
        split(tokenizer(), ["who", wrong])


def test_ids_of_special_tokens_and_padding_count_as_word_ids() -> None:
    made = tokenizer()
    made.enable_padding(length=3, pad_id=900)
    assert LibrarySplitter(made).highest == 900
    made.post_processor = processors.Sequence(
        [processors.ByteLevel(), processors.BertProcessing(("b", 2000), ("a", 3000))]
    )
    assert LibrarySplitter(made).highest == 3000


def test_padding_beyond_the_longest_question_takes_no_more_memory_than_one_word_more() -> None:
    made = tokenizer()
    made.enable_padding(length=10**12)
    assert [len(words) for words in split(made, ["who"] * 3)] == [MAX_WORDS + 1] * 3


def model(made: Tokenizer, **encoder: Any) -> Classifier:
    """Return a small model with a tokenizer, and an encoder with some attributes."""
    changed = replace(tiny_network().encoder(), **encoder).to_bytes()
    return Classifier.from_files(
        tiny_model_files()
        | {"tokenizer.json": made.to_str().encode(), "encoder.safetensors": changed}
    )


def test_models_of_version_1_read_the_words_of_the_tokenizers_model_only() -> None:
    made = tokenizer()
    made.post_processor = CLS_SEP
    made.enable_truncation(4)
    made.enable_padding(length=12, pad_id=3)
    text = "who wrote hamlet in the capital of france"
    old, new = model(made, model_words_only=True), model(made)
    assert old.word_ids([text]) == [[VOCABULARY[word] for word in text.split()]]
    assert new.word_ids([text]) == [made.encode(text).ids]


def test_an_encoder_of_version_1_is_written_as_such() -> None:
    old = replace(tiny_network().encoder(), model_words_only=True)
    assert b'\\"version\\":1' in old.to_bytes()
    read = Encoder.from_bytes(old.to_bytes())
    assert read.model_words_only
    assert read.to_bytes() == old.to_bytes()


def test_skipped_words_are_dropped_wherever_they_are() -> None:
    dropping, plain = model(tokenizer(), skipped=(0, 8)), model(tokenizer())
    assert dropping.word_ids(["the who zebra is the", "the"]) == [[1, 7], []]
    answers = dropping.classify(["the who zebra is the", "who is", "the"])
    assert answers.label[2] == NO_WORDS
    assert answers.words.tolist() == [2, 2, 0]
    assert answers.scores[0].tolist() == plain.classify(["who is"]).scores[0].tolist()
    assert dropping.answer_ids([[8, 1, 0, 7]]).scores.tolist() == answers.scores[:1].tolist()


def test_texts_that_cannot_be_read_get_labels_of_their_own() -> None:
    made = tokenizer(unknown="<nothing>")
    made.enable_truncation(3, strategy="only_second")
    classifier = model(made, unusable=(2,), skipped=(7,))
    texts = ["who is", "zebra", "who is what", "", "who wrote the moon", "who"]
    answers = classifier.classify(texts)
    assert answers.label.tolist()[1:5] == [UNKNOWN_WORD, UNKNOWN_WORD, NO_WORDS, NOT_SPLIT]
    assert classifier.names(answers)[1:5] == [None] * 4
    assert answers.words.tolist() == [1, 0, 0, 0, 0, 1]
    assert answers.label[0] == answers.label[5] >= 0
    assert not answers.spikes[1:5].any()
    assert classifier.word_ids(texts) == [[1], [], [], [], [], [1]]


def test_padding_that_makes_a_text_too_long_is_answered_so() -> None:
    made = tokenizer()
    made.enable_padding(length=MAX_WORDS + 1, pad_id=1)
    assert model(made).classify(["who"]).label.tolist() == [TOO_LONG]
    assert model(made, skipped=(1,)).classify(["is"]).label[0] >= 0


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"skipped": (0, 21)}, "skipped: id 21, limits 1..20"),
        ({"unusable": (-1,)}, "unusable: id -1, limits 0..20"),
        ({"skipped": (3, 3)}, "skipped: id 3, limits 4..20"),
        ({"skipped": tuple(range(2049))}, "skipped: 2049 ids, limit 2048"),
    ],
)
def test_an_encoder_with_wrong_ids_is_refused(attributes: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=f"^encoder: {text}$"):
        replace(tiny_network().encoder(), **attributes).validate()


def test_the_padding_of_a_model_must_be_known_to_its_encoder() -> None:
    made = tokenizer()
    made.enable_padding(length=3, pad_id=21)
    with pytest.raises(ModelError, match=r"^tokenizer: word id 21, but the encoder knows 0\.\.20$"):
        model(made)
    assert read_tokenizer(made.to_str().encode()).padding is not None
