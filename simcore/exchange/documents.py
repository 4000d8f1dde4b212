"""Read JSON documents from files that may be hostile: the size is bounded while a file is read."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

MAX_DOCUMENT: Final = 2**30
"""Longest document in bytes, decompressed: enough for RANC's JSON of a whole chip, about 220 kB per core."""

_PIECE: Final = 2**20


def read_document(path: Path) -> bytes:
    """Read a file, decompressing gzip.

    Raises
    ------
    ImageError
        The file cannot be read, is damaged, or is longer than `MAX_DOCUMENT`; reading stops there.

    """
    pieces, total = [], 0
    try:
        with Path(path).open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"  # by content: names may lie
            raw.seek(0)
            file = gzip.open(raw) if zipped else raw  # noqa: SIM115 - closing `raw` is enough
            while piece := file.read(_PIECE):
                total += len(piece)
                if total > MAX_DOCUMENT:
                    raise ImageError(f"{path}: longer than the limit of {MAX_DOCUMENT} bytes")
                pieces.append(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise ImageError(f"{path}: not a gzip file: {e}") from None
    except OSError as e:
        raise ImageError(f"{path}: {e.strerror or e}") from None
    return b"".join(pieces)


def check_keys(record: Mapping[str, Any], known: AbstractSet[str], where: str) -> None:
    """Raise if a record is not an object, or has a field that is not known.

    Raises
    ------
    ImageError
        The text names the first unknown field.

    """
    if not isinstance(record, dict):
        raise ImageError(f"{where}: not an object")
    if unknown := sorted(record.keys() - known):
        raise ImageError(f"{where}: unknown field {unknown[0]}")
