"""Models to and from other registries: verified before anything becomes visible."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, BadReference, Conflict, Corrupt
from ..formats.attachments import split_tag
from ..formats.file_checks import check_file
from ..formats.json_documents import MANIFEST_TYPE, Descriptor, canonical
from ..formats.manifest import check_kind, parse_config, parse_manifest
from ..layout.changes import Signature, attachment, check_new, publication
from ..layout.files import storage
from ..layout.find import find
from ..layout.journal import ModelState
from ..layout.layout import Layout
from ..references import Reference, check_model, check_version, is_version
from ..values import Pin
from .address import Address
from .attached import fetch_attached, send_attached
from .repository import Repository
from .transport import wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..formats.manifest import Manifest
    from ..reader import Reader
    from ..references import Digest
    from ..store import Registry

__all__ = ["MAX_MODEL", "Transfer", "fetch", "pull", "push"]

MAX_MODEL: Final = 256 * 2**20
"""Largest model that is pushed or pulled, all files together, in bytes: it is held in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """What a push or pull did."""

    pin: Pin
    remote: str
    """The repository of the other registry."""
    tags: tuple[str, ...]
    """What means the version there now, or what it was asked for by."""
    blobs: int
    """Blobs that went over the wire; the others were there already."""
    size: int
    """Bytes of these."""
    attached: int
    """Evaluations and signatures of the version that went along."""


def push(
    registry: Reader,
    ref: str,
    remote: str,
    *,
    plain_http: bool = False,
    pause: Callable[[float], None] = wait,
) -> Transfer:
    """Copy a version to another registry, byte for byte, with what is attached to it.

    It gets its version as a tag there and, when an alias was named, the alias as well. A version
    that means something else there stays, and nothing is sent. That check and the write are two
    requests, because registries have no compare-and-set: who needs more protects the tags there.

    Parameters
    ----------
    ref
        As for `Registry.resolve`.
    remote
        ``HOST/REPOSITORY``; with ``:TAG``, that tag instead of the alias; with ``@sha256:...``,
        no tag but those of attachments, and the digest must be the version's.
    plain_http
        Allow HTTP to other machines.
    pause
        Waits before another attempt.

    Raises
    ------
    BadReference, NotFound
        When one of the two is no reference, or the model is not here.
    Conflict
        When the version is another one there.
    Corrupt
        When a file here is damaged.
    RemoteError
        When the other registry fails or refuses.
    """
    address = Address.parse(remote, plain_http=plain_http)
    pin = registry.resolve(ref)
    layout = Layout(registry.root / pin.name)
    state = layout.state()
    target = find(layout, state, Reference(name=pin.name, digest=pin.digest))
    manifest = layout.manifest(target, what=str(pin))
    data = layout.read(target, what=str(pin))
    if address.digest not in {None, pin.digest}:
        raise Conflict(f"{pin}: cannot be pushed as {address.digest}")
    distinct = _distinct(manifest, what=str(pin))
    tags = _tags(manifest, Reference.parse(ref), address)
    with Repository(address, writing=True, plain_http=plain_http, pause=pause) as repository:
        for tag in filter(is_version, tags):
            there = repository.digest_of(tag)
            if there not in {None, pin.digest}:
                raise Conflict(
                    f"{address.at(tag=tag)} is {there} and cannot become {pin.digest}; versions "
                    "are immutable"
                )
        sent = 0, 0
        for blob in distinct:
            if not repository.has_blob(blob.digest):
                repository.put_blob(blob.digest, layout.read(blob, what=str(pin)))
                sent = sent[0] + 1, sent[1] + blob.size
        for tag in tags or (pin.digest,):
            repository.put_manifest(tag, data, pin.digest)
        attached = send_attached(repository, layout, state, pin.digest)
    return Transfer(
        pin=pin,
        remote=str(address.at()),
        tags=tags,
        blobs=sent[0],
        size=sent[1],
        attached=attached,
    )


def _tags(manifest: Manifest, reference: Reference, address: Address) -> tuple[str, ...]:
    """List the tags to set; the version first, so that an alias never is there without it."""
    if address.digest is not None and address.tag is None:
        return ()
    wanted = (manifest.version, address.tag or reference.tag)
    return tuple(dict.fromkeys(tag for tag in wanted if tag is not None))


def _distinct(manifest: Manifest, *, what: str) -> tuple[Descriptor, ...]:
    """List the blobs once each, when they fit in memory: two files may have the same bytes."""
    blobs: dict[Digest, Descriptor] = {}
    for blob in manifest.blobs:
        if blobs.setdefault(blob.digest, blob).size != blob.size:
            raise Corrupt(f"{what}: blob {blob.digest} is said to have two sizes")
    size = sum(blob.size for blob in blobs.values())
    if size > MAX_MODEL:
        raise Corrupt(f"{what}: {size} bytes in all, more than the limit of {MAX_MODEL}")
    return tuple(blobs.values())


