"""Read the files that a user names, each only up to the size that makes sense."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from .errors import ConvertError

if TYPE_CHECKING:
    from pathlib import Path


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    path
        A regular file, or a pipe.
    limit
        Most bytes that it may have; nothing is read of a larger file.

    Raises
    ------
    OSError
        It cannot be read.
    ConvertError
        It is larger.

    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size > limit:
            raise ConvertError(f"{path}: {status.st_size} bytes, limit {limit}")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ConvertError(f"{path}: more than {limit} bytes")
    return data
