"""Change a model: the commit protocol.

A change is committed when the hard link of its journal entry appears, and not before. The blobs it needs are durable
before that; `index.json` is replaced after that. If a crash comes between the two, readers apply the newer journal
entries in memory, and the next writer replaces the index. This holds if a process crashes at any point, and if the
machine crashes, provided that its disk honours fsync.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Final

from ..errors import Corrupt
from .files import read_regular, sync_folder, temporaries
from .index import MAX_INDEX, render_index
from .journal import Change, ModelState, entry_name
from .layout import LAYOUT, Layout
from .unfinished import NEW, unfinished_name, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ..formats.manifest import Package
    from ..references import Digest

__all__ = ["add", "commit", "create", "locked", "rebuild"]

# The errors of flock on file systems without locks. The hard link alone then decides which writer comes first.
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def create(layout: Layout) -> None:
    """Create an empty model in one atomic rename, unless the model exists."""
    if layout.exists:
        return
    with writing(layout.path.parent):
        _create(layout)


def _create(layout: Layout) -> None:
    made = layout.path.with_name(NEW + unfinished_name())
    new = Layout(made)
    try:
        for folder in (new.blobs, new.journal, new.ingest):
            folder.mkdir(parents=True)
        with temporaries(new.ingest, LAYOUT, render_index(ModelState())) as (marker, index):
            marker.replace(made / "oci-layout")
            index.replace(new.index)
        # Before the rename: a crash after it must not leave a model whose files are missing.
        for folder in (new.blobs, new.blobs.parent, new.journal, made):
            sync_folder(folder)
        made.rename(layout.path)
    except OSError as e:
        shutil.rmtree(made, ignore_errors=True)
        # A directory can only be renamed onto an empty one: these errors mean that another process was first.
        if e.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    # Also if another process was first: its rename may not be durable yet, and our commit depends on it.
    sync_folder(layout.path.parent)


def add(
    layout: Layout, package: Package, decide: Callable[[ModelState], Change | None]
) -> ModelState:
    """Store the blobs of a package, then commit the change that refers to its manifest.

    A collector (`gc`) may run at the same time, and without a grace it may remove the blobs before the commit, but not
    while this function holds the lock. The commit therefore checks every blob under the lock, and stores missing ones
    again.

    Parameters
    ----------
    layout
        The model.
    package
        A manifest and all its blobs.
    decide
        As for `commit`; its change points a tag to the package's manifest.

    Returns
    -------
    ModelState
        The state that includes the change.

    Raises
    ------
    Corrupt
        The journal is damaged.

    """

    def decide_with_blobs(state: ModelState) -> Change | None:
        change = decide(state)
        if change is not None:
            _ensure(layout, package, what=f"{layout.name}:{change.tag}")
        return change

    # Outside the lock, because it may take long. Without a grace, the collector may even remove a temporary file before
    # its rename (FileNotFoundError); the check under the lock then finds the blob missing.
    with writing(layout.path.parent):
        with contextlib.suppress(FileNotFoundError):
            _store(layout, package.blobs)
        return commit(layout, decide_with_blobs)


def _ensure(layout: Layout, package: Package, *, what: str) -> None:
    try:
        layout.check(package.descriptor, what=what)
    except Corrupt:
        _store(layout, package.blobs)
        layout.check(package.descriptor, what=what)


def _store(layout: Layout, blobs: Mapping[Digest, bytes]) -> None:
    """Store blobs durably; replace those that are stored with wrong bytes."""
    missing = {}
    for digest, data in blobs.items():
        if not _holds(layout.blob_path(digest), data):
            missing[layout.blob_path(digest)] = data
    with temporaries(layout.ingest, *missing.values()) as written:
        for temporary, path in zip(written, missing, strict=True):
            # Overwriting is safe, because the name is the digest: another writer's blob has the same bytes, and a
            # damaged one is repaired.
            temporary.replace(path)
    sync_folder(layout.blobs)


def _holds(path: Path, data: bytes) -> bool:
    """Return whether a blob is stored and intact; if so, protect it from a collector that has a grace."""
    try:
        if read_regular(path, limit=len(data)) != data:
            return False
        os.utime(path)  # a collector leaves blobs alone that are younger than its grace
    except (FileNotFoundError, PermissionError, Corrupt):
        return False  # the caller writes it again, which makes it young as well
    return True


def commit(layout: Layout, decide: Callable[[ModelState], Change | None]) -> ModelState:
    """Commit one change, safely against other processes and crashes.

    Parameters
    ----------
    layout
        The model.
    decide
        Returns the change for a state, or None if there is nothing to do; raises to refuse. It is called again if
        another process committed first.

    Returns
    -------
    ModelState
        The state that includes the change.

    Raises
    ------
    Corrupt
        The journal is damaged.

    """
    with writing(layout.path.parent), locked(layout):
        while True:
            state = layout.state()
            change = decide(state)
            if change is None:
                # An earlier writer may have died between its commit and its index.
                _write_index(layout, state)
                return state
            entry = change.to_bytes()
            after = state.replay(iter([(change, entry)]), what=str(layout.journal))
            # The index is written before the commit, too: one wait for the disk instead of two.
            with temporaries(layout.ingest, entry, render_index(after)) as (claim, index):
                if _claim(layout, change.generation, claim):
                    _swap_index(layout, after, index)
                    return after
            # Another process has this generation. If its entry cannot be read, a further attempt would fail as well.
            if layout.state().generation <= state.generation:
                path = layout.journal / entry_name(change.generation)
                raise Corrupt(f"{path}: exists, but is not a readable journal entry")


def rebuild(layout: Layout) -> None:
    """Write `oci-layout`, and `index.json` from the journal, even if both are damaged or missing.

    Raises
    ------
    Corrupt
        The journal is damaged: its hash chain is broken, or it lacks an entry that an intact index names.

    """
    with writing(layout.path.parent), locked(layout):
        try:
            intact = layout.read_index().intact
        except Corrupt:
            intact = False
        if intact:
            layout.state()  # raises if the journal lacks an entry that this trustworthy index names
        state = ModelState().replay(layout.entries(0), what=str(layout.journal))
        with temporaries(layout.ingest, LAYOUT) as (marker,):
            marker.replace(layout.path / "oci-layout")
        _write_index(layout, state)


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the writers' lock, where the file system has locks.

    It saves writers from work that they would have to repeat. Correctness depends on the hard link alone.
    """
    descriptor = os.open(
        layout.journal / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
    )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)  # releases the lock, as the kernel does for a killed process


