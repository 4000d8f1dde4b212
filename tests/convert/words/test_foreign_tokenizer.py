"""Files that people give as --tokenizer: the message says what they are, and how to make a tokenizer.json from them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import re
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
import tokenizers
from support import TINY_WORDS, tiny_tokenizer

from spikewatch.convert.errors import ConvertError
from spikewatch.convert.words.tokenizer_file import read_tokenizer_file

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = {word: i for i, word in enumerate(TINY_WORDS)}
SPACY = "part of a spaCy pipeline, "
WORD_LEVEL = "a vocabulary, which does not describe how a text is split into words: in Python, "


def archive(name: str) -> bytes:
    """Return a zip archive as torch.save writes it."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, b"")
    return out.getvalue()


def sentencepiece() -> bytes:
    """Return the first two pieces of a SentencePiece model, in protocol buffers."""
    pieces = b""
    for text in (b"<unk>", b"\xe2\x96\x81the"):
        piece = b"\x0a" + bytes([len(text)]) + text + b"\x15\0\0\0\0"
        pieces += b"\x0a" + bytes([len(piece)]) + piece
    return pieces


FOREIGN: dict[str, tuple[bytes, str]] = {
    "word to id": (json.dumps(VOCABULARY).encode(), WORD_LEVEL),
    "word to id, one level down": (json.dumps({"n": 3, "stoi": VOCABULARY}).encode(), WORD_LEVEL),
    "id to word": (json.dumps(dict(enumerate(TINY_WORDS))).encode(), WORD_LEVEL),
    "list of words": (json.dumps(TINY_WORDS).encode(), WORD_LEVEL),
    "words in lines": ("\n".join(TINY_WORDS).encode(), WORD_LEVEL),
    "bracketed words in lines": (b"[PAD]\n[UNK]\nwho\nwhat\n", WORD_LEVEL),
    "words and counts": (b"the\t120\nof\t80\nwho 3.5\n", WORD_LEVEL),
    "word pieces": (b"[PAD]\n[UNK]\nwho\n##se\n", "the word pieces of a BERT tokenizer, "),
    "merges": (b"#version: 0.2\nt h\nth e\n", "the merges of a byte-pair tokenizer: "),
    "Keras": (
        json.dumps({"class_name": "Tokenizer", "config": {"word_index": "{}"}}).encode(),
        "the JSON of a Keras Tokenizer: ",
    ),
    "Keras, twice": (
        json.dumps(json.dumps({"class_name": "Tokenizer", "config": {}})).encode(),
        "the JSON of a Keras Tokenizer: ",
    ),
    "tokenizer_config": (
        b'{"tokenizer_class": "BertTokenizer", "do_lower_case": true}',
        "settings of a tokenizer of the transformers library: ",
    ),
    "a word named model": (
        json.dumps({"model": 0, "spacy_version": 1, "pad_token": 2}).encode(),
        WORD_LEVEL,
    ),
    "merges without a header": (
        b"t h\nth e\ne r\nth er\n",
        "the merges of a byte-pair tokenizer: ",
    ),
    "word pieces and ids": (b'{"who": 0, "##se": 1}', "the word pieces of a BERT tokenizer, "),
    "bytes and ids": (
        json.dumps({"who": 0, "\u0120is": 1}).encode(),
        "the vocabulary of a byte-pair tokenizer: ",
    ),
    "pairs and ids": (b'{"who</w>": 0, "i": 1}', "the vocabulary of a byte-pair tokenizer: "),
    "SentencePiece's pieces": (
        "<unk>\t0\n\u2581the\t-3.5\ns\t-3.7\n".encode(),
        "the pieces of a SentencePiece model: ",
    ),
    "pieces and ids": (json.dumps({"<unk>": 0, "\u2581the": 1}).encode(), "the pieces of a "),
    "TextVectorization": (
        b'{"module": "keras.layers", "class_name": "TextVectorization", "config": {}}',
        "the settings of a Keras TextVectorization: ",
    ),
    "spaCy's description": (b'{"lang": "en", "name": "x", "spacy_version": ">=3.7"}', SPACY),
    "spaCy's settings": (b"[paths]\ntrain = null\n\n[nlp]\nlang = en\n", SPACY),
    "spaCy's rules": (b"\x86\xadprefix_search\xa1x\xaeinfix_finditer\xa1\xff", SPACY),
    "tiktoken": (b"IQ== 0\nIg== 1\nIw== 2\n", "the ranks of a tiktoken encoding: "),
    "vectors": (b"3 8\n" + b"who 1 2 3 4 5 6 7 8.5\n" * 3, "word vectors: "),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a pointer of Git LFS, ",
    ),
    "page": (b"\n<!DOCTYPE html>\n<html><body></body></html>", "an HTML page: "),
    "gzip": (gzip.compress(tiny_tokenizer()), "a file compressed by gzip: "),
    "bzip2": (bz2.compress(tiny_tokenizer()), "a file compressed by bzip2: "),
    "xz": (lzma.compress(tiny_tokenizer()), "a file compressed by xz: "),
    "zip": (archive("tokenizer.json"), "a file compressed by zip: "),
    "special_tokens_map": (
        b'{"unk_token": "[UNK]", "pad_token": {"content": "[PAD]"}}',
        "settings of a tokenizer of the transformers library: ",
    ),
    "pickle": (pickle.dumps(VOCABULARY), "a pickle, which is not read, "),
    "torchtext": (
        b"\x80\x02ctorchtext.vocab.vocab\nVocab\nq\x00.",
        "a pickle of torchtext, which is not read, ",
    ),
    "torch.save": (archive("vocab/data.pkl"), "a pickle, which is not read, "),
    "SentencePiece": (sentencepiece(), "a SentencePiece model: "),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_people_take_for_a_tokenizer_is_named(tmp_path: Path, kind: str) -> None:
    data, what = FOREIGN[kind]
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ConvertError) as error:
        read_tokenizer_file(path)
    message = str(error.value)
    assert message.startswith(f"{path}: not a tokenizer.json, but {what}")
    assert "tokenizer.json" in message.removeprefix(f"{path}: not a tokenizer.json")
    assert "\n" not in message


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b"[1, 2]",
        b"word",
        b'{"who": 1.5}',
        b"\xff\xfe\x00",
        b'{"model": {"type": "Martian"}}',
        tiny_tokenizer()[:-40],
        b"\x0a\x03",
        b"Some prose here.\nIt has lines of words.\nThree of them.",
    ],
)
def test_any_other_file_is_refused_with_the_librarys_reason(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ConvertError) as error:
        read_tokenizer_file(path)
    assert str(error.value).startswith(f"{path}: not ")
    assert "not a tokenizer.json, but" not in str(error.value)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\n")
    with pytest.raises(ConvertError, match=rf"^{path}: empty; save it again, in Python: "):
        read_tokenizer_file(path)


