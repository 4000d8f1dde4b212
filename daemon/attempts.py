"""Remember which input was in hand when a process died, so that one that kills is put aside.

The record costs nothing while nothing dies: a fresh claim is its own record (it lies in work/), and only inputs found
there by the next start are written down.  They are then tried alone, a few questions at a time, and a death is held
against an input only if it was on trial at that moment, and died at the same question as the time before: a machine
that is switched off at random must not put good inputs aside.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from . import durable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .spool import Spool

FILE: Final = ".attempts.json"
"""Its name in work/; a dot, so that no input can have it."""

UNKNOWN: Final = -1


@dataclass(kw_only=True, slots=True)
class Record:
    """Claims of one input that ended without a result, and through its doing as far as can be told.

    Attributes
    ----------
    count
        How many in a row.
    at
        Questions before the batch in which the last one ended; UNKNOWN for the fresh claim.

    """

    count: int = 0
    at: int = UNKNOWN


class Attempts:
    """The record of a spool, read at start and kept on disk at every change.

    It is not synced: the page cache outlives a killed process, and after a power cut nobody is to blame.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._records, self._trial = _parse(durable.read_small(spool.work, FILE))

    def recover(self, found: list[str]) -> dict[str, int]:
        """Take the inputs that a start found in work/ without a result; give the claims that each has had.

        The record is written before it returns, and the same record makes the same of it: a death here counts once.
        """
        known = {name: self._records[name] for name in found if name in self._records}
        for name in found:
            # A fresh claim is held against an input that was alone in it.
            known.setdefault(name, Record(count=1 if len(found) == 1 else 0))
        if self._trial is not None and self._trial[0] in known:
            name, at = self._trial
            record = known[name]
            record.count = record.count + 1 if record.at in {at, UNKNOWN} else 1
            record.at = at
        self._records, self._trial = known, None
        self._save()
        return {name: record.count for name, record in known.items()}

    def failed(self, name: str) -> int:
        """Count an attempt that ended in an error of the simulator; give the claims so far."""
        record = self._records.setdefault(name, Record())
        record.count += 1
        self._save()
        return record.count

    def next(self, name: str) -> int:
        """Give the number of the next attempt."""
        return 1 + self._records.get(name, Record()).count

    @contextmanager
    def trial(self, name: str, at: int) -> Iterator[None]:
        """Hold a death in here against an input, at a batch that begins after `at` questions."""
        self._records.setdefault(name, Record())
        self._trial = (name, at)
        self._save()
        try:
            yield
        finally:
            self._trial = None
            self._save()

    def forget(self, *settled: str) -> None:
        """Drop inputs that have their result or are put aside."""
        known = self._records.keys() & set(settled)
        for name in known:
            del self._records[name]
        if known:
            self._save()

    def _save(self) -> None:
        # A full disk does not stop the work for the sake of a record that only ever accuses.
        with suppress(OSError):
            self._write()

    def _write(self) -> None:
        work = self._spool.work
        if not self._records:
            durable.unlink(work, FILE)
            durable.unlink(work, FILE + ".new")
            return
        claims = {_pack(name): [r.count, r.at] for name, r in self._records.items()}
        trial = None if self._trial is None else [_pack(self._trial[0]), self._trial[1]]
        data = json.dumps({"claims": claims, "trial": trial}).encode()
        os.close(durable.create(work, FILE + ".new", data))
        os.rename(FILE + ".new", FILE, src_dir_fd=work, dst_dir_fd=work)


def _pack(name: str) -> str:
    return os.fsencode(name).hex()


def _unpack(packed: str) -> str:
    return os.fsdecode(bytes.fromhex(packed))


def _parse(data: bytes | None) -> tuple[dict[str, Record], tuple[str, int] | None]:
    """Read a record; a damaged one (a power cut) is as good as none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        document: dict[str, Any] = json.loads(data or b"{}")
        records = {
            _unpack(name): Record(count=int(count), at=int(at))
            for name, (count, at) in document.get("claims", {}).items()
        }
        trial = document.get("trial")
        return records, None if trial is None else (_unpack(trial[0]), int(trial[1]))
    return {}, None
