"""What comes from outside: verified as a whole before any of it becomes visible."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, BadReference, Corrupt, shown
from ..formats.attachments import TYPES, split_tag
from ..formats.dsse import read_envelope
from ..formats.file_checks import check_file
from ..formats.json_documents import (
    ARTIFACT_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    canonical,
    parse_json,
    take,
)
from ..formats.manifest import MAX_MANIFEST, TITLE, check_kind, parse_config
from ..formats.tags import REF_NAME
from ..layout.files import read_regular
from ..layout.index import INDEX_TYPE
from ..layout.layout import Layout
from ..references import Digest, check_model, check_version, is_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Attached", "Incoming", "Staged", "examine"]

_MAX_MARKER: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """One manifest of an import, with the blobs that it needs."""

    target: Descriptor
    blobs: tuple[Descriptor, ...]
    """Without the manifest itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached(Staged):
    """An attachment's manifest."""

    kind: str
    subject: Descriptor


@dataclass(kw_only=True, slots=True)
class Incoming:
    """A layout from outside, all of it verified."""

    layout: Layout
    name: str = ""
    """The model's."""
    versions: dict[str, Staged] = field(default_factory=dict)
    attachments: list[Attached] = field(default_factory=list)

    def read(self, staged: Staged) -> Mapping[Digest, bytes]:
        """Read a manifest and its blobs, verified again, for a store."""
        return {
            blob.digest: self.layout.read(blob, what=self.name)
            for blob in (*staged.blobs, staged.target)
        }


def examine(path: Path, *, what: str) -> Incoming:
    """Verify a layout and everything in it.

    Each manifest must be that of a model, as publish could have made it, or of an attachment; all of
    one model; each file must be what its name says.

    Parameters
    ----------
    path
        The layout's directory.
    what
        What the user named, for the error's text.

    Raises
    ------
    Corrupt
        When anything is wrong.
    """
    _check_folders(path, what)
    found = Incoming(layout=Layout(path))
    seen: set[tuple[str | None, Digest]] = set()
    for tag, target in _entries(path, what):
        if (tag, target.digest) not in seen:
            seen.add((tag, target.digest))
            _examine_one(found, tag, target, what)
    if not seen:
        raise Corrupt(f"{what}: is empty")
    return found


def _check_folders(path: Path, what: str) -> None:
    """Refuse links in place of directories; files are opened without following any."""
    for folder in (path, path / "blobs", path / "blobs" / "sha256"):
        try:
            mode = folder.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise Corrupt(f"{what}: no layout, {shown(folder.name)} is missing") from None
        if not stat.S_ISDIR(mode):
            raise Corrupt(f"{what}: no layout, {shown(folder.name)} is not a directory")


def _read(path: Path, limit: int, what: str) -> Any:
    try:
        data = read_regular(path, limit=limit)
    except FileNotFoundError:
        raise Corrupt(f"{what}: {path.name} is missing") from None
    return parse_json(data, what=f"{what}: {path.name}")


def _entries(path: Path, what: str) -> Iterator[tuple[str | None, Descriptor]]:
    marker = _read(path / "oci-layout", _MAX_MARKER, what)
    version = take(marker, "imageLayoutVersion", str, what=f"{what}: oci-layout")
    if version != "1.0.0":
        raise Corrupt(f"{what}: 'imageLayoutVersion' is {shown(version)}, not '1.0.0'")
    index = _read(path / "index.json", MAX_MANIFEST, what)
    where = f"{what}: index.json"
    if take(index, "schemaVersion", int, what=where) != 2:
        raise Corrupt(f"{where}: 'schemaVersion' is {index['schemaVersion']}, not 2")
    if index.get("mediaType", INDEX_TYPE) != INDEX_TYPE:
        raise Corrupt(f"{where}: 'mediaType' is {shown(index['mediaType'])}, not {INDEX_TYPE!r}")
    tags: dict[str, Digest] = {}
    for i, entry in enumerate(take(index, "manifests", list, what=where)):
        place = f"{where}: manifests[{i}]"
        target = Descriptor.from_json(entry, what=place)
        if target.media_type != MANIFEST_TYPE:
            raise Corrupt(f"{place}: 'mediaType' is {shown(target.media_type)}, no manifest")
        annotations = entry.get("annotations", {})
        tag = annotations.get(REF_NAME) if isinstance(annotations, dict) else 0
        if tag is not None and not isinstance(tag, str):
            raise Corrupt(f"{place}: 'annotations' do not name it by text")
        if tag is not None and tags.setdefault(tag, target.digest) != target.digest:
            raise Corrupt(f"{place}: {shown(tag)} means two things")
        yield tag, target


