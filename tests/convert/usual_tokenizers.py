"""Train whole tokenizers with the usual settings: those of the library's own classes and of its documentation."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers.implementations import (
    BertWordPieceTokenizer,
    ByteLevelBPETokenizer,
    CharBPETokenizer,
    SentencePieceBPETokenizer,
    SentencePieceUnigramTokenizer,
)
from trained_tokenizers import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BERT: Final = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CL100K: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ROBERTA: Final = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _framed(made: Tokenizer, single: str) -> None:
    """Put special tokens around every text."""
    names = [each for each in single.split() if not each.startswith("$")]
    made.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(name, made.token_to_id(name)) for name in set(names)]
    )


def _trained(made: Any, trainer: Any, texts: Iterable[str]) -> Tokenizer:
    found: Tokenizer = made
    found.train_from_iterator(texts, trainer)
    return found


def words(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train whole words in lower case, without special tokens in the texts."""
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=["[UNK]", "[PAD]"], show_progress=False
    )
    return _trained(made, trainer, texts)


def words_in_a_frame(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train whole words between special tokens, cut and filled up to 16."""
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=BERT, show_progress=False)
    made = _trained(made, trainer, texts)
    _framed(made, "[CLS] $A [SEP]")
    made.enable_truncation(16)
    made.enable_padding(pad_id=0, pad_token="[PAD]", length=16)
    return made


def known_words(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train whole words without a word for unknown ones, which are then an error."""
    made = Tokenizer(models.WordLevel())
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=["[CLS]", "[SEP]", "[PAD]"], show_progress=False
    )
    made = _trained(made, trainer, texts)
    _framed(made, "[CLS] $A [SEP]")
    made.enable_truncation(8)
    made.enable_padding(pad_id=2, pad_to_multiple_of=4)
    made.add_tokens(["wonderfully", "New York"])
    return made


def characters(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train one word for each character."""
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFC()])
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    made = _trained(made, trainer, texts)
    made.enable_truncation(64, direction="left")
    made.enable_padding(direction="left")
    return made


def bert(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train BERT's as the library's class does."""
    made = BertWordPieceTokenizer()
    made.train_from_iterator(texts, vocab_size=size, special_tokens=BERT, show_progress=False)
    return Tokenizer.from_str(made.to_str())


def bert_cased(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train BERT's with its post-processor, in mixed case, cut to 12 and filled up to a multiple of 8."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=BERT, show_progress=False)
    made = _trained(made, trainer, texts)
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_truncation(12)
    made.enable_padding(pad_to_multiple_of=8)
    return made


def gpt2(texts: Iterable[str], size: int = 600) -> Tokenizer:
    """Train GPT-2's as the library's class does."""
    made = ByteLevelBPETokenizer()
    made.train_from_iterator(
        texts, vocab_size=size, special_tokens=["<|endoftext|>"], show_progress=False
    )
    return Tokenizer.from_str(made.to_str())


def roberta(texts: Iterable[str], size: int = 600) -> Tokenizer:
    """Train RoBERTa's, with a mask that takes the blank before it along."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*ROBERTA[:-1], AddedToken("<mask>", lstrip=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made = _trained(made, trainer, texts)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made.enable_truncation(32)
    made.enable_padding(pad_id=1, pad_token="<pad>")
    return made


def quicktour(texts: Iterable[str], size: int = 400) -> Tokenizer:
    """Train the tokenizer of the library's quicktour."""
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    made = _trained(made, trainer, texts)
    _framed(made, "[CLS] $A [SEP]")
    made.enable_padding(pad_id=3, pad_token="[PAD]")
    return made


def quicktour_without_unknown_word(texts: Iterable[str], size: int = 400) -> Tokenizer:
    """Train BPE that drops what it does not know."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFD()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[EOS]"], limit_alphabet=40, show_progress=False
    )
    made = _trained(made, trainer, texts)
    _framed(made, "$A [EOS]")
    made.enable_truncation(20, direction="left")
    made.enable_padding(direction="left", pad_to_multiple_of=5)
    return made


def llama3(texts: Iterable[str], size: int = 600) -> Tokenizer:
    """Train one like Llama 3's: bytes, a pattern of its own, and whole words before merges."""
    made = Tokenizer(models.BPE(ignore_merges=True))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CL100K), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made = _trained(made, trainer, texts)
    frame = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), frame])
    return made


