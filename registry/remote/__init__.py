"""Other registries over HTTP: push, pull, follow, and a read-only endpoint of our own.

Its modules are imported where they are used: the rest of the registry needs no HTTP library.
"""

from .transfer import Transfer, pull, push

__all__ = ["Transfer", "pull", "push"]
