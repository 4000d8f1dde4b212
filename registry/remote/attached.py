"""Evaluations and signatures that go along with their version.

They stand under tags of their own beside the version's, here and in the other registry. Numbers are
given by each registry for itself, so that what two people attached never overwrites one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, Corrupt
from ..formats.attachments import parse_attachment, split_tag, tag_prefix
from ..formats.dsse import read_envelope
from ..formats.json_documents import MANIFEST_TYPE, Descriptor, canonical, parse_json
from ..formats.manifest import Package

if TYPE_CHECKING:
    from ..layout.journal import ModelState
    from ..layout.layout import Layout
    from ..references import Digest
    from .repository import Repository

__all__ = ["MAX_ATTACHED", "Fetched", "fetch_attached", "send_attached"]

MAX_ATTACHED: Final = 100
"""Most attachments of a version that are pulled; who can push tags could add any number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """An attachment that was fetched and verified."""

    kind: str
    package: Package


def _of(tags: list[str], subject: Digest) -> dict[str, str]:
    """Pick the attachments of one version: tag to kind, the lower numbers first."""
    parts = {tag: split_tag(tag) for tag in sorted(tags, key=lambda tag: (len(tag), tag))}
    return {tag: part[1] for tag, part in parts.items() if part and part[0] == subject}


def send_attached(
    repository: Repository, layout: Layout, state: ModelState, subject: Digest
) -> int:
    """Send what is attached to a version and is not there yet; give the number.

    Raises
    ------
    Corrupt
        When one is damaged here.
    RemoteError
        When the other registry fails or refuses.
    """
    ours = _of(list(state.tags), subject)
    if not ours:
        return 0
    theirs = _of(repository.tags(), subject)
    there = {repository.digest_of(tag) for tag in theirs}
    sent = 0
    for tag, kind in ours.items():
        target, what = state.tags[tag], f"{layout.name}:{tag}"
        if target.digest in there:
            continue
        for blob in layout.attachment(target, what=what).blobs:
            if not repository.has_blob(blob.digest):
                repository.put_blob(blob.digest, layout.read(blob, what=what))
        free = tag
        if tag in theirs:
            prefix = tag_prefix(subject, kind)
            taken = (int(each.removeprefix(prefix)) for each, k in theirs.items() if k == kind)
            free = f"{prefix}{max(taken) + 1}"
        repository.put_manifest(free, layout.read(target, what=what), target.digest)
        theirs[free] = kind
        sent += 1
    return sent


def fetch_attached(repository: Repository, subject: Descriptor, held: set[Digest]) -> list[Fetched]:
    """Fetch and verify what is attached to a version in the other registry.

    Parameters
    ----------
    subject
        The version's manifest.
    held
        The attachments that are here already.

    Raises
    ------
    Corrupt
        When one is not what its tag says, or there are too many.
    RemoteError
        When the other registry fails or refuses.
    """
    found = _of(repository.tags(), subject.digest)
    if len(found) > MAX_ATTACHED:
        raise Corrupt(
            f"{repository.address}: {len(found)} attachments of {subject.digest}, more than the "
            f"limit of {MAX_ATTACHED}"
        )
    return [
        _fetch(repository, tag, kind, subject)
        for tag, kind in found.items()
        if repository.digest_of(tag) not in held
    ]


def _fetch(repository: Repository, tag: str, kind: str, subject: Descriptor) -> Fetched:
    what = str(repository.address.at(tag=tag))
    data = repository.manifest(tag)
    attachment = parse_attachment(data, what=f"{what}: manifest")
    try:
        if canonical(attachment.document) != data:
            raise Corrupt(f"{what}: the manifest is not in canonical form")
    except BadInput as e:  # half of a surrogate pair
        raise Corrupt(f"{what}: {e}") from None
    said = attachment.kind, attachment.subject.digest, attachment.subject.size
    if said != (kind, subject.digest, subject.size):
        raise Corrupt(f"{what}: is of kind {said[0]} and attached to {said[1]}")
    blobs = {blob.digest: repository.blob(blob, what=what) for blob in attachment.blobs}
    content = blobs[attachment.content.digest]
    if kind == "sig":
        read_envelope(content, subject.digest, what=what)
    elif not isinstance(parse_json(content, what=what), dict):
        raise Corrupt(f"{what}: holds no JSON object")
    target = Descriptor.of(data, MANIFEST_TYPE, attachment.document["artifactType"])
    return Fetched(
        kind=kind, package=Package(descriptor=target, blobs={**blobs, target.digest: data})
    )