def _claim(layout: Layout, generation: int, temporary: Path) -> bool:
    """Link an entry into the journal, which commits it; return False if another process has this generation."""
    path = layout.journal / entry_name(generation)
    try:
        # A link, because it fails if the name exists: a rename would overwrite the entry of another writer.
        path.hardlink_to(temporary)
    except FileExistsError:
        # NFS may lose the reply to a successful link, repeat the request, and report that the repetition failed.
        if temporary.stat().st_nlink != 2 or not path.samefile(temporary):
            return False
    sync_folder(layout.journal)
    return True


def _write_index(layout: Layout, state: ModelState) -> None:
    """Write `index.json`, unless it has this content already."""
    data = render_index(state)
    try:
        if read_regular(layout.index, limit=MAX_INDEX) == data:
            return
    except (FileNotFoundError, Corrupt):
        pass
    with temporaries(layout.ingest, data) as (index,):
        _swap_index(layout, state, index)


def _swap_index(layout: Layout, state: ModelState, temporary: Path) -> None:
    """Replace `index.json`, until it includes the journal's last entry.

    Without a working lock a slower process may replace our index by an older one. Each process reads the journal after
    its replacement, so the process that replaces last leaves the newest index.

    The directory is not fsynced. If a power failure restores the previous index, readers apply the journal's newer
    entries, as they do between the commit and this replacement.
    """
    temporary.replace(layout.index)
    newer = state.replay(layout.entries(state.generation), what=str(layout.journal))
    if newer.generation > state.generation:
        _write_index(layout, newer)
