"""How question files are read, where the files themselves leave it open."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

UTF8: Final = "utf-8"

_NOT_FILES: Final = frozenset(
    {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"}
)
"""Codecs of Python for text that are not encodings of files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """Settings of one reading.

    Attributes
    ----------
    encoding
        Encoding of files without a byte order mark.
    text_field, id_field, label_field
        Column or key of the text, the id and the label; empty: the known names (see `fields`).
    labels
        Labels of the model, by which the label column of a file without a header is recognised; may be empty.
    examples
        Whether labels are read, and records have their numbers as ids: for training and evaluation.
    fine
        Whether the labels of TREC's `.label` files are the fine ones (`HUM:ind`).
    max_line_bytes
        Longest line, field of a table or record of a JSON file, in bytes of UTF-8.
    max_bytes
        Most bytes of content after decompression, as UTF-8; 0: no limit.

    Raises
    ------
    ValueError
        There is no such encoding (see `checked_encoding`).

    """

    encoding: str = UTF8
    text_field: str = ""
    id_field: str = ""
    label_field: str = ""
    labels: tuple[str, ...] = ()
    examples: bool = False
    fine: bool = False
    max_line_bytes: int = 1 << 20
    max_bytes: int = 0

    def __post_init__(self) -> None:
        if self.encoding != UTF8:
            # A plain assignment fails: the class is frozen.
            object.__setattr__(self, "encoding", checked_encoding(self.encoding))


def checked_encoding(name: str) -> str:
    """Return Python's name of an encoding.

    Raises
    ------
    ValueError
        There is no such encoding of text.

    """
    try:
        found = codecs.lookup(name).name
        "\n".encode(found)  # a LookupError for codecs that are not of text, such as base64
    except (LookupError, ValueError):
        found = ""
    if not found or found.replace("_", "-") in _NOT_FILES:
        raise ValueError(f"{name!r}, expected an encoding such as utf-8, cp1252 or utf-16-le")
    return found
