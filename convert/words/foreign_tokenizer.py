"""Recognise files that people take for a tokenizer.json, and describe how to make one from them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

VOCABULARY: Final = (
    "a vocabulary, which does not describe how a text is split into words: in Python, make"
    " tokenizers.Tokenizer(tokenizers.models.WordLevel({words}, unk_token=...)), set its normalizer and"
    " pre_tokenizer so that they split texts as in training, and save it as tokenizer.json"
)
WORD_PIECES: Final = (
    "the word pieces of a BERT tokenizer, without its settings: in Python,"
    " tokenizers.BertWordPieceTokenizer({pieces}, lowercase=...).save('tokenizer.json')"
)
PAIRS: Final = (
    "the vocabulary of a byte-pair tokenizer: in Python, with its merges.txt,"
    " tokenizers.{maker}({path!r}, 'merges.txt').save('tokenizer.json')"
)
PIECES: Final = (
    "the pieces of a SentencePiece model: use the tokenizer.json that was made from the model, or make one from its"
    " .model file in Python:"
    " transformers.convert_slow_tokenizer.convert_slow_tokenizer(SLOW_TOKENIZER).save('tokenizer.json')"
)
TRANSFORMERS: Final = (
    "settings of a tokenizer of the transformers library: give the tokenizer.json beside it, or make one in Python:"
    " transformers.AutoTokenizer.from_pretrained(FOLDER).backend_tokenizer.save('tokenizer.json')"
)
KERAS: Final = (
    "the JSON of a Keras Tokenizer: in Python, make tokenizers.models.WordLevel of its word_index (a dict of word and"
    " id, with oov_token as unk_token), the normalizer Lowercase if 'lower', pre_tokenizers that split at the"
    " characters of 'filters' and at 'split', and save that as tokenizer.json; without oov_token, Keras leaves unknown"
    " words out: give unk_token the id 0 if the network has mask_zero"
)
VECTORIZATION: Final = (
    "the settings of a Keras TextVectorization: in Python, make tokenizers.models.WordLevel of its get_vocabulary()"
    " (word and place in the list, with unk_token='[UNK]'), the normalizers Lowercase and Replace (punctuation by"
    " nothing), the pre_tokenizer WhitespaceSplit, and save that as tokenizer.json"
)
SPACY: Final = (
    "part of a spaCy pipeline, whose tokenizer is rules in Python: in Python, make a tokenizers.Tokenizer of"
    " models.WordLevel (word and id as in training), with the normalizer and pre_tokenizer that split texts as spaCy"
    " did, and save it as tokenizer.json"
)
TIKTOKEN: Final = (
    "the ranks of a tiktoken encoding: in Python, transformers.convert_slow_tokenizer.TikTokenConverter({path!r})"
    ".converted().save('tokenizer.json'), with the encoding's pattern and special tokens as further arguments"
)
VECTORS: Final = "word vectors: give them as --vectors, and as --tokenizer a tokenizer.json whose words they belong to"
POINTER: Final = (
    "a pointer of Git LFS, without the content: run git lfs pull, or download tokenizer.json itself"
)
PAGE: Final = "an HTML page: download tokenizer.json itself, not the page that shows it"
PACKED: Final = "a file compressed by {program}: unpack it, and give the tokenizer.json in it"
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
    " tokenizers.{maker}('vocab.json', {path!r}).save('tokenizer.json')"
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

_VECTOR: Final = 8
"""A line is taken for a word vector from so many components on."""

_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\3\4": "zip",
}
"""Programs by the first bytes of what they write."""

_BYTES: Final = "ByteLevelBPETokenizer"
_CHARACTERS: Final = "CharBPETokenizer"
"""Classes of the tokenizers library that are made from a vocabulary and merges."""

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
    described = _describe_bytes(data)
    if described:
        return described.format(path=path)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    try:
        document = json.loads(text)
        if isinstance(document, str):  # json.dump of Keras' to_json(), which is JSON already
            document = json.loads(document)
    except (ValueError, RecursionError):
        maker = _CHARACTERS if "</w>" in text else _BYTES
        described = _describe_text(text)
        return described.format(path=path, words=_NUMBERED, maker=maker, pieces=repr(path))
    return _describe_json(document, path)


def _describe_bytes(data: bytes) -> str:
    if _is_pickle(data):
        maker = next((words for name, words in _MAKERS.items() if name in data), "")
        return PICKLE.format(maker=maker)
    program = next((name for magic, name in _PACKED.items() if data.startswith(magic)), None)
    if program is not None:
        return PACKED.format(program=program)
    if b"infix_finditer" in data:
        return SPACY
    return SENTENCEPIECE if _is_sentencepiece(data) else ""


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


def _describe_json(document: Any, path: str) -> str:
    if isinstance(document, list) and _all(document, str):
        return VOCABULARY.format(words=_NUMBERED)
    # "model" may also be a word of a vocabulary
    if not isinstance(document, dict) or isinstance(document.get("model"), dict):
        return ""
    if _all(document.values(), str) and all(key.isdecimal() for key in document):
        return VOCABULARY.format(words="{word: int(i) for i, word in words.items()}")
    # also one level down, where some write {"vocab": {word: id}, ...}
    for part in (document, *document.values()):
        if isinstance(part, dict) and _all(part.values(), int):
            return _describe_vocabulary(part, path)
    return _describe_settings(document)


def _describe_vocabulary(words: dict[str, int], path: str) -> str:
    if any(word.startswith("##") for word in words):
        return WORD_PIECES.format(pieces="vocabulary")
    if any(word.startswith("\u0120") for word in words):  # a blank, as ByteLevel writes it
        return PAIRS.format(maker=_BYTES, path=path)
    if any(word.endswith("</w>") for word in words):
        return PAIRS.format(maker=_CHARACTERS, path=path)
    if any(word.startswith("\u2581") for word in words):
        return PIECES
    return VOCABULARY.format(words="vocabulary")


def _describe_settings(document: dict[str, Any]) -> str:
    if document.get("class_name") == "Tokenizer" or "word_index" in document:
        return KERAS
    if document.get("class_name") == "TextVectorization" or "output_sequence_length" in document:
        return VECTORIZATION
    if "spacy_version" in document:
        return SPACY
    return TRANSFORMERS if _TRANSFORMERS_KEYS & document.keys() else ""


def _all(values: Collection[Any], kind: type) -> bool:
    """Return whether there are values, and all of one kind."""
    return bool(values) and all(type(value) is kind for value in values)


def _describe_text(text: str) -> str:
    lines = text.splitlines()
    start = text.lstrip()[:9].lower()
    for found, described in (
        (text.startswith("version https://git-lfs"), POINTER),
        (start.startswith(("<!doctype", "<html")), PAGE),
        (text.startswith("#version"), MERGES),
        ("[nlp]" in lines, SPACY),
        (len(lines) < _MANY_LINES or start.startswith("{") or "\0" in text, ""),
        (any(line.startswith("##") for line in lines), WORD_PIECES),
    ):
        if found:
            return described
    return _describe_lines([line.split() for line in lines])


def _describe_lines(parts: list[list[str]]) -> str:
    if all(len(p) > _VECTOR and all(map(_is_number, p[-_VECTOR:])) for p in parts[1:]):
        return VECTORS
    if all(len(p) == 2 for p in parts):
        if _are_ranks(parts):
            return TIKTOKEN
        if _are_merges(parts):
            return MERGES
    if any(p[0].startswith("\u2581") for p in parts if len(p) <= 2):
        return PIECES
    # a word in each line, or a word and its number
    if all(len(p) == 1 or (len(p) == 2 and _is_number(p[1])) for p in parts):
        return VOCABULARY
    return ""


def _are_ranks(parts: list[list[str]]) -> bool:
    """Return whether lines are bytes in base64 and their ranks from 0."""
    if any(rank != str(i) for i, (_, rank) in enumerate(parts)):
        return False
    try:
        return all(base64.b64decode(word, validate=True) for word, _ in parts)
    except ValueError:
        return False


def _are_merges(parts: list[list[str]]) -> bool:
    """Return whether lines are two pieces each, of which some are pieces that lines before made."""
    made = {a + b for a, b in parts}
    used = {piece for pair in parts for piece in pair if len(piece) > 1}
    return used <= made


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
