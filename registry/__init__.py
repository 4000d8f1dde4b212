"""File-based registry of models: immutable versions, movable aliases, digests on every read."""

from .changes import ABSENT
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
from .references import Digest, Reference
from .store import Registry, bundled
from .values import Details, Entry, Layer, Model, Pin, Problem, Report

__all__ = [
    "ABSENT",
    "BadInput",
    "BadReference",
    "Conflict",
    "Corrupt",
    "Details",
    "Digest",
    "Entry",
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
