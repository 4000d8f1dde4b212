"""Transfer the evaluations and signatures of a version together with it.

They have separate tags, here and in the other registry. Each registry numbers them itself, so that attachments that two
people made in two registries never overwrite each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import Corrupt
from ..formats.acceptance import accept_attachment, accept_content
from ..formats.attachments import split_tag, tag_prefix
from ..formats.json_documents import MANIFEST_TYPE, Descriptor
from ..formats.manifest import Package

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..layout.journal import ModelState
    from ..layout.layout import Layout
    from ..references import Digest
    from .repository import Repository

__all__ = ["MAX_ATTACHED", "FetchedAttachment", "fetch_attached", "send_attached"]

MAX_ATTACHED: Final = 100
"""Most attachments of a version that a pull accepts: anyone who can push tags could add any number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedAttachment:
    """An attachment that was fetched and verified.

    Attributes
    ----------
    kind
        `eval` or `sig`.
    package
        Its manifest and its blobs.

    """

    kind: str
    package: Package


def _kinds(tags: Iterable[str], subject: Digest) -> dict[str, str]:
    """Return the attachments of one version, tag to kind, the lower numbers first."""
    parts = {tag: split_tag(tag) for tag in sorted(tags, key=lambda tag: (len(tag), tag))}
    return {tag: part[1] for tag, part in parts.items() if part and part[0] == subject}


def send_attached(
    repository: Repository, layout: Layout, state: ModelState, subject: Digest
) -> int:
    """Send the attachments of a version that the other registry does not have; return their number.

    Parameters
    ----------
    repository
        The repository in the other registry.
    layout, state
        The model, and its state.
    subject
        Digest of the version's manifest.

    Raises
    ------
    Corrupt
        An attachment is damaged here.
    RemoteError
        The other registry cannot be reached, fails or refuses.

    """
    ours = _kinds(state.tags, subject)
    if not ours:
        return 0
    theirs = _kinds(repository.tags(), subject)
    there = {repository.digest_of(tag) for tag in theirs}
    sent = 0
    for tag, kind in ours.items():
        target, what = state.tags[tag], f"{layout.name}:{tag}"
        if target.digest in there:
            continue
        manifest = layout.attachment(target, what=what)
        for blob in manifest.blobs:
            if not repository.has_blob(blob.digest):
                repository.put_blob(blob.digest, layout.read(blob, what=what))
        free = _free_tag(tag, kind, theirs, subject)
        repository.put_manifest(free, manifest.data, target.digest)
        theirs[free] = kind
        sent += 1
    return sent


def _free_tag(tag: str, kind: str, theirs: dict[str, str], subject: Digest) -> str:
    """Return the tag, or the one after the highest number if the tag is taken in the other registry."""
    if tag not in theirs:
        return tag
    prefix = tag_prefix(subject, kind)
    taken = (int(each.removeprefix(prefix)) for each, k in theirs.items() if k == kind)
    return f"{prefix}{max(taken) + 1}"


def fetch_attached(
    repository: Repository, subject: Descriptor, held: set[Digest]
) -> list[FetchedAttachment]:
    """Fetch and verify the attachments of a version in the other registry.

    Parameters
    ----------
    repository
        The repository in the other registry.
    subject
        The version's manifest.
    held
        Digests of the attachments that are already here; they are not fetched.

    Raises
    ------
    Corrupt
        An attachment is not what its tag says, or there are more than 100.
    RemoteError
        The other registry cannot be reached, fails or refuses.

    """
    found = _kinds(repository.tags(), subject.digest)
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


def _fetch(repository: Repository, tag: str, kind: str, subject: Descriptor) -> FetchedAttachment:
    what = str(repository.address.at(tag=tag))
    data = repository.manifest(tag)
    attachment = accept_attachment(data, what=what)
    stated = attachment.kind, attachment.subject.digest, attachment.subject.size
    if stated != (kind, subject.digest, subject.size):
        raise Corrupt(
            f"{what}: the tag does not match the attachment,"
            f" which is of kind {stated[0]} and belongs to {stated[1]}"
        )
    blobs = {blob.digest: repository.blob(blob, what=what) for blob in attachment.blobs}
    accept_content(attachment, blobs[attachment.content.digest], what=what)
    target = Descriptor.of(data, MANIFEST_TYPE, attachment.document["artifactType"])
    return FetchedAttachment(
        kind=kind, package=Package(descriptor=target, blobs={**blobs, target.digest: data})
    )
