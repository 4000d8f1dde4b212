"""Copy versions to and from other registries over HTTP, and serve a registry read-only.

The rest of the registry imports this package only where a command needs it: other commands load no HTTP library.
"""

from .follow import AliasFollower, Move, Stopped, follow, follow_once
from .server import Server, serve
from .transfer import Transfer, pull, push

__all__ = [
    "AliasFollower",
    "Move",
    "Server",
    "Stopped",
    "Transfer",
    "follow",
    "follow_once",
    "pull",
    "push",
    "serve",
]
