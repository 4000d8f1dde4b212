"""Files given as --tokenizer: what they are if they are no tokenizer.json, and padding that is written into one."""

from __future__ import annotations

import codecs
import json
import pickle
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from support import TINY_WORDS, tiny_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers

from spikewatch.convert.errors import ConvertError
from spikewatch.convert.words.tokenizer_file import (
    check_pad_to,
    read_tokenizer_file,
    without_padding,
)
from spikewatch.simcore import MAX_WORDS

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = {word: i for i, word in enumerate(TINY_WORDS)}
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
        b"",
        b"{}",
        b"[]",
        b"[1, 2]",
        b"word",
        b'{"who": 1.5}',
        b"\xff\xfe\x00",
        b"PK\3\4zip",
        b'{"model": {"type": "Martian"}}',
        tiny_tokenizer()[:-40],
        b"\x0a",
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


def test_a_folder_is_refused_and_the_tokenizer_in_it_named(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=f"^{tmp_path}: Is a directory$"):
        read_tokenizer_file(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(tiny_tokenizer())
    with pytest.raises(ConvertError, match=f"Is a directory; give {tmp_path}/tokenizer.json$"):
        read_tokenizer_file(tmp_path)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(codecs.BOM_UTF8 + tiny_tokenizer())
    assert read_tokenizer_file(path) == tiny_tokenizer()


def test_a_tokenizer_with_dropout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.5)).save(str(path))
    with pytest.raises(ConvertError, match=r"its model has dropout 0\.5, so that it splits one"):
        read_tokenizer_file(path)


def tokenizer(path: Path, **padding: Any) -> Path:
    """Write a tokenizer of one word for each word of a text, with padding if any is given."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if padding:
        made.enable_padding(**padding)
    made.save(str(path))
    return path


@pytest.mark.parametrize(
    ("options", "short", "long"),
    [
        ((4, None, None, None), [1, 7, 0, 0], [1, 13, 14, 10]),
        ((4, 5, "left", None), [5, 5, 1, 7], [1, 13, 14, 10]),
        ((4, 5, "left", "left"), [5, 5, 1, 7], [14, 10, 15, 16]),
    ],
)
def test_padding_by_the_users_own_code_is_written_into_the_tokenizer(
    tmp_path: Path, options: tuple[Any, ...], short: list[int], long: list[int]
) -> None:
    path = tokenizer(tmp_path / "tokenizer.json", pad_id=3)  # to the longest of a batch: no effect
    made = Tokenizer.from_str(read_tokenizer_file(path, check_pad_to(*options)).decode())
    assert made.encode("who is").ids == short
    assert made.encode("who wrote hamlet in capital france").ids == long


def test_padding_can_be_taken_out(tmp_path: Path) -> None:
    path = tokenizer(tmp_path / "tokenizer.json", length=4)
    made = Tokenizer.from_str(without_padding(path.read_bytes()).decode())
    assert made.encode("who is").ids == [1, 7]


def test_a_tokenizer_that_pads_itself_takes_no_other_padding(tmp_path: Path) -> None:
    path = tokenizer(tmp_path / "tokenizer.json", length=4)
    with pytest.raises(ConvertError, match=r"pads already, so --pad-to 8 has no meaning$"):
        read_tokenizer_file(path, check_pad_to(8, None, None, None))


def test_a_tokenizer_must_not_leave_more_words_than_the_padding(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    made = Tokenizer.from_file(str(tokenizer(path)))
    made.enable_truncation(9)
    made.save(str(path))
    assert read_tokenizer_file(path, check_pad_to(9, None, None, None))
    with pytest.raises(ConvertError, match=r"cuts to 9 words, more than --pad-to 8$"):
        read_tokenizer_file(path, check_pad_to(8, None, None, None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0, None, None, None), f"--pad-to 0: limits 1..{MAX_WORDS}"),
        ((MAX_WORDS + 1, None, None, None), f"--pad-to {MAX_WORDS + 1}: limits 1..{MAX_WORDS}"),
        ((4, -1, None, None), "--pad-id -1: expected a word id, 0 or more"),
        ((4, None, "both", None), "--pad-side both: expected left or right"),
        ((4, None, None, "x"), "--truncate-side x: expected left or right"),
        ((None, 0, None, None), "--pad-id 0: has a meaning only with --pad-to"),
        ((None, None, "left", None), "--pad-side left: has a meaning only with --pad-to"),
    ],
)
def test_wrong_padding_options_are_refused(options: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConvertError) as error:
        check_pad_to(*options)
    assert str(error.value) == message
