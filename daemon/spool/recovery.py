"""Bring an input that was found in work/ into a well-defined state, and finish it if its result is already there.

A start does this for everything in work/, and the daemon for an input whose processing was interrupted by a fault.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ..files import durable
from . import names
from .published import Published

if TYPE_CHECKING:
    from collections.abc import Callable

    from .commit import Committer
    from .folder import Spool


class ClaimState(StrEnum):
    """How far an interrupted claim had come."""

    CLAIMED = "claimed"
    """The input was in work/ only; it must be answered, possibly again."""
    HALF_CLAIMED = "half_claimed"
    """It was still in in/, too; its name there was removed, and it must be answered."""
    ANSWERED = "answered"
    """Its result was in out/; the input was moved to done/."""
    FINISHED = "finished"
    """It was already in done/, too; its name in work/ was removed."""
    QUARANTINED = "quarantined"
    """It was already in failed/, too; its name in work/ was removed."""
    GONE = "gone"
    """It was no longer in work/."""

    @property
    def unanswered(self) -> bool:
        """Whether it must still be answered."""
        return self in {ClaimState.CLAIMED, ClaimState.HALF_CLAIMED}


def reconcile(
    spool: Spool, committer: Committer, name: str, *, most_bytes: int, beat: Callable[[], None]
) -> ClaimState:
    """Complete an interrupted step of an input in work/ as far as possible without answering it.

    Before a name is removed, the folder of the file's other name is synced.  The earlier process may have died between
    a link and its sync; the page cache then shows a name that a power cut would take away.

    Parameters
    ----------
    spool, committer, name
        The input's name in work/.
    most_bytes, beat
        See `Published.known`.

    Returns
    -------
    ClaimState
        The state in which it was found.

    Raises
    ------
    OSError
        The disk failed; the call can be repeated.

    """
    here = durable.look(spool.work, name)
    if here is None:
        return ClaimState.GONE
    state = ClaimState.CLAIMED
    # Only a second name of the same inode proves a state: a file of equal name may be another input.
    if durable.same_file(here, durable.look(spool.inbox, name)):
        durable.sync_folder(spool.work, spool.durability)
        for fault in spool.unlink_claimed([name]).values():
            raise fault
        state = ClaimState.HALF_CLAIMED
    if durable.same_file(here, durable.look(spool.done, name)):
        durable.sync_folder(spool.done, spool.durability)
        durable.unlink(spool.work, name)
        return ClaimState.FINISHED
    if durable.same_file(here, durable.look(spool.failed, names.base(name))):
        durable.sync_folder(spool.failed, spool.durability)
        durable.unlink(spool.work, name)
        return ClaimState.QUARANTINED
    known = Published(spool).known(name, most_bytes=most_bytes, beat=beat)
    if known is None:
        return state
    durable.sync_folder(spool.out, spool.durability)
    committer.finish([(name, known[0])])
    return ClaimState.ANSWERED
