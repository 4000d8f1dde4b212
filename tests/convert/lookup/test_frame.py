"""Hold lookups that truncate, frame and pad equal to the library."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.processors import (
    BertProcessing,
    ByteLevel,
    PostProcessor,
    RobertaProcessing,
    Sequence,
    TemplateProcessing,
)
from trained_tokenizers import ids_of

from spikewatch.convert.lookup import CannotCompileError, check_against_library, compile_tokenizer
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter
from spikewatch.simcore.text.splitting import LibrarySplitter

SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
WORDS = [*SPECIAL, "a", "b", "c", "who", "is", "it", "?"]
CLS, SEP = ("[CLS]", 1), ("[SEP]", 2)


def template(single: str, pair: str = "$A $B") -> TemplateProcessing:
    return TemplateProcessing(single=single, pair=pair, special_tokens=[CLS, SEP])


FRAMES: dict[str, PostProcessor | None] = {
    "no frame": None,
    "template": template("[CLS] $A [SEP]"),
    "at the end": template("$A [SEP] [SEP]"),
    "only the frame": template("[CLS] [SEP]"),
    "bert": BertProcessing(SEP, CLS),
    "roberta": RobertaProcessing(SEP, CLS),
    "bytes": ByteLevel(),
    "sequence": Sequence([ByteLevel(), template("[CLS] $A [SEP]")]),
    "two frames": Sequence([RobertaProcessing(SEP, CLS), BertProcessing(SEP, CLS)]),
    "parts framed": Sequence([template("[CLS] $A", "$A [SEP] $B"), RobertaProcessing(SEP, CLS)]),
    "a pair of parts": Sequence([template("[CLS] $A"), template("$A", "[SEP] $B $A [CLS]")]),
}
CUTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "right": {"max_length": 7},
    "left": {"max_length": 7, "direction": "left"},
    "first only": {"max_length": 8, "stride": 1, "strategy": "only_first"},
    "frame only": {"max_length": 4},
}
PADS: dict[str, dict[str, Any] | None] = {
    "as it is": None,
    "fixed": {"length": 8, "pad_id": 3},
    "fixed left": {"length": 9, "direction": "left", "pad_id": 3, "pad_to_multiple_of": 4},
    "multiple": {"pad_to_multiple_of": 6, "pad_id": 12},
    "longest": {"pad_id": 3},
}


def framed(
    frame: PostProcessor | None = None,
    cut: dict[str, Any] | None = None,
    pad: dict[str, Any] | None = None,
    *,
    unknown: str = "[UNK]",
) -> bytes:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL[1:]])
    if frame is not None:
        made.post_processor = frame
    if cut:
        made.enable_truncation(**cut)
    if pad is not None:
        made.enable_padding(**pad)
    return bytes(made.to_str(), "utf-8")


@cache
def compiled(data: bytes) -> tuple[LookupSplitter, Tokenizer]:
    lookup = Lookup.from_bytes(compile_tokenizer(data).to_bytes())
    return LookupSplitter(lookup), Tokenizer.from_str(data.decode())


PARTS = st.sampled_from([*WORDS, " ", "  ", "x", "\u00e9", "[sep]"])
TEXTS = st.lists(PARTS, max_size=24).map(" ".join) | st.text(max_size=20)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("frame", FRAMES)
@settings(max_examples=5, deadline=None)
@given(texts=st.lists(TEXTS, min_size=10, max_size=20), pad=st.sampled_from([*PADS]))
def test_equal_to_the_library(frame: str, cut: str, texts: list[str], pad: str) -> None:
    splitter, library = compiled(framed(FRAMES[frame], CUTS[cut], PADS[pad]))
    assert ids_of(splitter, texts) == [library.encode(text).ids for text in texts]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=5, max_size=20), pad=st.sampled_from([*PADS]))
def test_an_unknown_word_fails_its_own_text_only_even_if_truncation_cuts_it_off(
    texts: list[str], pad: str
) -> None:
    """Without an unknown token; the library reads the words that truncation cuts off as well."""
    data = framed(FRAMES["template"], CUTS["right"], PADS[pad], unknown="none")
    splitter, library = compiled(data)
    ids, starts = LibrarySplitter(library).split(texts)
    expected = [ids[a:b].tolist() for a, b in pairwise(starts)]
    assert ids_of(splitter, texts) == expected
    found = ids_of(splitter, ["who is it ?", "who is xyz", "a b c a b c a b c xyz"])
    assert [each == [-1] for each in found] == [False, True, True]


@pytest.mark.parametrize(
    "pad",
    [
        {"length": 1024},
        {"length": 2**40},
        {"pad_to_multiple_of": 2**30},
        {"pad_to_multiple_of": 700},
    ],
)
def test_no_text_is_padded_further_than_to_one_word_more_than_a_model_reads(
    pad: dict[str, Any],
) -> None:
    splitter, library = compiled(framed(pad=pad))
    texts = ["", "who", "a " * 800, "a " * 1025, "a " * 1200]
    for text in texts:
        ids, _ = LibrarySplitter(library).split([text])
        assert ids_of(splitter, [text]) == [ids.tolist()]
        assert len(ids) <= max(1025, len(text.split()))


def test_the_check_before_publishing_compares_long_texts() -> None:
    data = framed(FRAMES["bert"], {"max_length": 40}, {"length": 44, "pad_id": 3})
    check_against_library(compile_tokenizer(data), data, ["who is it ?"])
    other = compile_tokenizer(
        framed(FRAMES["bert"], {"max_length": 39}, {"length": 44, "pad_id": 3})
    )
    with pytest.raises(CannotCompileError, match="^its lookup differs from the library's result"):
        check_against_library(other, data, ["who is it ?"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (framed(template("$A $A")), "its post-processor repeats the text"),
        (
            framed(cut={"max_length": 5, "strategy": "only_second"}),
            "truncation: strategy only_second is for pairs of texts",
        ),
        (
            framed(FRAMES["template"], {"max_length": 1}),
            "truncation: max_length 1 is less than its special tokens",
        ),
        (
            framed(Sequence([template("[CLS] $A [SEP]"), template("$A")])),
            "post-processor TemplateProcessing after another is not supported",
        ),
    ],
)
def test_what_cannot_be_compiled_is_named(data: bytes, message: str) -> None:
    with pytest.raises(CannotCompileError) as caught:
        compile_tokenizer(data)
    assert str(caught.value) == message
