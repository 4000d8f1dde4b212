"""Other registries over HTTP: push, pull, follow, and a read-only endpoint of our own.

Its modules are imported where they are used: the rest of the registry needs no HTTP library.
"""

from .follow import Follower, Move, Stopped, follow, follow_once
from .server import Server, serve
from .transfer import Transfer, pull, push

__all__ = [
    "Follower",
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
