"""Watch a folder, answer the question files in it, and log what that took.

The package imports nothing heavy by itself: `serve.serve` is what runs a daemon, `put.put` what drops a file.
"""

from __future__ import annotations

from .errors import DaemonError
from .settings import Settings

__all__ = ["DaemonError", "Settings"]
