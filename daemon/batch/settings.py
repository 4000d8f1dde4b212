"""The settings of a batch, checked when they are built."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...simcore.question_files import ReadOptions
from ..errors import SettingsError
from ..settings import DEFAULT_MODEL, DEFAULTS, check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PART_MIB: Final = 4.0
"""About 80,000 questions, or two seconds of one core: a dead worker costs little, and so does the start of a task."""

PART_MIB_MAX: Final = 4096.0


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSettings:
    """All settings of a batch.

    Attributes
    ----------
    inputs
        Paths, URLs of fsspec stores, and globs of either.
    out
        Folder for the partitions and the manifest: a path or a URL.
    scheduler
        Address of a Dask scheduler; None starts workers on this machine.
    workers
        Number of worker processes on this machine.
    registry, model
        As in the daemon's `Settings`.
    part_mib
        Least size in MiB of a part of an input, except of the last; if a worker dies, this much work is repeated.
    force
        Whether to answer finished parts again.
    encoding, text_field, id_field
        As in the daemon's `Settings`.

    """

    inputs: Sequence[str]
    out: str
    scheduler: str | None = None
    workers: int = field(default_factory=cores)
    registry: Path | None = None
    model: str = DEFAULT_MODEL
    part_mib: float = PART_MIB
    force: bool = False
    encoding: str = DEFAULTS["encoding"]
    text_field: str = ""
    id_field: str = ""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SettingsError(f"workers: {self.workers}, expected at least 1")
        if not 0 < self.part_mib <= PART_MIB_MAX:
            raise SettingsError(
                f"part-mib: {self.part_mib:g}, expected more than 0 and at most {PART_MIB_MAX:g}"
            )
        check("encoding", self.encoding)

    def reading(self, labels: tuple[str, ...]) -> ReadOptions:
        """Return how inputs are read, given the model's labels."""
        return ReadOptions(
            encoding=self.encoding,
            text_field=self.text_field,
            id_field=self.id_field,
            labels=labels,
            max_line_bytes=DEFAULTS["max_line_bytes"],
        )

    @property
    def part_bytes(self) -> int:
        """`part_mib` in bytes."""
        return max(1, int(self.part_mib * 2**20))
