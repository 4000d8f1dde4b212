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
    return path.parts[:2] != ("/", "dev") and path.is_fifo()
