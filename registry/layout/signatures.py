"""Find the versions that a key has not signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RegistryError
from ..formats.attachments import split_tag
from ..references import is_version
from ..values import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..formats.dsse import Verifier
    from ..formats.json_documents import Descriptor
    from .journal import ModelState
    from .layout import Layout

__all__ = ["unsigned"]


def unsigned(
    layout: Layout, state: ModelState, targets: Iterable[Descriptor] | None, verifier: Verifier
) -> Iterator[Problem]:
    """Yield a problem for each version without a valid signature by the key; it names the invalid signatures.

    Parameters
    ----------
    layout, state
        The model, and its state.
    targets
        Manifests of the versions; None for all versions.
    verifier
        Has the key.

    """
    if targets is None:
        targets = {state.tags[tag] for tag in state.tags if is_version(tag)}
    for target in sorted(targets, key=lambda each: each.digest):
        reasons = []
        for tag in sorted(tag for tag in state.tags if split_tag(tag) == (target.digest, "sig")):
            what = f"{layout.name}:{tag}"
            try:
                content = layout.attachment(state.tags[tag], what=what).content
                if verifier.accepts(layout.read(content, what=what), target.digest, what=what):
                    break
                reasons.append(f"{tag.partition('.')[2]} is of another key or forged")
            except RegistryError as e:
                reasons.append(str(e))
        else:
            yield Problem(
                model=layout.name,
                path=f"blobs/sha256/{target.digest.removeprefix('sha256:')}",
                what="; ".join((f"is not signed by key {verifier.key_id[:12]}", *reasons)),
                breaks=tuple(tag for tag in sorted(state.tags.of(target.digest))),
            )
