"""Garbage collection: remove what no version needs any more."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..formats.attachments import split_tag
from ..references import Digest, is_digest
from ..values import Collected
from .changes import Attribution, detachment
from .commit import commit, locked
from .history import recent_targets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .journal import ModelState
    from .layout import Layout

__all__ = ["WINDOW", "Grace", "collect", "remove_old"]

WINDOW: Final = 10
"""How many of the last targets of each alias are kept, so that rollbacks find them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grace:
    """How long a file is left alone after its last change, because a writer may be about to use it.

    Attributes
    ----------
    now
        Seconds since the epoch.
    seconds
        The grace.

    """

    now: float
    seconds: float

    @classmethod
    def of(cls, seconds: float) -> Grace:
        """Return a grace that counts back from now."""
        return cls(now=time.time(), seconds=seconds)

    def is_over(self, path: Path) -> bool:
        """Return whether a file may be removed; False if it does not exist any more."""
        try:
            return self.now - path.lstat().st_mtime >= self.seconds
        except FileNotFoundError:
            return False


def collect(layout: Layout, grace: Grace, *, dry_run: bool) -> Collected:
    """Remove the blobs that nothing needs, and the files that a crash left.

    A manifest is needed if a tag points to it, or if it is among the last `WINDOW` targets of an alias; its blobs are
    then needed, too. Clocks play no part in this, apart from the grace. Writers wait until this function returns.

    Parameters
    ----------
    layout
        The model.
    grace
        Files that changed within it stay.
    dry_run
        Return what would be removed, and remove nothing.

    Raises
    ------
    Corrupt
        A needed blob is damaged. Nothing is removed then: the bytes to repair it may be in a blob to remove.

    """
    # Before the lock is taken: each removed tag is a commit, which takes the lock itself.
    detached = _detach(layout, dry_run=dry_run)
    with locked(layout):
        state = layout.state()
        needed = _needed(layout, state, detached if dry_run else [])
        blobs = [path for path in _unused(layout, needed) if grace.is_over(path)]
        sizes = [path.lstat().st_size for path in blobs]
        if not dry_run:
            for path in blobs:
                path.unlink()
        leftovers = remove_old(layout.ingest, grace, dry_run=dry_run)
    return Collected(
        model=layout.name,
        blobs=tuple(Digest(f"sha256:{path.name}") for path in blobs),
        size=sum(sizes),
        leftovers=leftovers,
        tags=tuple(detached),
    )


def _detach(layout: Layout, *, dry_run: bool) -> list[str]:
    """Remove the tags of attachments whose version no longer exists; return these tags."""
    state = layout.state()
    kept = {state.tags[tag].digest for tag in state.tags if split_tag(tag) is None}
    kept |= {target.digest for target in recent_targets(layout, state, WINDOW)}
    subjects = {tag: part[0] for tag in sorted(state.tags) if (part := split_tag(tag)) is not None}
    dead = {tag: subject for tag, subject in subjects.items() if subject not in kept}
    attribution = Attribution.of(None, "its version no longer exists")
    for tag, subject in () if dry_run else dead.items():
        commit(layout, detachment(tag, subject, attribution))
    return list(dead)


def _needed(layout: Layout, state: ModelState, detached: list[str]) -> set[Digest]:
    """Return the digests of the needed manifests and of their blobs, all of them read and verified."""
    needed: set[Digest] = set()
    live = {target for tag, target in state.tags.items() if tag not in detached}
    for target in live | recent_targets(layout, state, WINDOW):
        # A version may have been withdrawn and collected while it was outside the window of every alias. Removing an
        # alias can bring it back into the window, after its blobs are gone.
        if target not in live and not layout.blob_path(target.digest).exists():
            continue
        needed.add(target.digest)
        needed |= {blob.digest for blob in layout.check(target, what=layout.name)}
    return needed


def _unused(layout: Layout, needed: set[Digest]) -> Iterator[Path]:
    for path in sorted(layout.blobs.iterdir()) if layout.blobs.is_dir() else []:
        digest = f"sha256:{path.name}"
        if is_digest(digest) and digest not in needed and (path.is_file() or path.is_symlink()):
            yield path


def remove_old(folder: Path, grace: Grace, *, dry_run: bool) -> int:
    """Remove the entries of a folder of unfinished work whose grace is over; return their number."""
    try:
        old = [path for path in folder.iterdir() if grace.is_over(path)]
    except FileNotFoundError:
        return 0
    for path in () if dry_run else old:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)
