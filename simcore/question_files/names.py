"""File names: which suffixes mean which format, and which mean that the file is compressed."""

from __future__ import annotations

import os
from typing import Final

ZIP: Final = ".zip"

KINDS: Final = (".txt", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".label")
"""Suffixes that decide how a file is read; case is ignored."""

PACKINGS: Final = (".gz", ".bz2", ".xz", ".zst", ZIP)
"""Suffixes of compressed files, after one of KINDS; `.zip` may also be alone, because it has a name inside."""

_SHEET: Final = "save the sheet as CSV"

_ADVICE: Final = {
    _SHEET: (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"),
    "save it as plain text (.txt)": (".docx", ".doc", ".odt", ".rtf", ".pdf", ".html", ".htm"),
    "save it as JSON lines (.jsonl)": (".xml", ".yaml", ".yml", ".arrow", ".feather", ".pkl"),
    "unpack it": (".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"),
    "unpack it, or pack it with gzip": (".lzma", ".lz", ".lz4", ".z", ".br", ".sz"),
    "save it as CSV, or have spikewatchd batch answer it": (".parquet",),
}
"""What to do with files of other suffixes."""


def kind(name: str) -> str | None:
    """Return the suffix that decides how a file is read, without that of its compression; None if it is unknown.

    A bare `.zip` is its own kind: the name inside decides.
    """
    packed = packing(name)
    suffix = _suffix(name[: -len(packed)] if packed else name)
    if suffix in KINDS:
        return suffix
    return ZIP if packed == ZIP else None


def packing(name: str) -> str | None:
    """Return the suffix of a name's compression, or None."""
    suffix = _suffix(name)
    return suffix if suffix in PACKINGS else None


def unknown(name: str, *others: str) -> str:
    """Return why the name of a file is refused, and what to do; `others` are suffixes that are read as well."""
    packed = packing(name)
    inner = name[: -len(packed)] if packed else name
    suffix = _suffix(inner)
    advice = next((advice for advice, suffixes in _ADVICE.items() if suffix in suffixes), None)
    if advice is None:
        advice = "save it as one of these, or rename it"
        if packed is not None:
            advice = f"unpack it once, or rename it (to questions.txt{packed} for example)"
    return f"its name must end in {', '.join((*KINDS, *others))}: {advice}"


def unknown_inside(member: str) -> str:
    """Return why an archive is refused by the name of the file in it, and what to do."""
    if _suffix(member) in _ADVICE[_SHEET]:
        return f"it holds {member}: {_SHEET}"
    return f"it holds {member}, whose name does not end in {', '.join(KINDS)}: unpack it"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - Path drops a trailing dot
