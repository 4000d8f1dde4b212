"""What can go wrong in a registry, named for the cause.

Every text is one line that says who, what, which value and which limit, so that a program may
print it as it is.
"""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 80


def shown(value: object) -> str:
    """Quote a value for an error's text: on one line, and cut to a readable length."""
    quoted = repr(value)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}..."


class RegistryError(Exception):
    """Any failure of a registry; the base of all the others."""


class BadReference(RegistryError):
    """A name, version, alias, digest or reference does not follow the grammar."""


class BadInput(RegistryError):
    """Something given to publish cannot be published; nothing was written."""


class NotFound(RegistryError):
    """The registry, model, version, alias or file does not exist."""


class Conflict(RegistryError):
    """A version would change, or the state is not the expected one; nothing was changed."""


class Corrupt(RegistryError):
    """Bytes are not what was published, in the store or as another one sent them: refused."""


class StorageError(RegistryError):
    """The file system refused: no permission, no space, no hard links."""


class RemoteError(RegistryError):
    """Another registry, or the way to it, failed or refused; nothing was changed here."""
