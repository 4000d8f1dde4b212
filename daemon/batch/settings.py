"""What decides what a batch does, checked when it is built."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..errors import SettingsError
from ..settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PART_MIB: Final = 4.0
"""About 80,000 questions, two seconds of one core: little is lost with a worker, and little spent on a task."""

PART_MIB_MAX: Final = 4096.0


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSettings:
    """Everything that decides what a batch does.

    Attributes
    ----------
    inputs
        Paths, URLs of fsspec stores, and globs of either.
    out
        Folder of the partitions and the manifest, a path or a URL.
    scheduler
        Address of a Dask scheduler; None starts workers on this machine.
    workers
        Processes on this machine.
    registry, model
        As in the daemon's `Settings`.
    part_mib
        MiB of an input in one part, at least so much but for the last; the death of a worker costs that much work.
    force
        Answer what is finished again.

    """

    inputs: Sequence[str]
    out: str
    scheduler: str | None = None
    workers: int = field(default_factory=cores)
    registry: Path | None = None
    model: str = DEFAULT_MODEL
    part_mib: float = PART_MIB
    force: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SettingsError(f"workers: {self.workers}, least 1")
        if not 0 < self.part_mib <= PART_MIB_MAX:
            raise SettingsError(
                f"part-mib: {self.part_mib:g}, limits: more than 0, at most {PART_MIB_MAX:g}"
            )

    @property
    def part_bytes(self) -> int:
        """Bytes of a part."""
        return max(1, int(self.part_mib * 2**20))
