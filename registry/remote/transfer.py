"""Copy versions to and from other registries; what comes in is verified before any of it becomes visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..catalogue import Catalogue
from ..errors import BadReference, Conflict, Corrupt
from ..formats.acceptance import accept_files, accept_manifest
from ..formats.attachments import split_tag
from ..formats.json_documents import MANIFEST_TYPE, Descriptor
from ..formats.manifest import Package
from ..layout.changes import Attribution, attachment, check_new, publication
from ..layout.commit import add, create
from ..layout.files import storage
from ..layout.journal import ModelState
from ..references import Reference, check_model, check_version, is_version
from ..store import Registry
from ..values import Pin
from .address import Address
from .attached import fetch_attached, send_attached
from .repository import Repository
from .transport import wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..formats.manifest import Manifest
    from ..layout.layout import Layout
    from ..references import Digest
    from .attached import FetchedAttachment

__all__ = ["MAX_MODEL", "Transfer", "fetch", "opened", "pull", "push"]

MAX_MODEL: Final = 256 * 2**20
"""Largest model that can be pushed or pulled, all files together, in bytes: a pull holds it in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """The result of a push or a pull.

    Attributes
    ----------
    pin
        The version.
    remote
        The repository in the other registry.
    tags
        After a push, the tags that point to the version there; after a pull, the requested tag, if any.
    blobs
        Number of blobs that were transferred; the others were already there.
    size
        Bytes of these blobs.
    attached
        Number of evaluations and signatures that were transferred with the version.

    """

    pin: Pin
    remote: str
    tags: tuple[str, ...]
    blobs: int
    size: int
    attached: int


def opened(registry: Registry | str | Path) -> Catalogue:
    """Return the catalogue of a registry, or of its directory.

    Raises
    ------
    NotFound
        The directory does not exist.

    """
    return Catalogue(registry.root if isinstance(registry, Registry) else registry)


def push(
    registry: Registry | str | Path,
    ref: str,
    remote: str,
    *,
    plain_http: bool = False,
    pause: Callable[[float], None] = wait,
) -> Transfer:
    """Copy a version to another registry, byte for byte, with its evaluations and signatures.

    The version becomes a tag there, and so does the alias if `ref` names one. If the tag of the version already points
    to another version there, nothing is sent. This check and the write are two requests, because OCI registries have no
    compare-and-set: protect the tags in the other registry if others can push at the same time.

    Parameters
    ----------
    registry
        The local registry, or its directory.
    ref
        As for `Registry.resolve`.
    remote
        `HOST/REPOSITORY`. With `:TAG`, that tag is set instead of the alias. With `@sha256:...`, which must be the
        version's digest, no tags are set except those of attachments.
    plain_http
        Whether HTTP without encryption to other machines is allowed.
    pause
        Called with the seconds to wait before another attempt: a seam for tests.

    Raises
    ------
    BadReference
        `ref` or `remote` is not a reference.
    NotFound
        The version does not exist here.
    Conflict
        The version is another one there, or `remote` has another digest.
    Corrupt
        A file of the version is damaged here, or the version is larger than 256 MiB.
    RemoteError
        The other registry cannot be reached, fails or refuses.

    """
    address = Address.parse(remote, plain_http=plain_http)
    found = opened(registry).find(ref)
    pin, manifest = found.pin, found.manifest()
    if address.digest not in {None, pin.digest}:
        raise Conflict(f"{pin}: cannot be pushed as {address.digest}")
    blobs = _distinct_blobs(manifest, what=str(pin))
    tags = _tags(manifest, Reference.parse(ref), address)
    with Repository(address, writing=True, plain_http=plain_http, pause=pause) as repository:
        _check_tags(repository, tags, pin)
        sent = [blob for blob in blobs if not repository.has_blob(blob.digest)]
        for blob in sent:
            repository.put_blob(blob.digest, found.layout.read(blob, what=str(pin)))
        for tag in tags or (pin.digest,):
            repository.put_manifest(tag, manifest.data, pin.digest)
        attached = send_attached(repository, found.layout, found.state, pin.digest)
    return Transfer(
        pin=pin,
        remote=str(address.at()),
        tags=tags,
        blobs=len(sent),
        size=sum(blob.size for blob in sent),
        attached=attached,
    )


def _tags(manifest: Manifest, reference: Reference, address: Address) -> tuple[str, ...]:
    """Return the tags to set; the version first, so that an alias never exists there without its version."""
    if address.digest is not None and address.tag is None:
        return ()
    wanted = (manifest.version, address.tag or reference.tag)
    return tuple(dict.fromkeys(tag for tag in wanted if tag is not None))


def _check_tags(repository: Repository, tags: tuple[str, ...], pin: Pin) -> None:
    """Raise Conflict if a version tag points to another version in the other registry."""
    for tag in filter(is_version, tags):
        there = repository.digest_of(tag)
        if there not in {None, pin.digest}:
            raise Conflict(
                f"{repository.address.at(tag=tag)} is {there} and cannot become {pin.digest}; versions "
                "are immutable"
            )


def _distinct_blobs(manifest: Manifest, *, what: str) -> tuple[Descriptor, ...]:
    """Return every blob once (two files may have equal bytes); raise Corrupt if they do not fit in memory."""
    blobs: dict[Digest, Descriptor] = {}
    for blob in manifest.blobs:
        if blobs.setdefault(blob.digest, blob).size != blob.size:
            raise Corrupt(f"{what}: blob {blob.digest} is listed with two sizes")
    size = sum(blob.size for blob in blobs.values())
    if size > MAX_MODEL:
        raise Corrupt(f"{what}: {size} bytes in all, more than the limit of {MAX_MODEL}")
    return tuple(blobs.values())


