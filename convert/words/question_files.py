"""Read files of questions, with or without labels.

| suffix   | one line                        | encoding   | labels            |
| -------- | ------------------------------- | ---------- | ----------------- |
| `.label` | `COARSE:fine tokens` (TREC)     | ISO-8859-1 | required          |
| `.tsv`   | label, TAB, text                | UTF-8      | required          |
| `.jsonl` | `{"label": ..., "text": ...}`   | UTF-8      | optional          |
| `.txt`   | text                            | UTF-8      | none              |

Blank lines are skipped in every format; a `.tsv` may start with the header `label<TAB>text`.
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

_SHOWN: Final = 60  # characters of a bad line quoted in an error message


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One question of a file; `label` is None if the file has no label for it."""

    text: str
    label: str | None = None


def read_questions(path: Path, *, labelled: bool, fine: bool = False) -> list[Example]:
    """Read all questions of a file, in file order.

    Parameters
    ----------
    path
        A `.label`, `.tsv`, `.jsonl` or `.txt` file.
    labelled
        Whether every question must have a label; if False, labels are read where the file has them.
    fine
        Keep TREC's fine label (`HUM:ind`) instead of the coarse one (`HUM`); affects `.label` files only.

    Raises
    ------
    DataError
        If the file cannot be read, has an unknown suffix or holds no question, or if a line is malformed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DataError(f"{path}: unknown suffix {suffix!r}, expected one of {known}")
    if labelled and suffix == ".txt":
        raise DataError(f"{path}: a .txt file has no labels, but labels are required here")
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
        raise DataError(f"{path}: the file holds no questions")
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
    # Not splitlines(): it also splits at U+2028 and at form feeds, so line numbers would drift.
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
        raise DataError(f"{where}: unpaired surrogate: {_show(line)}") from None
    # Training writes labels to .tsv files, where a label must not contain TABs or line breaks.
    return Example(text=text.strip(), label=None if label is None else " ".join(label.split()))


def _parse_txt(line: str, where: str) -> Example:
    del where  # cannot fail: every line is a question
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