def _examine_one(found: Incoming, tag: str | None, target: Descriptor, what: str) -> None:
    where = f"{what}: {shown(tag) if tag is not None else target.digest}"
    if target.size > MAX_MANIFEST:
        raise Corrupt(f"{where}: manifest of {target.size} bytes, limit {MAX_MANIFEST}")
    data = found.layout.read(target, what=where)
    document = parse_json(data, what=f"{where}: manifest")
    kind = take(document, "artifactType", str, what=f"{where}: manifest")
    if canonical(document) != data:
        raise Corrupt(f"{where}: the manifest is not in canonical form")
    target = Descriptor(
        media_type=MANIFEST_TYPE, digest=target.digest, size=target.size, artifact_type=kind
    )
    if kind == ARTIFACT_TYPE:
        version, staged = _examine_model(found, target, where)
        if tag is not None and is_version(tag) and tag != version:
            raise Corrupt(f"{where}: the manifest is of version {shown(version)}")
        if found.versions.setdefault(version, staged) != staged:
            raise Corrupt(f"{where}: {version} is there twice")
    elif kind in TYPES.values():
        attached = _examine_attachment(found, target, where)
        place = attached.subject.digest, attached.kind
        if tag is not None and split_tag(tag) != place:
            raise Corrupt(f"{where}: is of kind {attached.kind} and attached to {place[0]}")
        found.attachments.append(attached)
    else:
        raise Corrupt(f"{where}: 'artifactType' is {shown(kind)}, neither model nor attachment")


def _examine_model(found: Incoming, target: Descriptor, where: str) -> tuple[str, Staged]:
    manifest = found.layout.manifest(target, what=where)
    try:
        _name(found, manifest.annotations.get(TITLE, ""), where)
        version = check_version(manifest.version or "")
        for layer in manifest.layers:
            check_kind(layer.path, layer.media_type)
    except (BadInput, BadReference) as e:
        raise Corrupt(f"{where}: {e}") from None
    if not manifest.layers:
        raise Corrupt(f"{where}: has no files")
    config = found.layout.read(manifest.config, what=where)
    parse_config(config, manifest, what=f"{where}: config")
    for layer in manifest.layers:
        data = found.layout.read(manifest.files[layer.path], what=f"{where}: {layer.path}")
        try:
            check_file(layer.path, data)
        except Corrupt as e:
            raise Corrupt(f"{where}: {e}") from None
    return version, Staged(target=target, blobs=manifest.blobs)


def _examine_attachment(found: Incoming, target: Descriptor, where: str) -> Attached:
    attachment = found.layout.attachment(target, what=where)
    _name(found, attachment.name, where)
    found.layout.read(attachment.config, what=where)
    content = found.layout.read(attachment.content, what=where)
    if attachment.kind == "sig":
        read_envelope(content, attachment.subject.digest, what=where)
    elif not isinstance(parse_json(content, what=where), dict):
        raise Corrupt(f"{where}: the evaluation is not a JSON object")
    return Attached(
        target=target,
        blobs=attachment.blobs,
        kind=attachment.kind,
        subject=attachment.subject,
    )


def _name(found: Incoming, name: str, where: str) -> None:
    try:
        check_model(name)
    except BadReference as e:
        raise Corrupt(f"{where}: {e}") from None
    if found.name not in {"", name}:
        raise Corrupt(f"{where}: is of model {name}, others are of {found.name}")
    found.name = name
