"""OCI archives: a layout in a tar file, as `skopeo copy` reads and writes by `oci-archive:`; gzip is read as well."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
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
from .foreign import GZIP, IMAGE, describe_file, is_docker_save
from .gunzip import Gunzip, GzipError
from .tar_reader import TarError, TarReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..formats.json_documents import Descriptor
    from ..layout.layout import Layout
    from .tar_reader import Member

__all__ = ["unpack", "write_archive"]

_MAX_MEMBERS: Final = 100_000
_MAX_UNZIPPED: Final = 2**28
"""Most bytes of the content of a gzip file: several models with all their files."""
_HEAD: Final = 4096
"""Bytes at the start of a file that tell what it is."""
_MAX_TOTAL: Final = 16 * 2**30
"""Most bytes of an archive: hundreds of models with files of the maximal size."""
_FOLDERS: Final = {"", "blobs", "blobs/sha256"}
_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")


def write_archive(layout: Layout, tags: Mapping[str, Descriptor], path: Path) -> int:
    """Write some of a model's tags, and every blob they need, to an archive; return its size in bytes.

    Equal tags give equal bytes. The file appears in one atomic rename, when it is complete and durable.

    Parameters
    ----------
    layout
        The model.
    tags
        Tag to manifest.
    path
        The archive; an existing file is replaced.

    Raises
    ------
    Corrupt
        Any of the blobs is damaged; no file is written.
    BadInput
        The path is not a regular file, or its directory does not exist.

    """
    # A symbolic link is refused: the rename would replace the link instead of the file that it points to.
    if path.is_symlink() or (path.exists() and not path.is_file()) or not path.parent.is_dir():
        raise BadInput(f"{path}: is not a regular file, or its directory does not exist")
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": Tags(tags).to_json()}
    temporary = path.with_name(f".{uuid.uuid4().hex}.tar")
    try:
        with temporary.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                _add(archive, "oci-layout", LAYOUT)
                _add(archive, "index.json", canonical(index))
                for folder in ("blobs", "blobs/sha256"):
                    _add(archive, folder, None)
                for name, (blob, what) in sorted(_blobs(layout, tags).items()):
                    _add(archive, f"blobs/sha256/{name}", layout.read(blob, what=what))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return size


def _blobs(layout: Layout, tags: Mapping[str, Descriptor]) -> dict[str, tuple[Descriptor, str]]:
    """Return the blobs that tags need: hexadecimal digest to descriptor and who needs it."""
    blobs = {}
    for tag, target in tags.items():
        what = f"{layout.name}:{tag}"
        for blob in (target, *layout.blobs_of(target, what=what)):
            blobs[blob.digest.removeprefix("sha256:")] = blob, what
    return blobs


def _add(archive: tarfile.TarFile, name: str, data: bytes | None) -> None:
    """Add a file, or a directory if `data` is None, without owner and time: equal content gives an equal archive."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    if data is not None:
        member.type, member.mode, member.size = tarfile.REGTYPE, 0o644, len(data)
    archive.addfile(member, None if data is None else io.BytesIO(data))


def unpack(source: Path, folder: Path) -> None:
    """Unpack an archive into an empty directory; nothing is written anywhere else.

    Only the files of a layout are accepted, each once and within its size limit. A blob must have the digest that is
    its name.

    Parameters
    ----------
    source
        The archive.
    folder
        The directory. After an error the caller removes what was unpacked.

    Raises
    ------
    Corrupt
        The file is not such an archive.

    """
    (folder / "blobs" / "sha256").mkdir(parents=True)
    what = f"archive {source}"
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    with open(
        source, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)
    ) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Corrupt(f"{what}: is not a regular file")
        if status.st_size > _MAX_TOTAL:
            raise Corrupt(f"{what}: more than {_MAX_TOTAL} bytes")
        head = file.read(_HEAD)
        file.seek(0)
        is_gzip = head.startswith(GZIP)
        content = Gunzip(file, limit=_MAX_UNZIPPED) if is_gzip else file
        try:
            # A file of zeros is an archive of nothing, but nothing in gzip is more likely something else.
            least = 1 if is_gzip or not head else 0
            _unpack_members(TarReader(content.read), folder, what, least=least)
        except (TarError, EOFError, ValueError) as e:
            found = "damaged" if head[257:262] == b"ustar" else describe_file(head)
            if is_gzip:
                found = "a gzip file of something else, or damaged"
            raise Corrupt(
                f"{what}: not an uncompressed tar file, or one in gzip: {found} ({e})"
            ) from None
        except GzipError as e:
            raise Corrupt(f"{what}: a damaged gzip file: {e}") from None


def _unpack_members(archive: TarReader, folder: Path, what: str, *, least: int) -> None:
    """Check and write all members, of which there must be at least some."""
    seen: set[str] = set()
    for member in archive:
        name = member.name.removeprefix("./").rstrip("/")
        if member.name in {".", "./"}:
            name = ""
        if name in seen:
            raise Corrupt(f"{what}: {shown(member.name)} appears twice")
        if len(seen) > _MAX_MEMBERS:
            raise Corrupt(f"{what}: more than {_MAX_MEMBERS} members")
        seen.add(name)
        _unpack_member(archive, member, name, folder, what)
    if len(seen) < least:
        raise TarError("it has no members")


def _unpack_member(archive: TarReader, member: Member, name: str, folder: Path, what: str) -> None:
    """Check a member, and write it into the directory by its checked name."""
    where = f"{what}: {shown(member.name)}"
    if member.is_folder and name in _FOLDERS:
        return
    blob = _BLOB.fullmatch(name)
    if not member.is_file:
        raise Corrupt(f"{where}: is not a regular file of a layout{_hint(name)}")
    if is_docker_save(name):
        raise Corrupt(f"{what}: {IMAGE} (docker save)")
    if blob is None and name not in {"oci-layout", "index.json"}:
        raise Corrupt(f"{where}: does not belong in a layout{_hint(name)}")
    limit = MAX_MANIFEST if blob is None else MAX_LAYER
    if member.size > limit:
        raise Corrupt(f"{where}: {member.size} bytes, more than the limit of {limit}")
    digest = hashlib.sha256()
    with (folder / name).open("xb") as file:
        for data in archive.content():
            digest.update(data)
            file.write(data)
    if blob is not None and digest.hexdigest() != blob[1]:
        raise Corrupt(f"{where}: holds bytes with sha256:{digest.hexdigest()}")


def _hint(name: str) -> str:
    """Return what to add to the error about a member that no layout has, but a folder with a layout in it."""
    top, _, rest = name.partition("/")
    if top.startswith(".") or not top or (rest and rest not in {"oci-layout", "index.json"}):
        return ""
    return f"; if {shown(top)} is the layout's folder, pack what is in it: tar -C {shown(top)} -cf FILE ."
