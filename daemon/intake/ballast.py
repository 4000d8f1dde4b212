"""A file that is there to be removed: when a disk is full, its room lets what is in hand be finished and told."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ..files import durable
from ..spool.folder import BALLAST
from .reserve import RESUME

if TYPE_CHECKING:
    from ..settings import Settings
    from ..spool.folder import Spool
    from .reserve import Reserve


class Ballast:
    """Keeps `ballast_bytes` of a disk in a file in tmp/."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool = spool
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take another size, from the next `keep` on."""
        self._bytes = settings.ballast_bytes

    def keep(self, reserve: Reserve) -> None:
        """Make the file unless it is there, where at least as much again stays free beyond the reserve."""
        try:
            facts = durable.look(self._spool.tmp, BALLAST)
        except OSError:
            return  # a disk that cannot even be asked
        if facts is not None and facts.st_size != self._bytes:
            self.release()
        elif facts is not None:
            return
        if self._bytes and reserve.met(RESUME, beside_bytes=2 * self._bytes):
            self._make()

    def release(self) -> None:
        """Give the room back."""
        with suppress(OSError):  # the disk is in trouble already, and that is being told
            durable.unlink(self._spool.tmp, BALLAST)

    def _make(self) -> None:
        try:
            fd = durable.create(self._spool.tmp, BALLAST)
            try:
                os.posix_fallocate(fd, 0, self._bytes)
            finally:
                os.close(fd)
        except (
            OSError
        ):  # somebody else was faster, or no such call here: the work goes on without it
            self.release()
