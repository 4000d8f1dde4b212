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

from ..files import draft, durable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..spool.folder import Spool

CLAIMS: Final = ".claims.json"
"""Names in work/: inputs that something is held against; a dot, so that no input can have the name."""

TRIAL: Final = ".trial.json"
"""The input on trial, padded to TRIAL_BYTES and overwritten in place: it is written for every few questions."""

TRIAL_BYTES: Final = 1024
"""Room for the longest name in hexadecimal, and a position."""

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
        self._records = _records(durable.read_small(spool.work, CLAIMS))
        self._trial = -1

    def close(self) -> None:
        """Give the descriptor back."""
        if self._trial >= 0:
            os.close(self._trial)
            self._trial = -1

    def recover(self, found: list[str]) -> dict[str, int]:
        """Take the inputs that a start found in work/ without a result; give the claims that each has had."""
        known = {name: self._records[name] for name in found if name in self._records}
        for name in found:
            # A fresh claim is held against an input that was alone in it.
            known.setdefault(name, Record(count=1 if len(found) == 1 else 0))
        name, at = _on_trial(durable.read_small(self._spool.work, TRIAL))
        if name in known:
            record = known[name]
            record.count = record.count + 1 if record.at in {at, UNKNOWN} else 1
            record.at = at
        self._records = known
        self._save()
        # Only now: a death between the two counts twice at worst, and is not forgotten.
        durable.unlink(self._spool.work, TRIAL)
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
        self._note([_pack(name), at])
        try:
            yield
        finally:
            self._note(None)

    def forget(self, *settled: str) -> None:
        """Drop inputs that have their result or are put aside."""
        accused = [name for name in settled if self._records.pop(name, Record()).count]
        if accused:
            self._save()
        if not self._records and self._trial >= 0:
            with suppress(OSError):  # as in _save
                durable.unlink(self._spool.work, TRIAL)
                self.close()

    def _note(self, trial: object) -> None:
        with suppress(OSError):  # as in _save
            if self._trial < 0:
                self._trial = durable.create(self._spool.work, TRIAL)
            os.pwrite(self._trial, json.dumps(trial).encode().ljust(TRIAL_BYTES), 0)

    def _save(self) -> None:
        # A full disk does not stop the work for the sake of a record that only ever accuses.
        with suppress(OSError):
            self._write()

    def _write(self) -> None:
        work = self._spool.work
        claims = {_pack(name): [r.count, r.at] for name, r in self._records.items() if r.count}
        if not claims:
            durable.unlink(work, CLAIMS)
            durable.unlink(work, CLAIMS + ".new")
            return
        draft.replace(work, CLAIMS, json.dumps(claims).encode())


def _pack(name: str) -> str:
    return os.fsencode(name).hex()


def _unpack(packed: str) -> str:
    return os.fsdecode(bytes.fromhex(packed))


def _records(data: bytes | None) -> dict[str, Record]:
    """Read the claims; a damaged file (a power cut) is as good as none."""
    with suppress(ValueError, TypeError, AttributeError):
        document: dict[str, Any] = json.loads(data or b"{}")
        return {
            _unpack(name): Record(count=int(count), at=int(at))
            for name, (count, at) in document.items()
        }
    return {}


def _on_trial(data: bytes | None) -> tuple[str, int]:
    """Read who was on trial, and where; nobody has no name."""
    with suppress(ValueError, TypeError):
        name, at = json.loads(data or b"null")
        return _unpack(name), int(at)
    return "", UNKNOWN
