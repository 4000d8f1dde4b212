"""The errors of the daemon, named for their causes; every message is one line for the user."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class DaemonError(Exception):
    """Base class of the daemon's errors.

    Attributes
    ----------
    exit_code
        Exit code of the program; 2 is an error of use.

    """

    exit_code = 2


class SettingsError(DaemonError):
    """A setting has a wrong type or is out of range."""


class SpoolError(DaemonError):
    """A folder cannot be used as a spool."""


class SpoolBusyError(SpoolError):
    """Another daemon has locked the spool."""


class SpoolLostError(SpoolError):
    """The machine failed the spool, or the folder was replaced; every input is kept, and a restart may help."""

    exit_code = os.EX_TEMPFAIL


class PutError(DaemonError):
    """A file cannot be dropped into the spool; the spool is unchanged but for `dropped`.

    Attributes
    ----------
    dropped
        Names of files that a daemon claimed before they could be taken back; nearly always empty.

    """

    def __init__(self, message: str, *, dropped: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.dropped = tuple(dropped)


class ResultError(DaemonError):
    """A result file cannot be read."""


class ServedModelError(DaemonError):
    """A model cannot be loaded."""


class BatchError(DaemonError):
    """A batch cannot start or continue; its finished parts are kept, and the next run continues from them."""


class RejectedInputError(DaemonError):
    """An input cannot be answered as a whole, and another attempt would not help.

    Parameters
    ----------
    code
        Constant name of the cause, for programs.
    message
        The same for people, with place, value and limit.
    stage
        Where it was rejected: `read` or `simulate`.

    """

    def __init__(self, code: str, message: str, *, stage: str = "read") -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage


class AnswerError(DaemonError):
    """Reading, simulating or settling failed on something else than the disk; whose fault it is may not be known.

    Parameters
    ----------
    message
        What was raised.
    stage
        Where: `read`, `simulate` or `settle`.

    """

    def __init__(self, message: str, *, stage: str = "simulate") -> None:
        super().__init__(message)
        self.stage = stage

    @property
    def code(self) -> str:
        """Constant name of the cause, for programs."""
        return {"read": "reader", "settle": "settling"}.get(self.stage, "simulator")


TEMPORARY: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.ESTALE,
    }
)
"""Faults of the machine that may be gone at the next start."""

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Faults that end when space on the disk is freed."""


def fault_name(fault: OSError) -> str:
    """Return the name of an OSError's errno, such as `ENOSPC`, or the name of its class if it has none."""
    return errno.errorcode.get(fault.errno or 0, type(fault).__name__)
