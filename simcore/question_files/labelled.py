"""Read the records of files whose lines are a label and a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .layout import FASTTEXT, Form
from .record import Fault, InputRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .layout import Layout
    from .lines import LineReader
    from .options import ReadOptions

_NO_TAB: Final = Fault("bad_record", "no TAB between label and text")


def label_blocks(
    reader: LineReader, layout: Layout, options: ReadOptions
) -> Iterator[list[InputRecord]]:
    """Yield the records of a file of the form PAIRS, TREC or FASTTEXT in blocks; blank lines are skipped.

    Raises
    ------
    QuestionFileError
        See `LineReader.blocks`.

    """
    split = {
        Form.TREC: lambda line: _trec(line, fine=options.fine),
        Form.FASTTEXT: _fasttext,
    }.get(layout.form, _text_first if layout.places.text == 0 else _label_first)
    for first, lines in reader.blocks():
        yield [
            _record(number, split(line), labelled=options.examples)
            for number, line in enumerate(lines, first)
            if line and not line.isspace()
        ]


def _record(number: int, found: tuple[str, str] | Fault, *, labelled: bool) -> InputRecord:
    if isinstance(found, Fault):
        return InputRecord(number, None, found)
    label, text = found
    return InputRecord(
        number, text.strip(), None, " ".join(label.split()) or None if labelled else None
    )


def _label_first(line: str) -> tuple[str, str] | Fault:
    """Return the label and the text of a line, or what is wrong with it."""
    label, tab, text = line.partition("\t")
    return (label, text) if tab else _NO_TAB


def _text_first(line: str) -> tuple[str, str] | Fault:
    text, tab, label = line.rpartition("\t")
    return (label, text) if tab else _NO_TAB


def _trec(line: str, *, fine: bool) -> tuple[str, str] | Fault:
    label, _, text = line.strip().partition(" ")
    coarse, colon, rest = label.partition(":")
    if not (coarse and colon and rest):
        return Fault("bad_label", f"label {label[:60]!r} is not COARSE:fine")
    return label if fine else coarse, text


def _fasttext(line: str) -> tuple[str, str] | Fault:
    """Read fastText's `__label__NAME text`; of several labels, the first counts."""
    text, label = line.strip(), ""
    while text.startswith(FASTTEXT):
        word, _, text = text.partition(" ")
        label = label or word.removeprefix(FASTTEXT)
        text = text.lstrip()
    if not label:
        return Fault("bad_label", f"it does not begin with {FASTTEXT} and a name, as others do")
    return label, text
