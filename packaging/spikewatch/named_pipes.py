"""Recognise named pipes before they are opened, which would wait for their other end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_waiting_pipe"]


def is_waiting_pipe(path: Path) -> bool:
    """Return whether to open a path would wait for the other end of a named pipe.

    What a shell names in /dev is open already: `<(command)`, /dev/stdin.
    """
    if path.parts[:2] == ("/", "dev"):
        return False
    try:
        return path.is_fifo()
    except OSError:  # a name that is too long, say: whoever opens it says so
        return False