def pull(
    registry: Registry | str | Path,
    remote: str,
    name: str | None = None,
    version: str | None = None,
    *,
    plain_http: bool = False,
    actor: str | None = None,
    reason: str | None = None,
    pause: Callable[[float], None] = wait,
) -> Transfer:
    """Copy a version from another registry, byte for byte, with its evaluations and signatures.

    Everything is fetched into memory and verified before anything is written: manifest, config and files by size and
    digest, and by the rules for what can be published here. Then it is published as by `Registry.publish`. After any
    error the registry is as it was. No alias moves.

    Parameters
    ----------
    registry
        The local registry, or its directory.
    remote
        `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@sha256:...`.
    name
        Name of the model here; by default the last part of the repository's name.
    version
        The version that it must be. It is also the tag to pull if `remote` has neither tag nor digest.
    plain_http
        Whether HTTP without encryption to other machines is allowed.
    actor, reason
        Who and why, for the journal; by default user@host, and the remote.
    pause
        Called with the seconds to wait before another attempt: a seam for tests.

    Raises
    ------
    BadReference
        An argument is invalid, or there is neither a tag nor a digest nor a version to pull.
    Conflict
        The version exists here with other bytes, or is not the expected one; nothing was changed.
    NotFound
        The other registry does not have the version, or the local directory does not exist.
    Corrupt
        The received bytes are not those that were requested, or not a model; nothing was changed.
    RemoteError
        The other registry cannot be reached, fails or refuses; nothing was changed.

    """
    address = Address.parse(remote, plain_http=plain_http)
    name = check_model(address.name if name is None else name)
    if version is not None:
        check_version(version)
    if address.wanted is None:
        if version is None:
            raise BadReference(
                f"remote {address}: needs a tag or a digest; add one, or name NAME:VERSION"
            )
        address = address.at(tag=version)
    attribution = Attribution.of(actor, f"pulled from {address}" if reason is None else reason)
    catalogue = opened(registry)
    with Repository(address, plain_http=plain_http, pause=pause) as repository:
        return fetch(catalogue, repository, address, name, version, attribution)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Received:
    """A version that was fetched and verified, and of which nothing was written."""

    version: str
    package: Package
    transferred: tuple[Descriptor, ...]
    attached: tuple[FetchedAttachment, ...]


def fetch(
    catalogue: Catalogue,
    repository: Repository,
    address: Address,
    name: str,
    version: str | None,
    attribution: Attribution,
) -> Transfer:
    """Copy what an address points to into the registry; see `pull`."""
    layout = catalogue.layout(name)
    received = _receive(layout, repository, address, version)
    target = received.package.descriptor
    # Everything is verified by now: from here on, only this machine can fail.
    with storage(f"pulling {name}:{received.version} into {catalogue.root}"):
        create(layout)
        decide = publication(name, received.version, target, attribution, operation="pull")
        add(layout, received.package, decide)
        for each in received.attached:
            decide = attachment(name, each.kind, each.package.descriptor, target, attribution)
            add(layout, each.package, decide)
    return Transfer(
        pin=Pin(name=name, version=received.version, digest=target.digest),
        remote=str(address.at()),
        tags=() if address.tag is None else (address.tag,),
        blobs=len(received.transferred),
        size=sum(blob.size for blob in received.transferred),
        attached=len(received.attached),
    )


def _receive(
    layout: Layout, repository: Repository, address: Address, version: str | None
) -> _Received:
    """Fetch and verify a version; refuse it before its files are fetched if it cannot be added to the model."""
    wanted, what = address.wanted, str(address)
    if wanted is None:
        raise BadReference(f"remote {address}: needs a tag or a digest")
    data = repository.manifest(wanted)
    found, manifest = accept_manifest(data, what=what)
    for expected in (version, address.tag):
        if expected is not None and is_version(expected) and expected != found:
            raise Conflict(f"{address}: is version {found}, not {expected} as expected")
    target = Descriptor.of(data, MANIFEST_TYPE)
    with storage(f"reading {layout.path}"):
        state = layout.state() if layout.exists else ModelState()
    check_new(layout.name, state, found, target.digest)  # before megabytes are fetched in vain
    blobs, transferred = _fetch_blobs(repository, layout, manifest, what=what)
    held = {state.tags[tag].digest for tag in state.tags if split_tag(tag) is not None}
    return _Received(
        version=found,
        package=Package(descriptor=target, blobs={**blobs, target.digest: data}),
        transferred=tuple(transferred),
        attached=tuple(fetch_attached(repository, target, held)),
    )


def _fetch_blobs(
    repository: Repository, layout: Layout, manifest: Manifest, *, what: str
) -> tuple[dict[Digest, bytes], list[Descriptor]]:
    """Return config and files, verified, and which of them were transferred."""
    blobs: dict[Digest, bytes] = {}
    fetched: list[Descriptor] = []
    for blob in _distinct_blobs(manifest, what=what):
        content = _stored(layout, blob)
        if content is None:
            content = repository.blob(blob, what=what)
            fetched.append(blob)
        blobs[blob.digest] = content
    accept_files(manifest, lambda blob, _: blobs[blob.digest], what=what)
    return blobs, fetched


def _stored(layout: Layout, blob: Descriptor) -> bytes | None:
    """Return a blob that is already here and intact; None if it must be fetched."""
    try:
        return layout.read(blob, what=layout.name)
    except Corrupt:
        return None
