"""Remember which inputs were in hand when a process died, so that one that kills is put aside.

The record costs nothing while nothing dies: a fresh claim is its own record (it lies in work/), and only inputs found
there by the next start are written down.  They are then tried one at a time, and a death is held against the one
being tried alone.  A large input that got further than the time before is not to blame either, so that a machine
that is switched off every minute does not put it aside.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from . import durable, names
from .ledger import temp

if TYPE_CHECKING:
    from .spool import Spool

FILE: Final = ".attempts.json"
"""Its name in work/; a dot, so that no input can have it."""


@dataclass(kw_only=True, slots=True)
class Record:
    """Claims of one input that ended without a result.

    Attributes
    ----------
    count
        Claims in a row that ended at the same place.
    progress
        Bytes of its result when the last one ended.

    """

    count: int
    progress: int


class Attempts:
    """The record of a spool, read at start, kept on disk at every change (a killed process loses no page cache)."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._records, self._trial = _parse(durable.read_small(spool.work, FILE))

    def found(self, name: str) -> int:
        """Note an input that the start found in work/ without a result; give the claims it has had.

        Call once for each, before tmp/ is swept, then `save`.
        """
        got = durable.look(self._spool.tmp, temp(name) + names.RESULT)
        progress = 0 if got is None else got.st_size
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = Record(count=1, progress=progress)
        elif self._trial == name:
            record.count = record.count + 1 if progress == record.progress else 1
            record.progress = progress
        return record.count

    def failed(self, name: str) -> int:
        """Count an attempt that ended in an error of ours; give the claims so far."""
        record = self._records.setdefault(name, Record(count=0, progress=0))
        record.count += 1
        self.save()
        return record.count

    def count(self, name: str) -> int:
        """Give the claims so far, this one included."""
        record = self._records.get(name)
        return 1 if record is None else record.count + 1

    def begin(self, name: str) -> None:
        """Put an input on trial: from now on a death counts against it."""
        self._trial = name
        self._records.setdefault(name, Record(count=0, progress=0))
        self.save()

    def end(self) -> None:
        """Take the input on trial off it: what follows is not its doing."""
        if self._trial is not None:
            self._trial = None
            self.save()

    def forget(self, *settled: str) -> None:
        """Drop inputs that have their result or are put aside."""
        known = self._records.keys() & set(settled)
        for name in known:
            del self._records[name]
        if known:
            self.save()

    def save(self, known: set[str] | None = None) -> None:
        """Write the record; with `known`, drop all other names first.

        A full disk does not stop the work for the sake of a record that only ever accuses.
        """
        if known is not None:
            self._records = {name: r for name, r in self._records.items() if name in known}
            self._trial = self._trial if self._trial in known else None
        with suppress(OSError):
            self._write()

    def _write(self) -> None:
        work = self._spool.work
        if not self._records:
            durable.unlink(work, FILE)
            durable.unlink(work, FILE + ".new")
            return
        claims = {
            os.fsencode(name).hex(): [r.count, r.progress] for name, r in self._records.items()
        }
        trial = None if self._trial is None else os.fsencode(self._trial).hex()
        data = json.dumps({"claims": claims, "trial": trial}).encode()
        os.close(durable.create(work, FILE + ".new", data))
        os.rename(FILE + ".new", FILE, src_dir_fd=work, dst_dir_fd=work)


def _parse(data: bytes | None) -> tuple[dict[str, Record], str | None]:
    """Read a record; a damaged one (a power cut) is as good as none, because it only ever accuses."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        document: dict[str, Any] = json.loads(data or b"{}")
        records = {
            os.fsdecode(bytes.fromhex(name)): Record(count=int(count), progress=int(progress))
            for name, (count, progress) in document.get("claims", {}).items()
        }
        trial = document.get("trial")
        return records, None if trial is None else os.fsdecode(bytes.fromhex(trial))
    return {}, None
