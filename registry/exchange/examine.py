"""Verify a layout from outside as a whole, before any of it becomes visible."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadReference, Corrupt, shown
from ..formats.acceptance import accept_attachment, accept_content, accept_files, accept_manifest
from ..formats.attachments import TYPES, split_tag
from ..formats.json_documents import ARTIFACT_TYPE, MANIFEST_TYPE, Descriptor, parse_json, take
from ..formats.manifest import MAX_MANIFEST, TITLE, Package
from ..formats.tags import REF_NAME
from ..layout.files import read_regular
from ..layout.index import INDEX_TYPE
from ..layout.layout import Layout
from ..references import Digest, check_model, is_version
from .foreign import describe_folder, foreign_entry, foreign_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Incoming", "IncomingAttachment", "IncomingManifest", "examine"]

_MAX_MARKER: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class IncomingManifest:
    """A verified manifest of an import.

    Attributes
    ----------
    target
        The manifest.
    blobs
        The blobs that it refers to.

    """

    target: Descriptor
    blobs: tuple[Descriptor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IncomingAttachment(IncomingManifest):
    """A verified manifest of an attachment.

    Attributes
    ----------
    kind
        `eval` or `sig`.
    subject
        Manifest of the version to which it is attached.

    """

    kind: str
    subject: Descriptor


@dataclass(kw_only=True, slots=True)
class Incoming:
    """A layout from outside; filled while it is verified.

    Attributes
    ----------
    layout
        Where it is.
    name
        Name of the model, from the manifests; empty until the first one.
    versions
        Version to manifest.
    attachments
        Evaluations and signatures.

    """

    layout: Layout
    name: str = ""
    versions: dict[str, IncomingManifest] = field(default_factory=dict)
    attachments: list[IncomingAttachment] = field(default_factory=list)

    def package(self, manifest: IncomingManifest) -> Package:
        """Read a manifest and its blobs, and verify them again: the source may have changed since it was examined.

        Raises
        ------
        Corrupt
            Any of them is missing or wrong.

        """
        blobs = {
            blob.digest: self.layout.read(blob, what=self.name)
            for blob in (*manifest.blobs, manifest.target)
        }
        return Package(descriptor=manifest.target, blobs=blobs)


def examine(path: Path, *, what: str) -> Incoming:
    """Verify a layout and everything in it.

    All manifests must be of one model, each must be one that `publish`, `attach` or `sign` could have made, and each
    file must be of the kind that its name says.

    Parameters
    ----------
    path
        The layout's directory.
    what
        What the user named, for the error's text.

    Raises
    ------
    Corrupt
        Anything in the layout is wrong, or it is empty.

    """
    if (foreign := describe_folder(path)) is not None:
        raise Corrupt(f"{what}: {foreign}")
    _check_folders(path, what)
    found = Incoming(layout=Layout(path))
    seen: set[tuple[str | None, Digest]] = set()
    for tag, target in _entries(path, what):
        if (tag, target.digest) not in seen:
            seen.add((tag, target.digest))
            _examine_entry(found, tag, target, what)
    if not seen:
        raise Corrupt(f"{what}: is empty")
    return found


def _check_folders(path: Path, what: str) -> None:
    """Refuse symbolic links in place of directories: `read_regular` checks only the last component of a path."""
    for folder in (path, path / "blobs", path / "blobs" / "sha256"):
        try:
            mode = folder.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise Corrupt(f"{what}: not a layout, {shown(folder.name)} is missing") from None
        if not stat.S_ISDIR(mode):
            raise Corrupt(f"{what}: not a layout, {shown(folder.name)} is not a directory")


def _read(path: Path, limit: int, what: str) -> Any:
    try:
        data = read_regular(path, limit=limit)
    except FileNotFoundError:
        raise Corrupt(f"{what}: {path.name} is missing") from None
    return parse_json(data, what=f"{what}: {path.name}")


def _entries(path: Path, what: str) -> Iterator[tuple[str | None, Descriptor]]:
    """Yield the tags and manifests of the index; any OCI tool may have written it."""
    marker = _read(path / "oci-layout", _MAX_MARKER, what)
    version = take(marker, "imageLayoutVersion", str, what=f"{what}: oci-layout")
    if version != "1.0.0":
        raise Corrupt(f"{what}: 'imageLayoutVersion' is {shown(version)}, not '1.0.0'")
    index = _read(path / "index.json", MAX_MANIFEST, what)
    where = f"{what}: index.json"
    if take(index, "schemaVersion", int, what=where) != 2:
        raise Corrupt(f"{where}: 'schemaVersion' is {index['schemaVersion']}, not 2")
    if index.get("mediaType", INDEX_TYPE) != INDEX_TYPE:  # OCI allows an index to omit it
        raise Corrupt(f"{where}: 'mediaType' is {shown(index['mediaType'])}, not {INDEX_TYPE!r}")
    tags: dict[str, Digest] = {}
    for i, entry in enumerate(take(index, "manifests", list, what=where)):
        place = f"{where}: manifests[{i}]"
        target = Descriptor.from_json(entry, what=place)
        if target.media_type != MANIFEST_TYPE:
            raise Corrupt(
                f"{place}: 'mediaType' is {shown(target.media_type)}, not a manifest's"
                f"{foreign_entry(target.media_type)}"
            )
        annotations = entry.get("annotations", {})
        tag = annotations.get(REF_NAME) if isinstance(annotations, dict) else 0
        if tag is not None and not isinstance(tag, str):
            raise Corrupt(f"{place}: the tag in 'annotations' is not a string")
        if tag is not None and tags.setdefault(tag, target.digest) != target.digest:
            raise Corrupt(f"{place}: {shown(tag)} points to two manifests")
        yield tag, target


def _examine_entry(found: Incoming, tag: str | None, target: Descriptor, what: str) -> None:
    """Verify an entry of the index, and add it to what was found."""
    where = f"{what}: {shown(tag) if tag is not None else target.digest}"
    data = found.layout.read_manifest(target, what=where)
    document = parse_json(data, what=f"{where}: manifest")
    if "artifactType" not in document and (foreign := foreign_kind(document)) is not None:
        raise Corrupt(f"{where} {foreign}")
    kind = take(document, "artifactType", str, what=f"{where}: manifest")
    # The index need not state the artifact type, or may state a wrong one. In the store, descriptors have it.
    target = Descriptor(
        media_type=MANIFEST_TYPE, digest=target.digest, size=target.size, artifact_type=kind
    )
    if kind == ARTIFACT_TYPE:
        version, manifest = _examine_version(found, target, data, where)
        if tag is not None and is_version(tag) and tag != version:
            raise Corrupt(
                f"{where}: the tag does not match the manifest, which is of version {shown(version)}"
            )
        if found.versions.setdefault(version, manifest) != manifest:
            raise Corrupt(f"{where}: {version} appears twice")
    elif kind in TYPES.values():
        attached = _examine_attachment(found, target, data, where)
        place = attached.subject.digest, attached.kind
        if tag is not None and split_tag(tag) != place:
            raise Corrupt(
                f"{where}: the tag does not match the attachment,"
                f" which is of kind {attached.kind} and belongs to {place[0]}"
            )
        found.attachments.append(attached)
    else:
        raise Corrupt(f"{where}: 'artifactType' is {shown(kind)}, neither model nor attachment")


def _examine_version(
    found: Incoming, target: Descriptor, data: bytes, where: str
) -> tuple[str, IncomingManifest]:
    version, manifest = accept_manifest(data, what=where)
    _check_name(found, manifest.annotations.get(TITLE, ""), where)
    accept_files(manifest, lambda blob, what: found.layout.read(blob, what=what), what=where)
    return version, IncomingManifest(target=target, blobs=manifest.blobs)


def _examine_attachment(
    found: Incoming, target: Descriptor, data: bytes, where: str
) -> IncomingAttachment:
    attachment = accept_attachment(data, what=where)
    _check_name(found, attachment.name, where)
    found.layout.read(attachment.config, what=where)
    accept_content(attachment, found.layout.read(attachment.content, what=where), what=where)
    return IncomingAttachment(
        target=target,
        blobs=attachment.blobs,
        kind=attachment.kind,
        subject=attachment.subject,
    )


def _check_name(found: Incoming, name: str, where: str) -> None:
    """Raise Corrupt unless all manifests are of one model, with a valid name."""
    try:
        check_model(name)
    except BadReference as e:
        raise Corrupt(f"{where}: {e}") from None
    if found.name not in {"", name}:
        raise Corrupt(f"{where}: is of model {name}, others are of {found.name}")
    found.name = name
