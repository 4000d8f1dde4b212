"""Read files of questions, with or without labels, as the daemon reads them (docs/question-files.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore.classifier import read_labels
from ...simcore.question_files import QuestionFileError, ReadOptions, names, questions
from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from ...simcore.question_files import InputRecord

__all__ = ["AS_USUAL", "Example", "evenly", "for_model", "read_questions", "without_numbers"]

AS_USUAL: Final = ReadOptions()
"""How files are read where nothing else is said."""

_SHOWN: Final = 60  # characters of a text quoted in an error message


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One question of a file; `label` is None if the file has no label for it."""

    text: str
    label: str | None = None


def read_questions(
    path: Path, *, labelled: bool, fine: bool = False, reading: ReadOptions = AS_USUAL
) -> list[Example]:
    """Read all questions of a file, in file order.

    Parameters
    ----------
    path
        The file; its suffix is one of `simcore.question_files.names`.
    labelled
        Whether every question must have a label; if False, labels are read where the file has them.
    fine
        Keep TREC's fine label (`HUM:ind`) instead of the coarse one (`HUM`); affects `.label` files only.
    reading
        Encoding and names of columns.

    Raises
    ------
    DataError
        If the file cannot be read, has an unknown suffix or holds no question, or if a record is malformed.
    """
    options = replace(reading, examples=True, fine=fine)
    try:
        return [_example(record, path, labelled=labelled) for record in _records(path, options)]
    except QuestionFileError as e:
        message = str(e)
        where = "" if message.startswith("line ") else " "
        raise DataError(f"{path}:{where}{message.removeprefix('line ')}") from None
    except OSError as e:
        raise DataError(f"{path}: {e.strerror or e}") from None


def for_model(reading: ReadOptions, files: Mapping[str, bytes]) -> ReadOptions:
    """Return how question files are read given a model's files, whose labels show the columns without a header."""
    labels = files.get("labels.json")
    return reading if labels is None else replace(reading, labels=tuple(read_labels(labels)))


def evenly(examples: list[Example], limit: int) -> list[Example]:
    """Choose at most `limit` questions, evenly over the file."""
    if len(examples) <= limit:
        return examples
    chosen = np.linspace(0, len(examples) - 1, limit).astype(int)
    return [examples[i] for i in chosen]


def without_numbers(examples: list[Example], classes: Collection[str]) -> list[Example]:
    """Return the questions without their labels if these are numbers, and not names of classes.

    Exports of data sets number their classes, in an order that may differ from that of `labels.json`.
    """
    labels = {example.label or "" for example in examples}
    if labels & set(classes) or not all(map(str.isdecimal, labels)):
        return examples
    return [replace(example, label=None) for example in examples]


def _records(path: Path, options: ReadOptions) -> Iterator[InputRecord]:
    kind, packing = names.kind(path.name), names.packing(path.name)
    with path.open("rb") as file:
        for block in questions(file.read, kind, options, packing=packing, name=path.name):
            yield from block


def _example(record: InputRecord, path: Path, *, labelled: bool) -> Example:
    where = f"{path}:{record.id}"
    if record.fault is not None:
        raise DataError(f"{where}: {record.fault.message}")
    text = (record.text or "").strip()
    if not text:
        raise DataError(f"{where}: a question without text: write one, or delete the record")
    if labelled and not record.label and names.kind(path.name) == ".txt":
        raise DataError(
            f"{path}: its lines have no labels, but labels are required here: write label TAB text, or a table with"
            " a column label"
        )
    if labelled and not record.label:
        raise DataError(
            f"{where}: no label for {_show(text)}: name its column or key label, or name it with --label-field"
        )
    return Example(text=text, label=record.label)


def _show(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
