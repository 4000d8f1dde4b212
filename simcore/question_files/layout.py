"""Find out how the records of a file are written, from its kind and its first lines."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from . import pairs
from .errors import QuestionFileError
from .fields import NOWHERE, Places, find, missing_text, twice
from .lines import not_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .options import ReadOptions

SEPARATORS: Final = (",", ";", "\t", "|")
"""Separators of a table's fields, in the order in which they are tried; a `.tsv` is first tried with a TAB."""

ONE_COLUMN: Final = "\x1f"
"""Separator for a table of one column, whose lines may hold any of SEPARATORS: a character that no text has."""

_SEP: Final = re.compile(r'"?sep=(.)"?\r?', re.IGNORECASE)
"""The line with which Excel is told the separator."""


class Form(StrEnum):
    """How records are written."""

    TEXT = "text"
    JSON_LINES = "json lines"
    JSON = "json"
    TABLE = "table"
    PAIRS = "pairs"
    TREC = "trec"
    FASTTEXT = "fasttext"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How the records of one file are written.

    Attributes
    ----------
    form
        See `Form`.
    separator
        Separator of a table's fields.
    columns
        Names of a table's columns; empty if it has no header.
    places
        Indices of its columns of text, id and label.
    header_lines
        Lines at the start of the file that are not records.

    """

    form: Form
    separator: str = ""
    columns: tuple[str, ...] = ()
    places: Places = NOWHERE
    header_lines: int = 0

    @property
    def numbered(self) -> bool:
        """Whether the ids of its records are numbers of lines, which never repeat."""
        return self.form not in {Form.JSON, Form.JSON_LINES} and self.places.id is None


class _Header(NamedTuple):
    """A table's first row as one separator gives it, and the lines that it takes."""

    separator: str
    names: tuple[str, ...]
    lines: int


FASTTEXT: Final = "__label__"
"""How the lines of fastText's files begin: `__label__HUM Who wrote Hamlet?`."""

_FASTTEXT_BYTES: Final = FASTTEXT.encode()

_OVER_LINES: Final = re.compile(rb"\s*[\[{][ \t\r]*\n")
"""How JSON begins that is indented, whatever the suffix: a bracket alone is no record of JSON lines."""

_FORMS: Final = {
    ".jsonl": Form.JSON_LINES,
    ".ndjson": Form.JSON_LINES,
    ".json": Form.JSON,
    ".label": Form.TREC,
}


def find_layout(window: bytes, kind: str, options: ReadOptions, *, whole: bool) -> Layout:
    """Return the layout of a file.

    Parameters
    ----------
    window
        The first bytes of its text, as UTF-8.
    kind
        See `names.kind`; not `.zip`.
    options
        See `ReadOptions`.
    whole
        Whether these are all of its bytes.

    Raises
    ------
    QuestionFileError
        `no_text_column`: a table whose text column cannot be found, or that has two of its name; `bad_utf8`, if its
        first line is not UTF-8.

    """
    # The limit is global, and another file was perhaps read with a smaller one.
    csv.field_size_limit(len(window))
    if kind in _FORMS:
        over_lines = _FORMS[kind] is Form.JSON_LINES and _OVER_LINES.match(window)
        return Layout(form=Form.JSON if over_lines else _FORMS[kind])
    if kind == ".txt" and is_plain(window):
        return Layout(form=Form.TEXT)
    lines = window.decode(errors="replace").split("\n")
    if not whole and len(lines) > 1:
        lines.pop()  # it is cut
    if kind == ".txt":
        return _of_txt(lines, options)
    skipped = 0
    separators: Sequence[str] = SEPARATORS if kind == ".csv" else ("\t", ",", ";", "|")
    if named := _SEP.fullmatch(lines[0]):
        separators, skipped = (named[1],), 1
    headers = [
        header for s in separators if (header := _header(lines[skipped:], s, skipped)) is not None
    ]
    for header in headers:
        places = find(header.names, options)
        if places.text is not None:
            return _table(header, places, options, told=named is not None)
    if not any(line.strip() for line in lines):
        return Layout(form=Form.TEXT)  # it has no record, which `questions` reports
    found = _without_header(lines[skipped:], kind, options, separators)
    if found is not None:
        return found
    _check_utf8(window)
    best = max(headers, key=lambda header: len(header.names), default=None)
    raise QuestionFileError("no_text_column", _why(best, lines[skipped], options))


