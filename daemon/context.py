"""The objects that the parts of one lane share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock
    from .heartbeats import Heartbeats
    from .log.logger import Log
    from .settings import Settings
    from .spool.commit import Committer
    from .spool.folder import Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The objects that every part of one lane needs; built once, when the lane opens, and never changed.

    Attributes
    ----------
    spool
        The lane's folders, locked.
    committer
        Moves results and inputs to their final places in that spool.
    settings
        Returns the settings in force.  A reload replaces them as a whole, between two turns of the loop: a part calls
        this once for a piece of work and keeps the value to the end of that piece.
    clock
        Time.
    log
        The lane's log, not bound to a model.
    heartbeats
        Where the daemon's threads show that they are alive.

    """

    spool: Spool
    committer: Committer
    settings: Callable[[], Settings]
    clock: Clock
    log: Log
    heartbeats: Heartbeats
