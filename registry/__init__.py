"""File-based registry of models: immutable versions, movable aliases, digests checked at every read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import (
    BadInput,
    BadReference,
    Conflict,
    Corrupt,
    NotFound,
    RegistryError,
    RemoteError,
    StorageError,
)
from .layout.changes import ABSENT
from .references import Digest, Reference
from .store import Registry, bundled
from .values import (
    Attached,
    Changed,
    Collected,
    Details,
    Difference,
    Entry,
    Event,
    Exported,
    Layer,
    Model,
    Pin,
    Problem,
    Report,
    Teacher,
)

if TYPE_CHECKING:
    from .remote.transfer import Transfer, pull, push

__all__ = [
    "ABSENT",
    "Attached",
    "BadInput",
    "BadReference",
    "Changed",
    "Collected",
    "Conflict",
    "Corrupt",
    "Details",
    "Difference",
    "Digest",
    "Entry",
    "Event",
    "Exported",
    "Layer",
    "Model",
    "NotFound",
    "Pin",
    "Problem",
    "Reference",
    "Registry",
    "RegistryError",
    "RemoteError",
    "Report",
    "StorageError",
    "Teacher",
    "Transfer",
    "bundled",
    "pull",
    "push",
]

_REMOTE: Final = frozenset({"Transfer", "pull", "push"})


def __getattr__(name: str) -> object:
    """Import `push` and `pull` at their first use: they need urllib3, which would delay the start of the daemon."""
    if name not in _REMOTE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .remote import transfer  # noqa: PLC0415 - see above

    return getattr(transfer, name)


def __dir__() -> list[str]:
    return __all__
