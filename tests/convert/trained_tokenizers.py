"""Train small tokenizers of parts of words with the trainers of the tokenizers library."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikewatch.simcore.text.lookup import LookupSplitter

WHITESPACE = pre_tokenizers.Whitespace()

CORPUS = (
    "What is the name of the largest lake in Central America ?",
    "Who wrote the song `` Stardust '' in the nineteen-twenties ?",
    "How many people live in the capital of Tuvalu , roughly ?",
    "Where does the café on the corner get its coffee beans from ?",
    "What does NASDAQ stand for , and what are its unlikely antonyms ?",
    "When was the unbelievable underwater tunnel between 1987 and 1994 finished ?",
    "Who was the first woman to win the Nobel prize for chemistry , twice ?",
    "Name a film in which the untouchable detective is wonderfully wrong about everything .",
    "Wie heißt der größte See in Österreich ? naïve façade — 中国 の 東京 привет",
    "How do you make a wonderful , wonderfully unwonderful wonder ?",
)
STEMS = (
    "light",
    "house",
    "keep",
    "er",
    "ing",
    "un",
    "able",
    "over",
    "look",
    "ed",
    "s",
    "under",
    "stand",
)

AWKWARD = (
    *"aehostwW?!.,'#_<>/ \t\n\0éßİſ\u0301\u0338\u200d\ufe0f中国東の—привет\u0345ȼ",
    *("\U00010348", "\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\ud7ff", "\ue000", "\U0010ffff"),
    *("</w>", "##", "<unk>", "[UNK]", "<0x41>", "wonderful", "understanding", "unbelievable", "ing"),
)  # fmt: skip


def corpus() -> Iterator[str]:
    yield from CORPUS
    for first in STEMS:
        yield " ".join(first + second + third for second in STEMS for third in STEMS[::3])


def trained(
    model: models.Model,
    trainer: trainers.Trainer,
    *,
    split: pre_tokenizers.PreTokenizer | None = WHITESPACE,
    normalizer: normalizers.Normalizer | None = None,
    **changed: Any,
) -> bytes:
    """Train a tokenizer, take its special tokens out of the list of added ones, and change settings of the model."""
    made = Tokenizer(model)
    if split is not None:
        made.pre_tokenizer = split
    if normalizer is not None:
        made.normalizer = normalizer
    made.train_from_iterator(corpus(), trainer)
    described = json.loads(made.to_str())
    described["added_tokens"] = []
    described["model"] |= changed
    return json.dumps(described).encode()


def word_pieces(*, prefix: str = "##", **changed: Any) -> bytes:
    """Train WordPiece; `changed` has arguments of `trained`."""
    trainer = trainers.WordPieceTrainer(
        vocab_size=300,
        special_tokens=["[UNK]"],
        continuing_subword_prefix=prefix,
        show_progress=False,
    )
    return trained(
        models.WordPiece(unk_token="[UNK]"),
        trainer,
        **({"continuing_subword_prefix": prefix} | changed),
    )


def pairs(*, words: tuple[str, ...] = (), alphabet: Sequence[str] = (), **changed: Any) -> bytes:
    """Train BPE; `changed` has arguments of `trained`."""
    affixes = {
        key: changed[key]
        for key in ("continuing_subword_prefix", "end_of_word_suffix")
        if key in changed
    }
    trainer = trainers.BpeTrainer(
        vocab_size=400 + len(words),
        special_tokens=["<unk>", *words],
        limit_alphabet=300 if alphabet else 45,
        initial_alphabet=list(alphabet),
        show_progress=False,
        **affixes,
    )
    return trained(models.BPE(unk_token="<unk>"), trainer, **changed)


def scored(*, words: tuple[str, ...] = (), **changed: Any) -> bytes:
    """Train Unigram; `changed` has arguments of `trained`."""
    trainer = trainers.UnigramTrainer(
        vocab_size=200 + len(words),
        special_tokens=["<unk>", *words],
        unk_token="<unk>",
        show_progress=False,
    )
    return trained(models.Unigram(), trainer, **changed)


def ids_of(splitter: LookupSplitter, texts: list[str]) -> list[list[int]]:
    ids, starts = splitter.split(texts)
    return [ids[a:b].tolist() for a, b in pairwise(starts)]
