"""File names: which suffixes mean which format, and which mean that the file is compressed."""

from __future__ import annotations

import os
from typing import Final

ZIP: Final = ".zip"

KINDS: Final = (".txt", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".label")
"""Suffixes that decide how a file is read; case is ignored."""

PACKINGS: Final = (".gz", ".bz2", ".xz", ".zst", ZIP)
"""Suffixes of compressed files, after one of KINDS; `.zip` may also be alone, because it has a name inside."""

_ADVICE: Final = {
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".ods": "save the sheet as CSV",
    ".parquet": "spikewatchd batch reads it",
    ".docx": "save it as plain text (.txt)",
    ".pdf": "save it as plain text (.txt)",
    ".tgz": "unpack it",
    ".tar": "unpack it",
}


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
    advice = _ADVICE.get(_suffix(name[: -len(packed)] if packed else name), "rename it")
    return f"its name must end in {', '.join((*KINDS, *others))}: {advice} and try again"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - Path drops a trailing dot
