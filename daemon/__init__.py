"""Watch a folder, answer the question files in it, and log what that took.

`serve` runs a daemon, `put` drops a file into its spool, and `read_results` reads a result file.

Importing the package is cheap: everything except `Settings` and the errors is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .errors import (
    AnswerError,
    BatchError,
    DaemonError,
    PutError,
    RejectedInputError,
    ResultError,
    ServedModelError,
    SettingsError,
    SpoolBusyError,
    SpoolError,
    SpoolLostError,
)
from .settings import Settings

if TYPE_CHECKING:
    from .producer import put
    from .result_files import NoAnswer, ResultRecord, read_results
    from .running.serve import serve

__all__ = [
    "AnswerError",
    "BatchError",
    "DaemonError",
    "NoAnswer",
    "PutError",
    "RejectedInputError",
    "ResultError",
    "ResultRecord",
    "ServedModelError",
    "Settings",
    "SettingsError",
    "SpoolBusyError",
    "SpoolError",
    "SpoolLostError",
    "put",
    "read_results",
    "serve",
]

_LAZY: Final = {
    "NoAnswer": ".result_files",
    "ResultRecord": ".result_files",
    "put": ".producer",
    "read_results": ".result_files",
    "serve": ".running.serve",
}
"""Names that are loaded on first use (PEP 562), and their modules: `status` and `put` start without the simulator."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