def openai_gpt(texts: Iterable[str], size: int = 400) -> Tokenizer:
    """Train Sennrich's BPE with a suffix as the library's class does."""
    made = CharBPETokenizer(lowercase=True, unicode_normalizer="nfkc")
    made.train_from_iterator(texts, vocab_size=size, show_progress=False)
    return Tokenizer.from_str(made.to_str())


def llama(texts: Iterable[str], size: int = 700) -> Tokenizer:
    """Train one like Llama's: a prefix, no split, and bytes for what is not in the vocabulary."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special[:3], limit_alphabet=60, show_progress=False
    )
    made = _trained(made, trainer, texts)
    made = with_words(made, special[3:])
    _framed(made, "<s> $A")
    return made


def with_words(made: Tokenizer, more: list[str]) -> Tokenizer:
    """Add words to a model's own vocabulary, as the converters of other tokenizers do."""
    described = json.loads(made.to_str())
    vocabulary = described["model"]["vocab"]
    for word in more:
        vocabulary.setdefault(word, len(vocabulary))
    return Tokenizer.from_str(json.dumps(described))


def sentencepiece_bpe(texts: Iterable[str], size: int = 400) -> Tokenizer:
    """Train SentencePiece's BPE as the library's class does."""
    made = SentencePieceBPETokenizer(fuse_unk=True)
    made.train_from_iterator(texts, vocab_size=size, show_progress=False, limit_alphabet=60)
    return Tokenizer.from_str(made.to_str())


def sentencepiece_unigram(texts: Iterable[str], size: int = 250) -> Tokenizer:
    """Train SentencePiece's Unigram as the library's class does, with T5's end of a text."""
    inner = SentencePieceUnigramTokenizer()
    inner.train_from_iterator(
        texts,
        vocab_size=size,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    made = Tokenizer.from_str(inner.to_str())
    _framed(made, "$A </s>")
    made.enable_truncation(24)
    made.enable_padding(length=24)
    return made


def unigram_of_bytes(texts: Iterable[str], size: int = 400) -> Tokenizer:
    """Train the Unigram of the library's page on training from memory, which has no unknown word."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<PAD>", "<BOS>", "<EOS>"],
        show_progress=False,
    )
    return _trained(made, trainer, texts)


def unigram_of_texts(texts: Iterable[str], size: int = 300) -> Tokenizer:
    """Train Unigram on words that are cut at punctuation and digits."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex("``|''"), '"'), normalizers.NFKD(), normalizers.StripAccents()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Metaspace(),
        ]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=BERT, unk_token="[UNK]", show_progress=False
    )
    made = _trained(made, trainer, texts)
    _framed(made, "[CLS] $A [SEP]")
    return made


USUAL: Final[dict[str, Callable[..., Tokenizer]]] = {
    each.__name__: each
    for each in (
        words,
        words_in_a_frame,
        known_words,
        characters,
        bert,
        bert_cased,
        gpt2,
        roberta,
        quicktour,
        quicktour_without_unknown_word,
        llama3,
        openai_gpt,
        llama,
        sentencepiece_bpe,
        sentencepiece_unigram,
        unigram_of_bytes,
        unigram_of_texts,
    )
}
"""By name: from texts, and a size of the vocabulary, to a trained tokenizer."""


@cache
def usual(name: str) -> bytes:
    """Return the tokenizer.json of a usual tokenizer, trained once: training it again may not give the same one."""
    made: bytes = USUAL[name](list(corpus())).to_str().encode()
    return made
