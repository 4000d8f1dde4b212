"""Letting in what comes from outside, after it was verified."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, NotFound
from ..formats.manifest import Package
from ..layout.changes import Signature, attachment, check_new, move, publication
from ..layout.journal import ModelState
from ..values import Pin
from .archive import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..layout.layout import Layout
    from .examine import Incoming

__all__ = ["QUARANTINE", "admit", "quarantined"]

QUARANTINE: Final = ".quarantine"
"""Below the registry: where archives are unpacked before they are verified."""


@contextlib.contextmanager
def quarantined(root: Path, source: Path) -> Iterator[Path]:
    """Unpack an archive where nobody looks; a directory is read where it is, by digest."""
    if source.is_dir():
        yield source
        return
    folder = root / QUARANTINE / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        unpack(source, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another import is under way
            folder.parent.rmdir()


def admit(layout: Layout, incoming: Incoming, alias: str | None, signature: Signature) -> list[Pin]:
    """Commit what was verified: versions, then attachments, then the alias.

    Raises
    ------
    BadInput
        When an alias is to move and there is not exactly one version; nothing was changed.
    Conflict
        When a version is here with other bytes; nothing was changed.
    NotFound
        When the version of an attachment is neither here nor in the source; nothing was changed.
    """
    name = layout.name
    if alias is not None and len(incoming.versions) != 1:
        raise BadInput(f"alias {alias}: the source has {len(incoming.versions)} versions, not 1")
    state = layout.state() if layout.exists else ModelState()
    for version, staged in incoming.versions.items():
        check_new(layout, state, version, staged.target)
    here = {staged.target.digest for staged in incoming.versions.values()}
    for staged in incoming.attachments:
        subject = staged.subject
        if subject.digest not in here and state.version_of(subject.digest) is None:
            raise NotFound(f"model {name}: no version is {subject.digest}, of an attachment")
    layout.create()
    for version, staged in incoming.versions.items():
        blobs = incoming.read(staged)
        layout.stage(blobs)
        layout.commit(
            publication(layout, version, staged.target, signature, blobs, operation="import")
        )
    for staged in incoming.attachments:
        package = Package(descriptor=staged.target, blobs=incoming.read(staged))
        layout.stage(package.blobs)
        layout.commit(attachment(layout, staged.kind, package, staged.subject, signature))
    pins = [
        Pin(name=name, version=version, digest=staged.target.digest)
        for version, staged in incoming.versions.items()
    ]
    if alias is not None:
        target = next(iter(incoming.versions.values())).target
        layout.commit(move(layout, alias, target, None, signature))
    return pins
