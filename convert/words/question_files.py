"""Files of questions, with or without labels.

| suffix   | a line                          | encoding   | labels            |
| -------- | ------------------------------- | ---------- | ----------------- |
| `.label` | `COARSE:fine tokens` (TREC)     | ISO-8859-1 | yes               |
| `.tsv`   | label, TAB, text                | UTF-8      | yes               |
| `.jsonl` | `{"label": ..., "text": ...}`   | UTF-8      | may be left out   |
| `.txt`   | text                            | UTF-8      | no                |

Blank lines are skipped everywhere; a `.tsv` may start with the header `label<TAB>text`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["SUFFIXES", "Example", "read_questions"]

_SHOWN: Final = 60  # characters of a bad line that an error shows


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One question; `label` is None where the file gives none."""

    text: str
    label: str | None = None


def read_questions(path: Path, *, labelled: bool, fine: bool = False) -> list[Example]:
    """Read all questions of a file, in its order.

    Parameters
    ----------
    path
        A `.label`, `.tsv`, `.jsonl` or `.txt` file.
    labelled
        Whether every question must have a label; otherwise labels are read where there are any.
    fine
        Keep TREC's fine label (`HUM:ind`) instead of the coarse one (`HUM`); `.label` files only.

    Raises
    ------
    DataError
        The file cannot be read, has an unknown suffix, holds no question, or a line is malformed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DataError(f"{path}: unknown suffix {suffix!r}, expected one of {known}")
    if labelled and suffix == ".txt":
        raise DataError(f"{path}: a .txt file has no labels, and labels are needed here")
    questions = []
    for number, line in enumerate(_lines(path, suffix), start=1):
        if not line.strip() or (number == 1 and suffix == ".tsv" and line == "label\ttext"):
            continue
        where = f"{path}:{number}"
        question = _PARSERS[suffix](line, where)
        if not question.text:
            raise DataError(f"{where}: no text in {_show(line)}")
        if labelled and not question.label:
            raise DataError(f"{where}: no label in {_show(line)}")
        if suffix == ".label" and not fine and question.label is not None:
            question = Example(text=question.text, label=question.label.partition(":")[0])
        questions.append(question)
    if not questions:
        raise DataError(f"{path}: no questions in it")
    return questions


def _lines(path: Path, suffix: str) -> list[str]:
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise DataError(f"{path}: {e.strerror or e}") from None
    if suffix == ".label":
        return [line.rstrip("\r") for line in raw.decode("iso-8859-1").split("\n")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        number = raw.count(b"\n", 0, e.start) + 1
        raise DataError(f"{path}:{number}: byte 0x{raw[e.start]:02x} is not UTF-8") from None
    # Not splitlines(): it also cuts at U+2028 and at form feeds, and the numbers would drift.
    return [line.rstrip("\r") for line in text.split("\n")]


def _parse_label(line: str, where: str) -> Example:
    label, _, text = line.strip().partition(" ")
    coarse, colon, fine = label.partition(":")
    if not (coarse and colon and fine):
        raise DataError(f"{where}: label {_show(label)} is not COARSE:fine")
    return Example(text=text.strip(), label=label)


def _parse_tsv(line: str, where: str) -> Example:
    label, tab, text = line.partition("\t")
    if not tab:
        raise DataError(f"{where}: no TAB between label and text in {_show(line)}")
    return Example(text=text.strip(), label=label.strip())


def _parse_jsonl(line: str, where: str) -> Example:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise DataError(f"{where}: not JSON ({e}): {_show(line)}") from None
    if not isinstance(record, dict):
        raise DataError(f"{where}: not a JSON object: {_show(line)}")
    text, label = record.get("text"), record.get("label")
    if not isinstance(text, str):
        raise DataError(f"{where}: 'text' is {_show(text)}, not a string")
    if label is not None and not isinstance(label, str):
        raise DataError(f"{where}: 'label' is {_show(label)}, not a string")
    try:
        f"{text}{label}".encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: half a surrogate pair: {_show(line)}") from None
    # a label stands in one field of one line of a .tsv as well
    return Example(text=text.strip(), label=None if label is None else " ".join(label.split()))


def _parse_txt(line: str, where: str) -> Example:
    del where  # every line is a question
    return Example(text=line.strip())


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_PARSERS: Final[dict[str, Callable[[str, str], Example]]] = {
    ".label": _parse_label,
    ".tsv": _parse_tsv,
    ".jsonl": _parse_jsonl,
    ".txt": _parse_txt,
}
SUFFIXES: Final = tuple(_PARSERS)
