"""A tokenizer.json that is read, and padding that is written into it."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any

import pytest
from support import TINY_WORDS, tiny_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers

from spikewatch.convert.errors import ConvertError
from spikewatch.convert.words.tokenizer_file import (
    check_pad_to,
    read_tokenizer_file,
    with_parts,
)
from spikewatch.simcore import MAX_WORDS

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = {word: i for i, word in enumerate(TINY_WORDS)}


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
    made = Tokenizer.from_str(with_parts(path.read_bytes(), padding=None).decode())
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
        ((4, -1, None, None), "--pad-id -1: expected a word id, 0 to 10000000"),
        ((4, 10**7 + 1, None, None), "--pad-id 10000001: expected a word id, 0 to 10000000"),
        ((4, None, "both", None), "--pad-side both: expected left or right"),
        ((4, None, None, "x"), "--truncate-side x: expected left or right"),
        ((None, 0, None, None), "--pad-id 0: needs --pad-to N"),
        ((None, None, "left", None), "--pad-side left: needs --pad-to N"),
    ],
)
def test_wrong_padding_options_are_refused(options: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConvertError) as error:
        check_pad_to(*options)
    assert str(error.value) == message


def test_a_word_id_beyond_any_vocabulary_is_refused_at_once(tmp_path: Path) -> None:
    path = tokenizer(tmp_path / "tokenizer.json")
    described = json.loads(path.read_text())
    vocabulary = described["model"]["vocab"]
    vocabulary[next(iter(vocabulary))] = 4 * 10**9
    path.write_text(json.dumps(described))
    with pytest.raises(ConvertError, match=rf"^{path}: word id 4000000000, limit 10000000$"):
        read_tokenizer_file(path)


def test_a_file_of_holes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(ConvertError, match=rf"^{path}: {2**42} bytes, limit {2**26}$"):
        read_tokenizer_file(path)
