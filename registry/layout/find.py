"""From a reference to the manifest that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import Conflict, Corrupt, NotFound
from ..formats.json_documents import MANIFEST_TYPE, Descriptor
from ..formats.manifest import MAX_MANIFEST
from ..references import is_version
from .files import read_regular

if TYPE_CHECKING:
    from ..references import Reference
    from .journal import ModelState
    from .layout import Layout

__all__ = ["complete", "find"]


def complete(name: str, ref: str) -> str:
    """Complete a short reference with the model's name."""
    if ref.startswith("sha256:"):
        return f"{name}@{ref}"
    return ref if ":" in ref or "@" in ref else f"{name}:{ref}"


def find(layout: Layout, state: ModelState, reference: Reference) -> Descriptor:
    """Find the manifest that a reference means.

    Raises
    ------
    NotFound
        When it means nothing.
    Conflict
        When tag and digest do not agree.
    """
    tag, digest = reference.tag, reference.digest
    if tag is None:
        named = [] if digest is None else state.tags.of(digest)
        return state.tags[named[0]] if named else _unnamed(layout, reference)
    target = state.tags.get(tag)
    if target is None and tag in state.withdrawn:
        raise NotFound(f"{layout.name}:{tag}@{state.withdrawn[tag]} is withdrawn")
    if target is None:
        kind = "version" if is_version(tag) else "alias"
        raise NotFound(f"model {layout.name}: no {kind} {tag!r}")
    if digest not in {None, target.digest}:
        raise Conflict(f"{layout.name}:{tag} is {target.digest}, not {digest}")
    return target


def _unnamed(layout: Layout, reference: Reference) -> Descriptor:
    """Find a manifest that no tag means any more."""
    missing = NotFound(f"model {layout.name}: no manifest {reference.digest}")
    if reference.digest is None:
        raise missing
    try:
        data = read_regular(layout.blob_path(reference.digest), limit=MAX_MANIFEST)
        target = Descriptor.of(data, MANIFEST_TYPE)
        if target.digest != reference.digest:
            raise missing
        layout.manifest(target, what=str(reference))
    except (FileNotFoundError, Corrupt):  # no blob, or one that is a layer
        raise missing from None
    return target
