"""Count how often the process died while it answered an input, to quarantine an input that kills it every time.

A fresh claim costs nothing: its name in work/ is record enough.  Only inputs that a start finds there are recorded;
they are then answered alone, a few questions at a time, and are "on trial" meanwhile.  A death of the process counts
against an input only if the input was on trial at that moment, and at the same question as the time before: a machine
that is switched off at random must not quarantine good inputs.
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
"""File in work/ with the counts of the inputs there; it begins with a dot, so no input can have this name."""

TRIAL: Final = ".trial.json"
"""File in work/ with the input on trial.  It is written for every few questions, and therefore overwritten in place."""

TRIAL_BYTES: Final = 1024
"""Size of that file: enough for the longest name (255 bytes) in hexadecimal, and a position."""

UNKNOWN: Final = -1
"""Position of a fresh claim, which is not answered in steps."""


@dataclass(kw_only=True, slots=True)
class AttemptRecord:
    """How many claims of one input ended without a result, and where the last one ended.

    Attributes
    ----------
    count
        Number of such claims in a row.
    at
        Number of records before the batch in which the last one ended; UNKNOWN for the fresh claim.

    """

    count: int = 0
    at: int = UNKNOWN


class Attempts:
    """The attempts of a spool's inputs, read at the start and written at every change.

    They are not synced: the page cache survives a killed process, and after a power cut no input is to blame.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._records = _records(durable.read_small(spool.work, CLAIMS))
        self._trial = -1

    def close(self) -> None:
        """Close the file of the trial."""
        if self._trial >= 0:
            os.close(self._trial)
            self._trial = -1

    def recover(self, found: list[str]) -> dict[str, int]:
        """Count the death of the process that left these inputs in work/; return each input's count.

        Parameters
        ----------
        found
            All inputs in work/ that have no result.

        """
        known = {name: self._records[name] for name in found if name in self._records}
        for name in found:
            # A fresh claim counts only against an input that was alone: of several, any may have killed the process.
            known.setdefault(name, AttemptRecord(count=1 if len(found) == 1 else 0))
        name, at = _on_trial(durable.read_small(self._spool.work, TRIAL))
        if name in known:
            record = known[name]
            record.count = record.count + 1 if record.at in {at, UNKNOWN} else 1
            record.at = at
        self._records = known
        self._save()
        # Only after `_save`: if the process dies between the two, the death counts twice, but is never forgotten.
        durable.unlink(self._spool.work, TRIAL)
        return {name: record.count for name, record in known.items()}

    def failed(self, name: str) -> int:
        """Count an attempt that ended with an error of the simulator; return the claims counted so far."""
        record = self._records.setdefault(name, AttemptRecord())
        record.count += 1
        self._save()
        return record.count

    def next(self, name: str) -> int:
        """Return the number of the next attempt."""
        return 1 + self._records.get(name, AttemptRecord()).count

    @contextmanager
    def trial(self, name: str, at: int) -> Iterator[None]:
        """Count a death of the process in this block against an input, at the batch that begins after `at` records."""
        self._note([_pack(name), at])
        try:
            yield
        finally:
            self._note(None)

    def forget(self, *settled: str) -> None:
        """Forget inputs that have a result or are quarantined."""
        counted = [name for name in settled if self._records.pop(name, AttemptRecord()).count]
        if counted:
            self._save()
        if not self._records and self._trial >= 0:
            with suppress(OSError):  # as in _save
                durable.unlink(self._spool.work, TRIAL)
                self.close()

    def _note(self, trial: object) -> None:
        with suppress(OSError):  # as in _save
            if self._trial < 0:
                self._trial = durable.create(self._spool.work, TRIAL)
            # Padded, so that a short record leaves no end of a longer one behind it.
            os.pwrite(self._trial, json.dumps(trial).encode().ljust(TRIAL_BYTES), 0)

    def _save(self) -> None:
        # Without the record, an input merely gets more attempts; that is no reason to stop on a full disk.
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


# Names are written in hexadecimal, because they need not be UTF-8.
def _pack(name: str) -> str:
    return os.fsencode(name).hex()


def _unpack(packed: str) -> str:
    return os.fsdecode(bytes.fromhex(packed))


def _records(data: bytes | None) -> dict[str, AttemptRecord]:
    """Parse the counts; a file that a power cut has damaged counts as empty."""
    with suppress(ValueError, TypeError, AttributeError):
        document: dict[str, Any] = json.loads(data or b"{}")
        return {
            _unpack(name): AttemptRecord(count=int(count), at=int(at))
            for name, (count, at) in document.items()
        }
    return {}


def _on_trial(data: bytes | None) -> tuple[str, int]:
    """Parse the name of the input on trial and its position; the name is empty if none was."""
    with suppress(ValueError, TypeError):
        name, at = json.loads(data or b"null")
        return _unpack(name), int(at)
    return "", UNKNOWN
