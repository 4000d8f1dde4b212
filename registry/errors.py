"""The exceptions of the registry, one per cause.

Each message is one line with the subject, the faulty value and the limit, so that a program can print it unchanged.
"""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 80


def shown(value: object) -> str:
    """Return a value's `repr` for an error message, cut to 80 characters."""
    quoted = repr(value)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}..."


class RegistryError(Exception):
    """Any failure of a registry: the base of all the others."""


class BadReference(RegistryError):
    """A name, version, alias, digest or reference does not follow the grammar."""


class BadInput(RegistryError):
    """An argument is invalid; nothing was written."""


class NotFound(RegistryError):
    """The registry, model, version, alias or file does not exist."""


class Conflict(RegistryError):
    """A version would change, or an alias does not point to the expected version; nothing was changed."""


class Corrupt(RegistryError):
    """Stored or received bytes are not those that were published; they were not used."""


class StorageError(RegistryError):
    """The file system refused an operation: no permission, no space or no hard links."""


class RemoteError(RegistryError):
    """Another registry, or the connection to it, failed or refused; nothing was changed in the local registry."""
