"""Find out how far an input in work/ got before its work was cut short, and bring it to an end if it can be.

Used at start for everything in work/, and later for an input whose work a fault of the machine has interrupted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ..files import durable
from . import names

if TYPE_CHECKING:
    from .commit import Committer
    from .folder import Spool


class ClaimState(StrEnum):
    """What is left of a claim that was cut short."""

    CLAIMED = "claimed"
    """In work/ only: to be answered (anew)."""
    HALF_CLAIMED = "half_claimed"
    """Still in in/ as well; the name there is removed, and it is to be answered."""
    ANSWERED = "answered"
    """The result is in out/: the input is moved to done/."""
    FINISHED = "finished"
    """In done/ as well: the name in work/ is removed."""
    QUARANTINED = "quarantined"
    """In failed/ as well: the name in work/ is removed."""
    GONE = "gone"
    """Not in work/ (any more)."""

    @property
    def unanswered(self) -> bool:
        """True where there is still work to do."""
        return self in {ClaimState.CLAIMED, ClaimState.HALF_CLAIMED}


def reconcile(spool: Spool, committer: Committer, name: str) -> ClaimState:
    """Bring an input in work/ as far as it can be brought without answering it.

    Before a name is removed, the folder that holds the other one is synced: the process may have ended between a link
    and its sync, and the page cache shows a name that a power cut would take away.

    Returns
    -------
    ClaimState
        What was found.

    Raises
    ------
    OSError
        The disk; nothing is worse than before.

    """
    here = durable.look(spool.work, name)
    if here is None:
        return ClaimState.GONE
    state = ClaimState.CLAIMED
    if durable.same_file(here, durable.look(spool.inbox, name)):
        durable.sync_folder(spool.work, spool.durability)
        spool.unlink_claimed([name])
        state = ClaimState.HALF_CLAIMED
    if durable.same_file(here, durable.look(spool.done, name)):
        durable.sync_folder(spool.done, spool.durability)
        durable.unlink(spool.work, name)
        return ClaimState.FINISHED
    if durable.same_file(here, durable.look(spool.failed, names.base(name))):
        durable.sync_folder(spool.failed, spool.durability)
        durable.unlink(spool.work, name)
        return ClaimState.QUARANTINED
    if durable.look(spool.out, names.base(name) + names.RESULT) is None:
        return state
    sha256 = durable.digest(spool.work, name)
    if sha256 is None or committer.answered(name, sha256) is None:
        return state
    durable.sync_folder(spool.out, spool.durability)
    committer.finish([(name, sha256)])
    return ClaimState.ANSWERED
