"""Recognise files that hold no questions as text, whatever their name says: documents, pictures, archives, programs."""

from __future__ import annotations

import re
from typing import Final

from .errors import QuestionFileError

HEAD_BYTES: Final = 512
"""First bytes of a file that are looked at: a tar archive names itself at byte 257."""

_TEXT: Final = "save it as plain text (.txt)"
_CSV: Final = "save its questions as CSV"

_KINDS: Final = {
    "pdf": (rb"%PDF-", "a PDF document", _TEXT),
    "rtf": (rb"\{\\rtf", "a rich text document", _TEXT),
    "html": (
        rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype\s+html\b|<html\b[^<]*>\s*<)",
        "a page of HTML",
        "download the file itself, or save the page as plain text (.txt)",
    ),
    "xml": (rb"(?:\xef\xbb\xbf)?<\?xml\s", "XML", "save its questions as JSON lines (.jsonl)"),
    "ole": (rb"\xd0\xcf\x11\xe0\xa1\xb1", "a document of old Office", f"{_CSV}, or as text (.txt)"),
    "parquet": (
        rb"PAR1\x15",
        "Parquet",
        "name it .parquet for spikewatchd batch, or save it as CSV",
    ),
    "arrow": (rb"ARROW1\x00\x00", "Arrow", _CSV),
    "sqlite": (rb"SQLite format 3\x00", "a SQLite database", _CSV),
    "hdf5": (rb"\x89HDF\r\n", "HDF5", _CSV),
    "picture": (
        rb"\x89PNG\r|\xff\xd8\xff[\xc0-\xfe]|GIF8[79]a",
        "a picture",
        "write its text down",
    ),
    "archive": (
        rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|[^\x00][\s\S]{256}ustar[\x00 ]",
        "an archive",
        "unpack it",
    ),
    "program": (rb"\x7fELF", "a program", "put the questions here that were meant"),
}
"""How the content begins, what it is, and what to do."""

_BEGINNING: Final = re.compile(
    b"|".join(b"(?P<%s>%s)" % (kind.encode(), begin) for kind, (begin, *_) in _KINDS.items()),
    re.IGNORECASE,
)

_OFFICE: Final = (
    "[Content_Types].xml",
    "mimetype",
    "_rels/",
    "docProps/",
    "word/",
    "xl/",
    "Index/",
)
"""How the first name in a document begins that Word, Excel, LibreOffice, Numbers or a library wrote: it is a zip."""


def refuse_foreign(head: bytes) -> None:
    """Refuse the content of a file by its first HEAD_BYTES.

    Raises
    ------
    QuestionFileError
        `other_format`: it is of a format that holds no questions as text.

    """
    if (found := _BEGINNING.match(head)) is not None:
        _, what, advice = _KINDS[found.lastgroup or ""]
        raise QuestionFileError("other_format", f"it is {what}, whatever its name says: {advice}")


def is_foreign(content: bytes) -> bool:
    """Return whether `refuse_foreign` refuses the content of a file."""
    return _BEGINNING.match(content) is not None


def refuse_document(member: str) -> None:
    """Refuse a zip archive that is a document of an office program, by the name of its first file.

    Raises
    ------
    QuestionFileError
        `other_format`.

    """
    if member.startswith(_OFFICE):
        raise QuestionFileError(
            "other_format",
            f"it is a document (a zip that begins with {member}), whatever its name says: save a sheet as CSV, other"
            f" text as plain text (.txt)",
        )