def test_a_folder_is_refused_and_the_file_to_give_named(tmp_path: Path) -> None:
    def refusal() -> str:
        with pytest.raises(ConvertError) as error:
            read_tokenizer_file(tmp_path)
        return str(error.value)

    assert refusal() == f"{tmp_path}: Is a directory"
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nwho\n##se\n")
    assert refusal().startswith(
        f"{tmp_path}: Is a directory without a tokenizer.json; vocab.txt in it is the word pieces of a BERT tokenizer"
    )
    assert f"BertWordPieceTokenizer({str(tmp_path / 'vocab.txt')!r}" in refusal()
    (tmp_path / "tokenizer.json").write_bytes(tiny_tokenizer())
    assert refusal() == f"{tmp_path}: Is a directory; give {tmp_path}/tokenizer.json"


@pytest.mark.parametrize("name", ["vocab.txt", "merges.txt", "vocab.json"])
def test_the_advice_for_word_pieces_and_pairs_makes_a_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pieces = ["w", "h", "o", "wh", "who", "\u0120"]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwho\n##se\n")
    (tmp_path / "merges.txt").write_text("#version: 0.2\nw h\nwh o\n")
    (tmp_path / "vocab.json").write_text(json.dumps({x: i for i, x in enumerate(pieces)}))
    with pytest.raises(ConvertError) as error:
        read_tokenizer_file(tmp_path / name)
    call = re.search(r"tokenizers\.\w+\(.*\)\.save\('tokenizer\.json'\)", str(error.value))
    assert call is not None
    eval(call[0].replace("...", "True"), {"tokenizers": tokenizers})  # noqa: S307 - our own words
    made = tokenizers.Tokenizer.from_str(read_tokenizer_file(tmp_path / "tokenizer.json").decode())
    assert "who" in made.encode("who").tokens
