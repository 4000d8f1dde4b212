"""What can go wrong in the daemon, named for the cause; every text is one line for the user."""

from __future__ import annotations

import errno
import os
from typing import Final


class DaemonError(Exception):
    """Base of everything that the daemon's programs refuse.

    Attributes
    ----------
    exit_code
        Of the program: 2 says that it was asked for something that cannot be.

    """

    exit_code = 2


class SettingsError(DaemonError):
    """A setting outside its range."""


class SpoolError(DaemonError):
    """A folder that cannot serve as a spool."""


class SpoolBusyError(SpoolError):
    """Another daemon holds the spool."""


class SpoolLostError(SpoolError):
    """The machine fails the spool, or it is not what it was; another start may do better, and nothing is lost."""

    exit_code = os.EX_TEMPFAIL


class PutError(DaemonError):
    """A file that cannot be dropped into the spool; the spool is unchanged."""


class ServedModelError(DaemonError):
    """The model cannot be loaded."""


class BatchError(DaemonError):
    """A batch cannot be begun or go on; what is finished of it stays, and the next run takes it up."""


class RejectedInputError(DaemonError):
    """An input that cannot be answered as a whole, and never will be.

    Parameters
    ----------
    code
        Constant name of the cause, for programs.
    message
        What, where, value and limit, for people.
    stage
        Where it happened: `read` or `simulate`.

    """

    def __init__(self, code: str, message: str, *, stage: str = "read") -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage


class AnswerError(DaemonError):
    """The simulator failed on a batch; which of its requests is to blame is not known."""


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
"""Faults of the machine: another start may not meet them."""

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Faults that end when somebody makes room."""


def fault_name(fault: OSError) -> str:
    """Name an operating system fault: `ENOSPC`, or `OSError` where it has no number."""
    return errno.errorcode.get(fault.errno or 0, type(fault).__name__)
