"""Add verified versions and attachments from outside to the registry."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from ..errors import BadInput, NotFound
from ..layout.changes import Attribution, attachment, check_new, move, publication
from ..layout.commit import add, commit, create
from ..layout.journal import ModelState
from ..layout.unfinished import QUARANTINE, unfinished_name, writing
from ..references import Reference
from ..values import Pin
from .archive import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..layout.layout import Layout
    from .examine import Incoming

__all__ = ["admit", "quarantined"]


@contextlib.contextmanager
def quarantined(root: Path, source: Path) -> Iterator[Path]:
    """Unpack an archive into quarantine, and remove it again at the end of the block; yield the layout's directory.

    A source that is a directory is verified where it is, and nothing is copied.
    """
    if source.is_dir():
        yield source
        return
    with writing(root):
        folder = root / QUARANTINE / unfinished_name()
        folder.mkdir(parents=True)
        try:
            unpack(source, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # not empty: another import is in progress
                folder.parent.rmdir()


def admit(
    layout: Layout, incoming: Incoming, alias: str | None, attribution: Attribution
) -> list[Pin]:
    """Commit what was verified: versions, then attachments, then the alias.

    Parameters
    ----------
    layout
        The model; created if it does not exist.
    incoming
        From `examine`.
    alias
        Points to the version afterwards; None to move no alias.
    attribution
        Who and why.

    Returns
    -------
    list of Pin
        The versions of the source.

    Raises
    ------
    BadInput
        An alias is to be moved, and there is not exactly one version; nothing was changed.
    Conflict
        A version is already here with other bytes; nothing was changed.
    NotFound
        The version of an attachment is neither here nor in the source; nothing was changed.

    """
    name = layout.name
    if alias is not None and len(incoming.versions) != 1:
        raise BadInput(f"alias {alias}: the source has {len(incoming.versions)} versions, not 1")
    # Each commit checks this again under the lock; here, so that a conflict changes nothing at all.
    _check_fits(layout.state() if layout.exists else ModelState(), incoming)
    create(layout)
    for version, manifest in incoming.versions.items():
        add(
            layout,
            incoming.package(manifest),
            publication(name, version, manifest.target, attribution, operation="import"),
        )
    for attached in incoming.attachments:
        add(
            layout,
            incoming.package(attached),
            attachment(name, attached.kind, attached.target, attached.subject, attribution),
        )
    if alias is not None:
        reference = Reference(name=name, tag=next(iter(incoming.versions)))
        commit(layout, move(layout, alias, reference, None, attribution))
    return [
        Pin(name=name, version=version, digest=manifest.target.digest)
        for version, manifest in incoming.versions.items()
    ]


def _check_fits(state: ModelState, incoming: Incoming) -> None:
    """Raise Conflict or NotFound if a version or an attachment cannot be added to this state."""
    name = incoming.name
    for version, manifest in incoming.versions.items():
        check_new(name, state, version, manifest.target.digest)
    here = {manifest.target.digest for manifest in incoming.versions.values()}
    for attached in incoming.attachments:
        subject = attached.subject.digest
        if subject not in here and state.version_of(subject) is None:
            raise NotFound(
                f"model {name}: an attachment belongs to {subject}, which is not a version of the model"
            )