def is_plain(content: bytes) -> bool:
    """Return whether the content of a `.txt` file is certainly a question on each line: see `_of_txt`."""
    return b"\t" not in content and not content.startswith(_FASTTEXT_BYTES)


def _of_txt(lines: Sequence[str], options: ReadOptions) -> Layout:
    """Return the layout of a `.txt` file, which may be a table with TABs, or have labels.

    Spreadsheets save "Unicode text" with TABs, and collections of labelled texts often have this suffix.
    """
    if all(line.startswith(FASTTEXT) for line in lines if line.strip()):
        return Layout(form=Form.FASTTEXT)
    header = _header(lines, "\t", 0)
    if header is not None and len(header.names) > 1:
        places = find(header.names, options)
        if places.text is not None:
            return _table(header, places, options, told=True)
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    text = pairs.text_column(rows, options.labels, by_words=len(rows) > 1)
    return Layout(form=Form.TEXT) if text is None else _pairs("\t", text, options)


def _pairs(separator: str, text: int, options: ReadOptions) -> Layout:
    places = Places(text=text, id=None, label=1 - text if options.examples else None)
    form = Form.PAIRS if separator == "\t" else Form.TABLE
    return Layout(form=form, separator=separator, places=places)


def _table(header: _Header, places: Places, options: ReadOptions, *, told: bool) -> Layout:
    if why := twice(header.names, places, options):
        raise QuestionFileError("no_text_column", why)
    separator = header.separator if told or len(header.names) > 1 else ONE_COLUMN
    return Layout(
        form=Form.TABLE,
        separator=separator,
        columns=header.names,
        places=places,
        header_lines=header.lines,
    )


def _header(lines: Sequence[str], separator: str, skipped: int) -> _Header | None:
    rows = csv.reader(_feed(lines), delimiter=separator, strict=True)
    try:
        # Blank lines may come before it.
        row = next((row for row in rows if any(row)), None)
    except csv.Error:
        return None
    return None if row is None else _Header(separator, tuple(row), rows.line_num + skipped)


def _feed(lines: Sequence[str]) -> Iterator[str]:
    return (line + "\n" for line in lines)


def _without_header(
    lines: Sequence[str], kind: str, options: ReadOptions, separators: Sequence[str]
) -> Layout | None:
    if options.text_field:
        return None
    for separator in separators:
        if separator == "\t":
            rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
        else:
            rows = _rows(lines, separator)
        text = pairs.text_column(rows, options.labels, by_words=separator == "\t")
        if text is None and separator == "\t" and options.examples and kind == ".tsv":
            text = pairs.documented(rows)
        if text is not None:
            return _pairs(separator, text, options)
    return None


def _rows(lines: Sequence[str], separator: str) -> list[list[str]]:
    try:
        return [
            row for row in csv.reader(_feed(lines), delimiter=separator, strict=True) if any(row)
        ]
    except csv.Error:
        return []


def _check_utf8(window: bytes) -> None:
    first = next(line for line in window.split(b"\n") if line.strip())
    try:
        first.decode()
    except UnicodeDecodeError as e:
        raise not_utf8(1, e.start, first[e.start]) from None


def _why(header: _Header | None, first: str, options: ReadOptions) -> str:
    names = [first[:60]] if header is None else header.names
    separator = "," if header is None else header.separator
    return (
        f"the first line has {missing_text(names, options)}; if it is not a header, put one above it that names each"
        f" column, such as {separator.join(_suggested(names))!r}"
    )


def _suggested(names: Sequence[str]) -> Iterator[str]:
    """Yield names for the columns of a first row: the longest field is the text, a short word before it the label."""
    text = max(range(len(names)), key=lambda i: len(names[i]))
    label = next((i for i, name in enumerate(names) if i != text and pairs.is_word(name)), None)
    for i in range(len(names)):
        yield "text" if i == text else "label" if i == label else f"column{i + 1}"
