"""Read the user's tokenizer.json, and write padding into it or take it out."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from ...registry.formats.manifest import MAX_LAYER
from ...simcore.errors import ModelError
from ...simcore.limits import MAX_WORDS
from ...simcore.text.splitting import highest_id, read_tokenizer
from ..errors import ConvertError
from ..files import read_file
from .foreign_tokenizer import describe_foreign

if TYPE_CHECKING:
    from pathlib import Path

Side = Literal["left", "right"]

SIDES: Final = get_args(Side)

MAX_WORD_ID: Final = 10**7
"""Highest word id of a tokenizer, which makes one row for each id: a bound of ours, to limit time and memory."""

NAMES: Final = (
    "tokenizer.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "tokenizer_config.json",
    "meta.json",
)
"""Files that a tokenizer's folder may hold, the most telling first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PadTo:
    """Padding by the user's own code, behind the tokenizer: every question has the same number of words.

    Attributes
    ----------
    length : int
        Number of words, 1..MAX_WORDS; longer questions are cut.
    id : int
        Word id of the padding.
    side : {"left", "right"}
        Whether padding comes before the words or after them.
    cut : {"left", "right"}
        Whether long questions lose their first words or their last ones.

    """

    length: int
    id: int = 0
    side: Side = "right"
    cut: Side = "right"


def check_pad_to(
    length: int | None, number: int | None, side: str | None, cut: str | None
) -> PadTo | None:
    """Check the options --pad-to, --pad-id, --pad-side and --truncate-side; return None if there is no padding.

    Raises
    ------
    ConvertError
        A value is outside its limits, or an option needs --pad-to.

    """
    given = {"--pad-id": number, "--pad-side": side, "--truncate-side": cut}
    if length is None:
        for option, value in given.items():
            if value is not None:
                raise ConvertError(f"{option} {value}: needs --pad-to N")
        return None
    if not 1 <= length <= MAX_WORDS:
        raise ConvertError(f"--pad-to {length}: limits 1..{MAX_WORDS}")
    if number is not None and not 0 <= number <= MAX_WORD_ID:
        raise ConvertError(f"--pad-id {number}: expected a word id, 0 to {MAX_WORD_ID}")
    return PadTo(
        length=length,
        id=number or 0,
        side=_side("--pad-side", side),
        cut=_side("--truncate-side", cut),
    )


def _side(option: str, value: str | None) -> Side:
    for side in SIDES:
        if side == (value or "right"):
            return side  # type: ignore[no-any-return]  # get_args returns Any
    raise ConvertError(f"{option} {value}: expected left or right")


def read_tokenizer_file(path: Path, pad_to: PadTo | None = None) -> bytes:
    """Read a tokenizer.json that the tokenizers library can load; return it with the padding of the user's own code.

    Raises
    ------
    ConvertError
        The file cannot be read, is something else (the message describes what it is and how to make a tokenizer.json
        from it), splits texts at random, or has a padding of its own beside `pad_to`.

    """
    try:
        data = read_file(path, MAX_LAYER).removeprefix(
            codecs.BOM_UTF8
        )  # which editors write, and the library refuses
    except OSError as e:
        raise ConvertError(f"{path}: {e.strerror}{_in_folder(path)}") from None
    if not data.strip():
        raise ConvertError(
            f"{path}: empty; save it again, in Python: tokenizer.save('tokenizer.json')"
        )
    try:
        tokenizer = read_tokenizer(data)
    except ModelError as e:
        foreign = describe_foreign(data, path.name)
        if foreign:
            raise ConvertError(f"{path}: not a tokenizer.json, but {foreign}") from None
        raise ConvertError(f"{path}: {str(e).removeprefix('tokenizer.json: ')}") from None
    highest = highest_id(tokenizer)
    if highest > MAX_WORD_ID:  # the library writes a line for every id up to it
        raise ConvertError(f"{path}: word id {highest}, limit {MAX_WORD_ID}")
    described = json.loads(tokenizer.to_str())
    dropout = described["model"].get("dropout")
    if dropout:
        raise ConvertError(
            f"{path}: its model has dropout {dropout}, so that it splits one text in several ways; set it to null"
        )
    return data if pad_to is None else _with_padding(data, described, pad_to, path)


def _in_folder(folder: Path) -> str:
    """Return which file of a folder to give; empty if it is no folder, or has no such file."""
    found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if found is None or found.name == NAMES[0]:
        return "" if found is None else f"; give {found}"
    try:
        foreign = describe_foreign(read_file(found, MAX_LAYER), str(found))
    except (ConvertError, OSError):
        return ""
    return f" without a tokenizer.json; {found.name} in it is {foreign}" if foreign else ""


def _with_padding(data: bytes, described: dict[str, Any], pad_to: PadTo, path: Path) -> bytes:
    padding, truncation = described["padding"], described["truncation"]
    # BatchLongest alone pads no question by itself
    if padding and (padding["strategy"] != "BatchLongest" or padding["pad_to_multiple_of"]):
        raise ConvertError(f"{path}: pads already, so --pad-to {pad_to.length} has no meaning")
    if truncation and truncation["max_length"] > pad_to.length:
        raise ConvertError(
            f"{path}: cuts to {truncation['max_length']} words, more than --pad-to {pad_to.length}"
        )
    names = {i: word for word, i in read_tokenizer(data).get_vocab(with_added_tokens=True).items()}
    fixed = {
        "strategy": {"Fixed": pad_to.length},
        "direction": pad_to.side.capitalize(),
        "pad_to_multiple_of": None,
        "pad_id": pad_to.id,
        "pad_type_id": 0,
        "pad_token": names.get(pad_to.id, "[PAD]"),
    }
    return with_parts(
        data, padding=fixed, truncation=truncation or truncation_to(pad_to.length, pad_to.cut)
    )


def truncation_to(length: int, side: Side) -> dict[str, Any]:
    """Return the truncation that cuts a text's first words (side left) or last ones (right), as in tokenizer.json."""
    return {
        "direction": side.capitalize(),
        "max_length": length,
        "strategy": "LongestFirst",
        "stride": 0,
    }


def with_parts(data: bytes, **parts: dict[str, Any] | None) -> bytes:
    """Return a tokenizer.json with other parts: padding, truncation."""
    # Characters as such: the vocabulary of another language would become three times as long.
    return json.dumps(json.loads(data) | parts, ensure_ascii=False, indent=1).encode()
