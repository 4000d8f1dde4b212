"""Find the manifest that a reference points to."""

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
    """Return a reference with the model's name in front, if it is only a tag or a digest."""
    if ref.startswith("sha256:"):
        return f"{name}@{ref}"
    return ref if ":" in ref or "@" in ref else f"{name}:{ref}"


def find(layout: Layout, state: ModelState, reference: Reference) -> Descriptor:
    """Return the manifest that a reference points to.

    A digest may also name a manifest that no tag points to any more, as long as `gc` has not removed it.

    Raises
    ------
    NotFound
        The reference points to nothing.
    Conflict
        Tag and digest do not agree.

    """
    tag, digest = reference.tag, reference.digest
    if tag is None:
        tags = [] if digest is None else state.tags.of(digest)
        return state.tags[tags[0]] if tags else _find_untagged(layout, reference)
    target = state.tags.get(tag)
    if target is None and tag in state.withdrawn:
        raise NotFound(f"{layout.name}:{tag}@{state.withdrawn[tag]} is withdrawn")
    if target is None:
        kind = "version" if is_version(tag) else "alias"
        raise NotFound(f"model {layout.name}: no {kind} {tag!r}")
    if digest not in {None, target.digest}:
        raise Conflict(f"{layout.name}:{tag} is {target.digest}, not {digest}")
    return target


def _find_untagged(layout: Layout, reference: Reference) -> Descriptor:
    missing = NotFound(f"model {layout.name}: no manifest {reference.digest}")
    if reference.digest is None:
        raise missing
    try:
        # Any blob can have this digest, and its size is not known: read no more than a manifest may have, then parse.
        data = read_regular(layout.blob_path(reference.digest), limit=MAX_MANIFEST)
        target = Descriptor.of(data, MANIFEST_TYPE)
        if target.digest != reference.digest:
            raise missing
        layout.manifest(target, what=str(reference))
    except (FileNotFoundError, Corrupt):
        raise missing from None
    return target
