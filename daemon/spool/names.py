"""File names: which of them are inputs, how results are named after them, and how they are printed.

A name is a `str` as returned by `os.fsdecode`: bytes that are not UTF-8 become lone surrogates, and every character
except `/` and NUL may occur.  Only the suffix of a name has a meaning.
"""

from __future__ import annotations

import hashlib
import os
from itertools import count
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS: Final = (".txt", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".label")
"""Suffixes of inputs; case is ignored.

These and PACKINGS are those of `simcore.question_files.names`, which reads them (a test compares both): importing that
takes a tenth of a second, which `put` would take longer.
"""

ZIP: Final = ".zip"

PACKINGS: Final = (".gz", ".bz2", ".xz", ".zst", ZIP)
"""Suffixes of compressed inputs, after one of KINDS; `.zip` may also be alone."""

_PACKING_MAX: Final = max(map(len, PACKINGS))

MARKER: Final = ".done"
"""With the setting `done_marker`, the file `x.txt.done` states that `x.txt` is complete."""

RESULT: Final = ".jsonl"
SUMMARY: Final = ".summary.json"
REPORT: Final = ".error.json"

NAME_MAX: Final = 255
"""Longest file name in bytes on ext4, xfs, btrfs and tmpfs."""

TAG: Final = 12
"""Number of hexadecimal digits of a digest in a name."""

_STEM_MAX: Final = NAME_MAX - len(SUMMARY)
"""Longest stem in bytes to which the longest suffix can be appended."""

_BASE_MAX: Final = _STEM_MAX - (TAG + 1)
"""Longest stem in bytes to which a tag can be appended as well."""

_CHARACTER_MAX: Final = 4
"""Most bytes of a character in UTF-8."""


def kind(name: str) -> str | None:
    """Return the suffix that decides how an input is read, without that of its compression; None if it is unknown.

    A bare `.zip` is its own kind: the name inside decides.
    """
    suffix = _suffix(name)
    if suffix in KINDS:
        return suffix
    if suffix not in PACKINGS:
        return None
    inner = _suffix(name[: -len(suffix)])
    if inner in KINDS:
        return inner
    return ZIP if suffix == ZIP else None


def packing(name: str) -> str | None:
    """Return the suffix of a name's compression, or None."""
    if not name[-_PACKING_MAX:].lower().endswith(PACKINGS):
        return None
    suffix = _suffix(name)
    return suffix if suffix in PACKINGS else None


def _suffix(name: str) -> str:
    dot = name.rfind(".")
    if dot > 0 and name[0] != ".":  # most names, in a third of the time
        return name[dot:].lower()
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - Path drops a trailing dot


def base(name: str) -> str:
    """Return the stem of an input's results: its name, or a shortened and tagged one if no suffix would fit."""
    raw = os.fsencode(name)
    if len(raw) <= _BASE_MAX:
        return name
    return tagged(_cut(raw, _BASE_MAX - (TAG + 1)), hashlib.sha256(raw).hexdigest())


def tagged(stem: str, digest: str) -> str:
    """Append the first TAG digits of a digest to a stem."""
    return f"{stem}.{digest[:TAG]}"


def stems(base: str, mark: str) -> Iterator[str]:
    """Yield the stems to try in turn: plain, tagged with a digest, and numbered; every suffix fits to each of them."""
    yield base
    yield tagged(base, mark)
    raw = os.fsencode(base)
    for number in count(2):
        ending = f"{tagged('', mark)}.{number}"
        # Only a base of the greatest length is cut again; the number keeps its stems distinct.
        yield (
            base if len(raw) + len(ending) <= _STEM_MAX else _cut(raw, _STEM_MAX - len(ending))
        ) + ending


def _cut(raw: bytes, most: int) -> str:
    """Return the beginning of a longer name, at most `most` bytes, without half a character of UTF-8 at its end."""
    for end in range(most, most - _CHARACTER_MAX, -1):
        if raw[end] & 0xC0 != 0x80:  # a character begins here
            return os.fsdecode(raw[:end])
    return os.fsdecode(raw[:most])  # it is not UTF-8


def printable(name: str) -> str:
    """Percent-encode unprintable characters and `%`; `urllib.parse.unquote_to_bytes` reverses it."""
    if name.isprintable() and "%" not in name:
        return name
    return "".join(
        c if c.isprintable() and c != "%" else quote_from_bytes(os.fsencode(c), safe="")
        for c in name
    )
