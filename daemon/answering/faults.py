"""Whose fault an exception is that was raised while an input was read, simulated or written."""

from __future__ import annotations

import errno
import os
from typing import Final

from ..errors import AnswerError
from ..spool import machine

PASSED: Final = (OSError, KeyboardInterrupt, GeneratorExit)
"""What is no input's fault.  A panic of a compiled library is: it is no `Exception`, but only its input raises it."""

SAID: Final = 500
"""Most characters of an exception's text."""


def fault_of(raised: BaseException, stage: str) -> OSError | AnswerError:
    """Return the fault as which an exception counts that is not among PASSED.

    Parameters
    ----------
    raised
        The exception.
    stage
        See `AnswerError`.

    """
    if isinstance(raised, MemoryError) and not machine.has_memory():
        return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    said = " ".join(str(raised).split())[:SAID]
    return AnswerError(f"{type(raised).__name__}: {said}".rstrip(": "), stage=stage)