def pull(
    registry: Registry,
    remote: str,
    name: str | None = None,
    version: str | None = None,
    *,
    plain_http: bool = False,
    actor: str | None = None,
    reason: str | None = None,
    pause: Callable[[float], None] = wait,
) -> Transfer:
    """Copy a version from another registry, byte for byte, with what is attached to it.

    Everything is fetched into memory and verified before anything is written: manifest, config
    and every file by size and digest, and all of it by the rules for what is published here. Then
    it is published as by `Registry.publish`. Whatever fails, the registry is as it was. No alias
    moves.

    Parameters
    ----------
    remote
        ``HOST/REPOSITORY:TAG`` or ``HOST/REPOSITORY@sha256:...``.
    name
        What to call the model here; by default the last part of the repository's name.
    version
        The version it must be; it is also the tag, when `remote` names none.
    actor, reason
        Who and why, for the journal; by default user@host, and where it was pulled from.
    plain_http, pause
        As for push.

    Raises
    ------
    BadReference
        When something given is no reference, or the manifest's version is none.
    Conflict
        When the version is here with other bytes; nothing was changed.
    NotFound
        When the other registry does not have it.
    Corrupt
        When what came is not what was asked for, or no model; nothing was changed.
    RemoteError
        When the other registry fails or refuses; nothing was changed.
    """
    address = Address.parse(remote, plain_http=plain_http)
    name = check_model(address.name if name is None else name)
    if version is not None:
        check_version(version)
    if address.wanted is None:
        if version is None:
            raise BadReference(f"remote {address}: needs a tag or a digest, or say NAME:VERSION")
        address = address.at(tag=version)
    signature = Signature.of(actor, f"pulled from {address}" if reason is None else reason)
    with Repository(address, plain_http=plain_http, pause=pause) as repository:
        return fetch(registry, repository, address, name, version, signature)


def fetch(
    registry: Registry,
    repository: Repository,
    address: Address,
    name: str,
    version: str | None,
    signature: Signature,
) -> Transfer:
    """Copy what an address means into the registry; see pull."""
    wanted = address.wanted
    if wanted is None:
        raise BadReference(f"remote {address}: needs a tag or a digest")
    what = str(address)
    data = repository.manifest(wanted)
    target = Descriptor.of(data, MANIFEST_TYPE)
    manifest = parse_manifest(data, what=f"{what}: manifest")
    found = _check_manifest(manifest, data, what=what)
    for expected in (version, address.tag):
        if expected is not None and is_version(expected) and expected != found:
            raise Conflict(f"{what}: is version {found}, not {expected} as expected")
    layout = Layout(registry.root / name)
    with storage(f"reading {layout.path}"):
        state = layout.state() if layout.exists else ModelState()
    check_new(layout, state, found, target)
    blobs, fetched = _fetch_blobs(repository, layout, manifest, what=what)
    blobs[target.digest] = data
    held = {state.tags[tag].digest for tag in state.tags if split_tag(tag) is not None}
    attached = fetch_attached(repository, target, held)
    # Everything is verified: from here on only this machine can fail.
    with storage(f"pulling {name}:{found} into {registry.root}"):
        layout.create()
        # As in Registry.publish: what a collector took meanwhile is staged again by the commit.
        with contextlib.suppress(FileNotFoundError):
            layout.stage(blobs)
        layout.commit(publication(layout, found, target, signature, blobs, operation="pull"))
        for each in attached:
            with contextlib.suppress(FileNotFoundError):
                layout.stage(each.package.blobs)
            layout.commit(attachment(layout, each.kind, each.package, target, signature))
    return Transfer(
        pin=Pin(name=name, version=found, digest=target.digest),
        remote=str(address.at()),
        tags=() if address.tag is None else (address.tag,),
        blobs=len(fetched),
        size=sum(blob.size for blob in fetched),
        attached=len(attached),
    )


def _fetch_blobs(
    repository: Repository, layout: Layout, manifest: Manifest, *, what: str
) -> tuple[dict[Digest, bytes], list[Descriptor]]:
    """Get config and files, verified, and say which of them came over the wire."""
    blobs: dict[Digest, bytes] = {}
    fetched: list[Descriptor] = []
    for blob in _distinct(manifest, what=what):
        content = _held(layout, blob)
        if content is None:
            content = repository.blob(blob, what=what)
            fetched.append(blob)
        blobs[blob.digest] = content
    parse_config(blobs[manifest.config.digest], manifest, what=f"{what}: config")
    for layer in manifest.layers:
        try:
            check_file(layer.path, blobs[layer.digest])
        except Corrupt as e:
            raise Corrupt(f"{what}: {e}") from None
    return blobs, fetched


def _check_manifest(manifest: Manifest, data: bytes, *, what: str) -> str:
    """See that publish could have made a manifest; give its version."""
    if not manifest.layers:
        raise Corrupt(f"{what}: has no files")
    try:
        if canonical(manifest.document) != data:
            raise Corrupt(f"{what}: the manifest is not in canonical form")
        for layer in manifest.layers:
            check_kind(layer.path, layer.media_type)
        return check_version(manifest.version or "")
    except (BadInput, BadReference) as e:
        raise Corrupt(f"{what}: {e}") from None


def _held(layout: Layout, blob: Descriptor) -> bytes | None:
    """Read a blob that is here already and sound; None when it must be fetched."""
    try:
        return layout.read(blob, what=layout.name)
    except Corrupt:
        return None
