"""How much of a file system is left free: an amount, or a share of it that large disks do not blow up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import os

    from ..settings import Settings

MOST_SHARE_BYTES: Final = 1 << 30
"""What `min_free_percent` asks for at most: five per cent of a large disk would be far more than the work needs."""

MOST_SHARE_INODES: Final = 10_000

RESUME: Final = 1.2
"""Claiming begins again with so many times the reserve free, so that it does not go on and off with every file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """What is to be left free on a file system, and what is free.

    Attributes
    ----------
    free_bytes, free_inodes
        Free for unprivileged processes.
    least_bytes, least_inodes
        What is to be left; 0 where it is not looked at.

    """

    free_bytes: int
    free_inodes: int
    least_bytes: int
    least_inodes: int

    @classmethod
    def of(cls, disk: os.statvfs_result, settings: Settings) -> Self:
        """Apply the settings to a file system: the larger of amount and share, nothing where the amount is 0."""
        share = settings.min_free_percent / 100
        least_bytes = min(int(disk.f_blocks * disk.f_frsize * share), MOST_SHARE_BYTES)
        least_inodes = min(int(disk.f_files * share), MOST_SHARE_INODES)
        counts_inodes = settings.min_free_inodes and disk.f_files  # btrfs counts none
        return cls(
            free_bytes=disk.f_bavail * disk.f_frsize,
            free_inodes=disk.f_favail,
            least_bytes=max(settings.min_free_bytes, least_bytes) if settings.min_free_bytes else 0,
            least_inodes=max(settings.min_free_inodes, least_inodes) if counts_inodes else 0,
        )

    def met(self, times: float = 1.0, *, beside_bytes: int = 0) -> bool:
        """Say whether so many times the reserve is free, and `beside_bytes` besides."""
        return (
            self.free_bytes >= self.least_bytes * times + beside_bytes
            and self.free_inodes >= self.least_inodes * times
        )
