"""The daemon's settings: one typed object, checked when it is built."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from .errors import SettingsError
from .reading import MAX_LINE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_MODEL: Final = "trec:production"
"""The bundled model, used when neither a registry nor a model is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that decides what a daemon does.

    Attributes
    ----------
    spool
        Folder of the spool; made when it does not exist.
    registry
        Root of the model registry; None is the one that ships with spikewatch.
    model
        Reference of the model (`name:version`, `name:alias`, `name@sha256:...`).
    once
        Stop when everything that was there is answered.
    batch_questions
        Questions in one simulator call.
    group_files
        Files claimed in one turn, and the most that share one round of durability.
    linger_s
        Longest time in seconds that a finished file waits for others to share its round.
    max_line_bytes
        Longest line in bytes; a longer one fails its file.
    max_attempts
        Claims without a result after which a file is put aside.
    scan_s
        Seconds between two scans of the inbox.
    settle_s
        Seconds without change after which a file counts as complete, where leases do not work.
    empty_grace_s
        Seconds that an empty file is given to fill.
    retry_first_s, retry_last_s
        First and longest pause in seconds before work is tried again after a fault.
    min_free_bytes, min_free_inodes
        Room that must be left in the spool; with less, nothing is claimed.  0 turns the check off.

    """

    spool: Path
    registry: Path | None = None
    model: str = DEFAULT_MODEL
    once: bool = False
    batch_questions: int = 512
    group_files: int = 128
    linger_s: float = 0.02
    max_line_bytes: int = MAX_LINE_BYTES
    max_attempts: int = 3
    scan_s: float = 1.0
    settle_s: float = 1.0
    empty_grace_s: float = 2.0
    retry_first_s: float = 0.25
    retry_last_s: float = 30.0
    min_free_bytes: int = 16 << 20
    min_free_inodes: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name.startswith(("min_", "linger", "settle", "empty")) else 1e-3
            if isinstance(value, int | float) and not isinstance(value, bool) and value < least:
                raise SettingsError(f"{field.name}: {value}, least {least:g}")
