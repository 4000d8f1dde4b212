"""Recognise files of labels and texts without a header: which of two columns is the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LONGEST: Final = 64
"""Most characters of a label or an id."""

_COLUMNS: Final = 2


def text_column(
    rows: Sequence[Sequence[str]], labels: Collection[str], *, by_words: bool
) -> int | None:
    """Return which of two columns is the text; None if this is not certain.

    If one column holds labels of the model alone, the other is the text.  Otherwise every value of the other column is
    one short word, and no more of these are different; the first text, which may be a header, has several words, and
    so have most others.

    Parameters
    ----------
    rows
        The first rows of the file.
    labels
        Labels of the model; may be empty.
    by_words
        Whether the second rule is used: not if a separator may well be part of a text, as a comma may.

    """
    if not rows or any(len(row) != _COLUMNS for row in rows):
        return None
    columns = [[row[i].strip() for row in rows] for i in (0, 1)]
    named = [[_is_label(value, labels) for value in column] for column in columns]
    if any(map(all, named)):
        both = all(map(all, named))
        return None if both else 1 - [all(column) for column in named].index(True)
    if any(map(any, named)):
        return None  # some rows have a label: the first may be a header, or the labels are of another model
    for text, other in ((0, 1), (1, 0)) if by_words else ():
        alike = len(set(columns[other])) <= len(set(columns[text]))
        sentences = [_is_sentence(value) for value in columns[text]]
        mostly = sentences[0] and sum(sentences) * 4 >= len(sentences) * 3
        if alike and mostly and all(map(is_word, columns[other])):
            return text
    return None


def documented(rows: Sequence[Sequence[str]]) -> int | None:
    """Return 1: a `.tsv` without a header has the label first; None if its rows have more columns, all alike."""
    if not rows:
        return None
    widths = {len(row) for row in rows}
    return None if len(rows) > 1 and len(widths) == 1 and max(widths) > _COLUMNS else 1


def _is_label(value: str, labels: Collection[str]) -> bool:
    return value in labels or value.partition(":")[0] in labels


def _is_sentence(value: str) -> bool:
    return len(value.split(None, 1)) > 1


def is_word(value: str) -> bool:
    """Return whether a value is one short word, as labels and ids are."""
    return 0 < len(value) <= _LONGEST and not any(map(str.isspace, value))
