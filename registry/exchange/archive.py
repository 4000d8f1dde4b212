"""OCI archives: a layout in an uncompressed tar file, as ``skopeo copy oci-archive:`` has it."""

from __future__ import annotations

import io
import os
import re
import tarfile
import uuid
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, Corrupt, shown
from ..formats.json_documents import canonical
from ..formats.manifest import MAX_LAYER, MAX_MANIFEST
from ..formats.tags import Tags
from ..layout.files import sync_folder
from ..layout.index import INDEX_TYPE
from ..layout.layout import LAYOUT
from ..references import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..formats.json_documents import Descriptor
    from ..layout.layout import Layout

__all__ = ["unpack", "write_archive"]

_MAX_MEMBERS: Final = 100_000
_MAX_TOTAL: Final = 16 * 2**30
"""Most bytes of an archive: a store of hundreds of models of full size."""
_FOLDERS: Final = {"", "blobs", "blobs/sha256"}
_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")


def write_archive(layout: Layout, tags: Mapping[str, Descriptor], path: Path) -> int:
    """Write some of a model's tags, and all that they need, to an archive; give its bytes.

    The same tags give the same bytes. The file appears when it is whole and on disk.

    Raises
    ------
    Corrupt
        When any of it is damaged: no file is written.
    BadInput
        When the path is anything but a regular file, or there is no directory for it.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()) or not path.parent.is_dir():
        raise BadInput(f"{path}: is no regular file, or its directory does not exist")
    blobs: dict[str, Descriptor] = {}
    for tag, target in tags.items():
        for blob in (target, *layout.check(target, what=f"{layout.name}:{tag}")):
            blobs[blob.digest.removeprefix("sha256:")] = blob
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": Tags(tags).to_json()}
    temporary = path.with_name(f".{uuid.uuid4().hex}.tar")
    try:
        with temporary.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                _add(archive, "oci-layout", LAYOUT)
                _add(archive, "index.json", canonical(index))
                for folder in ("blobs", "blobs/sha256"):
                    _add(archive, folder, None)
                for name in sorted(blobs):
                    data = layout.read(blobs[name], what=layout.name)
                    _add(archive, f"blobs/sha256/{name}", data)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return size


def _add(archive: tarfile.TarFile, name: str, data: bytes | None) -> None:
    """Add a file, or a directory; of no owner and no time, that the same content is the same file."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    if data is not None:
        member.type, member.mode, member.size = tarfile.REGTYPE, 0o644, len(data)
    archive.addfile(member, None if data is None else io.BytesIO(data))


def unpack(source: Path, folder: Path) -> None:
    """Unpack an archive into an empty directory; nothing is written anywhere else.

    Only what a layout consists of is taken, each file once, none larger than it may be; a blob must
    have the digest that it is named by.

    Raises
    ------
    Corrupt
        When it is no such archive; what was unpacked so far is the caller's to remove.
    """
    (folder / "blobs" / "sha256").mkdir(parents=True)
    what = f"archive {source}"
    try:
        if source.stat().st_size > _MAX_TOTAL:
            raise Corrupt(f"{what}: more than {_MAX_TOTAL} bytes")
        with tarfile.open(source, mode="r:") as archive:
            seen: set[str] = set()
            for member in archive:
                name = member.name.removeprefix("./").rstrip("/")
                if member.name in {".", "./"}:
                    name = ""
                if name in seen or len(seen) > _MAX_MEMBERS:
                    raise Corrupt(f"{what}: {shown(member.name)} is there twice, or one too many")
                seen.add(name)
                _unpack_member(archive, member, name, folder, what)
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as e:
        raise Corrupt(f"{what}: not an uncompressed tar file: {shown(str(e))}") from None


def _unpack_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, folder: Path, what: str
) -> None:
    where = f"{what}: {shown(member.name)}"
    if member.isdir() and name in _FOLDERS:
        return
    blob = _BLOB.fullmatch(name)
    if not member.isreg() or member.issparse():
        raise Corrupt(f"{where}: is not a plain file of a layout")
    if blob is None and name not in {"oci-layout", "index.json"}:
        raise Corrupt(f"{where}: does not belong into a layout")
    limit = MAX_MANIFEST if blob is None else MAX_LAYER
    if not 0 <= member.size <= limit:
        raise Corrupt(f"{where}: {member.size} bytes, more than the limit of {limit}")
    file = archive.extractfile(member)
    data = b"" if file is None else file.read(member.size)
    if len(data) != member.size:
        raise Corrupt(f"{where}: ends after {len(data)} of {member.size} bytes")
    if blob is not None and digest_of(data) != f"sha256:{blob[1]}":
        raise Corrupt(f"{where}: holds bytes with {digest_of(data)}")
    (folder / name).write_bytes(data)
