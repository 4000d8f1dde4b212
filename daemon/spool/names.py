"""File names: which are inputs, what their results are called, and how they are printed.

A name is a `str` as `os.fsdecode` gives it: bytes that are not UTF-8 are lone surrogates in it, and it may hold
anything but `/` and NUL.  Nothing is ever read out of a name but its suffix.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final
from urllib.parse import quote_from_bytes

KINDS: Final = (".txt", ".jsonl", ".csv", ".tsv")
"""Suffixes of inputs, compared without case."""

GZIP: Final = ".gz"
"""Suffix that may follow them."""

UNFINISHED: Final = (".tmp", ".part", ".writing", "~")
"""Endings by which producers mark a file that they are still writing."""

MARKER: Final = ".done"
"""With the setting `done_marker`, `x.txt.done` says that `x.txt` is complete."""

RESULT: Final = ".jsonl"
SUMMARY: Final = ".summary.json"
REPORT: Final = ".error.json"

NAME_MAX: Final = 255
"""Longest file name in bytes on ext4, xfs, btrfs and tmpfs."""

TAG: Final = 12
"""Hexadecimal digits of a digest in a name."""

_ROOM: Final = NAME_MAX - len(SUMMARY) - (TAG + 1)


def skipped(name: str) -> bool:
    """Say whether a name in the inbox is none of the daemon's business (yet)."""
    return name.startswith(".") or name.endswith(UNFINISHED)


def kind(name: str) -> str | None:
    """Give the suffix that says how an input is read, before one of gzip, or None."""
    if gzipped(name):
        name = name[: -len(GZIP)]
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - Path drops a trailing dot
    return suffix if suffix in KINDS else None


def gzipped(name: str) -> bool:
    """Say whether a name is that of a gzip file."""
    return name.lower().endswith(GZIP)


def base(name: str) -> str:
    """Give what the results of an input are named after: its name, cut where no suffix would fit."""
    raw = os.fsencode(name)
    if len(raw) <= _ROOM:
        return name
    cut = _ROOM - (TAG + 1)
    while raw[cut] & 0xC0 == 0x80:  # never inside a UTF-8 character
        cut -= 1
    return tagged(os.fsdecode(raw[:cut]), hashlib.sha256(raw).hexdigest())


def tagged(stem: str, digest: str) -> str:
    """Tell a name apart by the head of a hexadecimal digest."""
    return f"{stem}.{digest[:TAG]}"


def printable(name: str) -> str:
    """Percent-encode what cannot be printed, and `%`; `urllib.parse.unquote_to_bytes` undoes it."""
    if name.isprintable() and "%" not in name:
        return name
    return "".join(
        c if c.isprintable() and c != "%" else quote_from_bytes(os.fsencode(c), safe="")
        for c in name
    )
