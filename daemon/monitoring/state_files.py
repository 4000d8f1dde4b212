"""The two state files in a spool: `status.json`, written by the daemon, and `reload.json`, the result of a reload.

Each write replaces the whole file.  The files are not synced: after a power cut, no daemon is running.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from ..files import draft, durable

if TYPE_CHECKING:
    from pathlib import Path

STATUS_FILE: Final = "status.json"

RELOAD_FILE: Final = "reload.json"
"""`{"number", "pid", "ok", "message"}` of the last reload."""

STATUS_SCHEMA: Final = 1
"""Version of the status document."""


def write(folder: int, name: str, document: dict[str, Any]) -> None:
    """Replace a state file in the folder of this descriptor.

    Raises
    ------
    OSError
        The disk failed; the old file is unchanged.

    """
    draft.replace(folder, name, json.dumps(document).encode() + b"\n")


def read(path: Path) -> dict[str, Any]:
    """Read a state file; return an empty dict if it is missing or damaged."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            document = json.loads(durable.read_small(folder, path.name) or b"")
        finally:
            os.close(folder)
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
