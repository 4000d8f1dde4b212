"""File-based registry of models: immutable versions, movable aliases, digests on every read."""

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
from .reader import bundled
from .references import Digest, Reference
from .store import Registry
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
)

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
    "bundled",
]
