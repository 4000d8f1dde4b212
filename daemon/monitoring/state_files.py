"""The small documents by which a daemon tells others how it is: `status.json` and `reload.json` in its spool.

Each is always whole, because a version replaces the one before.  They are not synced: after a power cut nobody runs.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from ..files import durable

if TYPE_CHECKING:
    from pathlib import Path

STATUS_FILE: Final = "status.json"

RELOAD_FILE: Final = "reload.json"
"""`{"number", "pid", "ok", "message"}` of the last reload."""

STATUS_SCHEMA: Final = 1
"""Version of the status document."""


def write(folder: int, name: str, document: dict[str, Any]) -> None:
    """Swap a document in a folder, by its descriptor.

    Raises
    ------
    OSError
        The disk; the old one stays.

    """
    new = f".{name}.new"
    os.close(durable.create(folder, new, json.dumps(document).encode() + b"\n"))
    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)


def read(path: Path) -> dict[str, Any]:
    """Read a document; an empty one where there is none, or a damaged one."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
