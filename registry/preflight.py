"""Find out whether a version can be published before the work that makes it: minutes must not end in a refusal."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .catalogue import Catalogue
from .errors import Conflict, Corrupt, NotFound, StorageError
from .formats.manifest import CREATED
from .layout.changes import Attribution
from .layout.files import storage
from .layout.find import find
from .operations import prepare
from .references import Reference, check_alias, check_model, check_version, is_version, version_key
from .times import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from .layout.journal import ModelState
    from .layout.layout import Layout
    from .references import Digest

__all__ = ["check_publication"]


def check_publication(
    root: Path,
    name: str,
    version: str,
    *,
    created: datetime | None,
    alias: str | None,
    actor: str | None,
    reason: str,
) -> str | None:
    """Check everything about a publication except its files; nothing of it stays on the disk.

    Parameters
    ----------
    root
        Folder of the registry; it need not exist.
    name, version, created, alias, actor, reason
        As `Registry.publish` takes them.

    Returns
    -------
    str or None
        The highest published version if the new one is lower: a new patch of an older version, or a slip.

    Raises
    ------
    BadReference, BadInput
        An argument is invalid.
    Conflict
        The version exists, or existed before it was withdrawn, and was created at another time.
    StorageError
        The registry cannot be created or written.
    Corrupt
        The model's index or journal is damaged.

    """
    check_model(name)
    check_version(version)
    if alias is not None:
        check_alias(alias)
    Attribution.of(actor, reason)
    time = None if created is None else format_time(created, what=f"{name}:{version}")
    _check_writable(root)
    if not root.exists():
        return None
    layout = Catalogue(root).layout(name)
    with storage(f"reading {layout.path}"):
        if not layout.path.exists():
            return None
        if not os.access(layout.path, os.W_OK | os.X_OK):
            raise StorageError(f"registry {root}: the folder of {name} is not writable")
        state = layout.state() if layout.exists else None
    if state is None:
        return None
    versions = [tag for tag in (*state.tags, *state.withdrawn) if is_version(tag)]
    highest = max(versions, key=version_key, default=version)
    _check_version_is_free(layout, state, version, time, highest)
    return highest if version_key(highest) > version_key(version) else None


def _check_writable(root: Path) -> None:
    """Create a registry for trial: in place if it exists, otherwise in the folder that it would be created in."""
    with storage(f"creating registry {root}"):
        there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise StorageError(f"creating registry {root}: {there} is not a folder")
        if there == root:
            prepare(root)
            return
        with TemporaryDirectory(prefix=".spikewatch-trial-", dir=there) as trial:
            prepare(Path(trial) / "registry")


def _check_version_is_free(
    layout: Layout, state: ModelState, version: str, created: str | None, highest: str
) -> None:
    target = state.tags.get(version)
    digest = state.withdrawn.get(version) if target is None else target.digest
    # With the time that the published version has, equal files would give its digest, which is no conflict.
    if digest is None or (
        created is not None and _created(layout, state, digest) in {created, None}
    ):
        return
    was = "was withdrawn" if target is None else f"is published as {digest}"
    raise Conflict(
        f"{layout.name}:{version} {was}; versions are immutable: choose another, the highest is {highest}"
    )


def _created(layout: Layout, state: ModelState, digest: Digest) -> str | None:
    """Return when a version was created; None if its manifest is missing or damaged, which publishing again repairs."""
    try:
        found = find(layout, state, Reference(name=layout.name, digest=digest))
        return layout.manifest(found, what=layout.name).annotations.get(CREATED)
    except (Corrupt, NotFound):
        return None
