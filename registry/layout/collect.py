"""Removing what no version needs any more."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..formats.attachments import split_tag
from ..references import Digest, is_digest
from ..values import Collected
from .changes import Signature, forgotten
from .history import recent_targets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .journal import ModelState
    from .layout import Layout

__all__ = ["WINDOW", "Age", "collect", "remove_old"]

WINDOW: Final = 10
"""So many of the last targets of each alias are kept, that a rollback may go back to them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Age:
    """How old a file must be to go: something may be about to use a younger one."""

    now: float
    grace: float
    """Seconds."""

    @classmethod
    def of(cls, grace: float) -> Age:
        """Count from now."""
        return cls(now=time.time(), grace=grace)

    def passes(self, path: Path) -> bool:
        """Tell whether the file may go; False when it is gone already."""
        try:
            return self.now - path.lstat().st_mtime >= self.grace
        except FileNotFoundError:
            return False


def collect(layout: Layout, age: Age, *, dry_run: bool) -> Collected:
    """Remove the blobs that nothing needs, and the files that a crash left.

    Everything that a tag means is kept, and what each alias meant lately; which blobs that needs is
    decided by digest alone. Publishers wait meanwhile.

    Raises
    ------
    Corrupt
        When anything that is kept is damaged: then nothing is removed, the bytes that would heal it
        might be among what no version needs.
    """
    dead = _forget(layout, dry_run=dry_run)
    with layout.locked():
        state = layout.state()
        needed = _needed(layout, state, dead if dry_run else [])
        blobs = [path for path in _unused(layout, needed) if age.passes(path)]
        sizes = [path.lstat().st_size for path in blobs]
        if not dry_run:
            for path in blobs:
                path.unlink()
        leftovers = remove_old(layout.ingest, age, dry_run=dry_run)
    return Collected(
        model=layout.name,
        blobs=tuple(Digest(f"sha256:{path.name}") for path in blobs),
        size=sum(sizes),
        leftovers=leftovers,
        tags=tuple(dead),
    )


def _forget(layout: Layout, *, dry_run: bool) -> list[str]:
    """Remove the tags of attachments the subjects of which are gone."""
    state = layout.state()
    kept = {state.tags[tag].digest for tag in state.tags if split_tag(tag) is None}
    kept |= {target.digest for target in recent_targets(layout, state, WINDOW)}
    parts = {tag: part[0] for tag in sorted(state.tags) if (part := split_tag(tag)) is not None}
    dead = {tag: subject for tag, subject in parts.items() if subject not in kept}
    signature = Signature.of(None, "its version is gone")
    for tag, subject in () if dry_run else dead.items():
        layout.commit(forgotten(tag, subject, signature))
    return list(dead)


def _needed(layout: Layout, state: ModelState, dead: list[str]) -> set[Digest]:
    needed: set[Digest] = set()
    live = {target for tag, target in state.tags.items() if tag not in dead}
    for target in live | recent_targets(layout, state, WINDOW):
        if target not in live and not layout.blob_path(target.digest).exists():
            continue  # withdrawn, and gone before it came into the window of an alias again
        needed.add(target.digest)
        needed |= {blob.digest for blob in layout.check(target, what=layout.name)}
    return needed


def _unused(layout: Layout, needed: set[Digest]) -> Iterator[Path]:
    for path in sorted(layout.blobs.iterdir()) if layout.blobs.is_dir() else []:
        digest = f"sha256:{path.name}"
        if is_digest(digest) and digest not in needed and (path.is_file() or path.is_symlink()):
            yield path


def remove_old(folder: Path, age: Age, *, dry_run: bool) -> int:
    """Remove what is old in a folder of unfinished work; say how many things that is."""
    try:
        old = [path for path in folder.iterdir() if age.passes(path)]
    except FileNotFoundError:
        return 0
    for path in () if dry_run else old:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)
