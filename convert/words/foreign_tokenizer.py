"""Recognise files that people take for a tokenizer.json, and describe how to make one from them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

VOCABULARY: Final = (
    "a vocabulary, which does not describe how a text is split into words: in Python,"
    " tokenizers.Tokenizer(tokenizers.models.WordLevel({words}, unk_token=...)), give it the normalizer and"
    " pre_tokenizer that split texts as in training, and save it as tokenizer.json"
)
WORD_PIECES: Final = (
    "the word pieces of a BERT tokenizer, without its settings: in Python,"
    " tokenizers.BertWordPieceTokenizer({path!r}, lowercase=...).save('tokenizer.json')"
)
TRANSFORMERS: Final = (
    "settings of a tokenizer of the transformers library: give the tokenizer.json beside it, or make one in Python:"
    " transformers.AutoTokenizer.from_pretrained(FOLDER).backend_tokenizer.save('tokenizer.json')"
)
KERAS: Final = (
    "the JSON of a Keras Tokenizer: in Python, make tokenizers.models.WordLevel of its word_index (a dict of word and"
    " id, with oov_token as unk_token), the normalizer Lowercase if 'lower', pre_tokenizers that split at the"
    " characters of 'filters' and at 'split', and save that as tokenizer.json"
)
SENTENCEPIECE: Final = (
    "a SentencePiece model: in Python,"
    " transformers.convert_slow_tokenizer.convert_slow_tokenizer(SLOW_TOKENIZER).save('tokenizer.json'), or"
    " tokenizers.SentencePieceUnigramTokenizer.from_spm({path!r}).save('tokenizer.json')"
)
PICKLE: Final = (
    "a pickle{maker}, which is not read, since that would run code in it: in Python, make a dict of word and id from it"
    " (torchtext: vocab.get_stoi()), then tokenizers.Tokenizer(tokenizers.models.WordLevel(..., unk_token=...)) with"
    " the normalizer and pre_tokenizer that split texts as in training, and save it as tokenizer.json"
)
MERGES: Final = (
    "the merges of a byte-pair tokenizer: in Python, with its vocab.json,"
    " tokenizers.ByteLevelBPETokenizer('vocab.json', {path!r}).save('tokenizer.json')"
)

_TRANSFORMERS_KEYS: Final = frozenset(
    {
        "added_tokens_decoder",
        "architectures",
        "bos_token",
        "cls_token",
        "do_lower_case",
        "eos_token",
        "model_max_length",
        "model_type",
        "pad_token",
        "tokenizer_class",
        "tokenizer_file",
        "unk_token",
    }
)
"""Keys of tokenizer_config.json, special_tokens_map.json and config.json."""

_MANY_LINES: Final = 3
"""A text file is taken for a list of words from so many lines on."""

_NUMBERED: Final = "{word: i for i, word in enumerate(words)}"

_MAKERS: Final = {
    b"torchtext": " of torchtext",
    b"keras": " of Keras",
    b"sklearn": " of scikit-learn",
}


def describe_foreign(data: bytes, path: str) -> str:
    """Return what a file is that is not a tokenizer.json, and how to make one from it; empty if it is not recognised.

    Parameters
    ----------
    data
        The content, which decides.
    path
        The name, for the instructions only.

    """
    if _is_pickle(data):
        maker = next((words for name, words in _MAKERS.items() if name in data), "")
        return PICKLE.format(maker=maker)
    if _is_sentencepiece(data):
        return SENTENCEPIECE.format(path=path)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    try:
        document = json.loads(text)
        if isinstance(document, str):  # json.dump of Keras' to_json(), which is JSON already
            document = json.loads(document)
    except (ValueError, RecursionError):
        return _describe_text(text, path)
    return _describe_json(document)


def _is_pickle(data: bytes) -> bool:
    # Protocols 2 to 5; torch.save writes them into a zip archive.
    if data[:4] == b"PK\3\4":
        return b"data.pkl" in data[:200]
    return data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5")


def _is_sentencepiece(data: bytes) -> bool:
    """Return whether protocol buffers begin with a message of a string and a float: the first piece and its score."""
    if len(data) < 5 or data[0] != 0x0A or data[2] != 0x0A:
        return False
    score = 4 + data[3]
    return data[score : score + 1] == b"\x15"


def _describe_json(document: Any) -> str:
    if not isinstance(document, dict) or "model" in document:
        is_words = isinstance(document, list) and _all(document, str)
        return VOCABULARY.format(words=_NUMBERED) if is_words else ""
    if document.get("class_name") == "Tokenizer" or "word_index" in document:
        return KERAS
    if _TRANSFORMERS_KEYS & document.keys() and not _all(document.values(), int):
        return TRANSFORMERS
    if _all(document.values(), str) and all(key.isdecimal() for key in document):
        return VOCABULARY.format(words="{word: int(i) for i, word in words.items()}")
    # also one level down, where some write {"vocab": {word: id}, ...}
    for part in (document, *document.values()):
        if isinstance(part, dict) and _all(part.values(), int):
            return VOCABULARY.format(words="vocabulary")
    return ""


def _all(values: Collection[Any], kind: type) -> bool:
    """Return whether there are values, and all of one kind."""
    return bool(values) and all(type(value) is kind for value in values)


def _describe_text(text: str, path: str) -> str:
    lines = text.splitlines()
    damaged = text.lstrip()[:1] == "{" or "\0" in text
    if lines and lines[0].startswith("#version"):
        return MERGES.format(path=path)
    if len(lines) < _MANY_LINES or damaged:
        return ""
    if any(line.startswith("##") for line in lines):
        return WORD_PIECES.format(path=path)
    # a word in each line, or a word and its number
    if all(len(p) == 1 or (len(p) == 2 and _is_number(p[1])) for p in map(str.split, lines)):
        return VOCABULARY.format(words=_NUMBERED)
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
