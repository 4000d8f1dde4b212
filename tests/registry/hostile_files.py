"""Hostile archives and directories around a good layout, with the error that each must cause."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from typing import TYPE_CHECKING, Any

from foreign_layout import GOOD, put, safetensors
from hostile_layouts import MEBI, reblob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def add(name: str, data: bytes = b"x", **fields: Any) -> bytes:
    return GOOD().tar(lambda archive: put(archive, name, data, **fields))


def link(kind: bytes, name: str = "blobs/sha256/" + "0" * 64) -> bytes:
    return add(name, b"", type=kind, linkname="/etc/passwd")


def wrong_bytes() -> bytes:
    layout = GOOD()
    reblob(layout, b"other bytes")
    return layout.tar()


def with_index(data: bytes | None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, part in GOOD().parts().items():
            if name != "index.json":
                put(archive, name, part)
        if data is not None:
            put(archive, "index.json", data)
    return buffer.getvalue()


def lying_size() -> bytes:
    """Return an archive whose last member claims to be larger than the archive."""
    data = bytearray(add("blobs/sha256/" + "0" * 64, b"x"))
    member = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    member.size = 32 * MEBI
    return bytes(data[: data.rindex(b"blobs/sha256/" + b"0" * 64)]) + member.tobuf()


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "no bytes": (lambda: b"", "not an uncompressed tar file"),
    "no archive": (lambda: b"hello" * 1000, "not an uncompressed tar file"),
    "bzip2": (
        lambda: bz2.compress(GOOD().tar()),
        "compressed by bzip2; unpack it first: bzip2 -dk",
    ),
    "xz": (lambda: lzma.compress(GOOD().tar()), "compressed by xz; unpack it first: xz -dk FILE"),
    "zstd": (
        lambda: b"(\xb5/\xfd" + bytes(600),
        "compressed by zstd; unpack it first: zstd -d FILE",
    ),
    "gzip bomb": (lambda: gzip.compress(bytes(32 * MEBI)), "not an uncompressed tar file"),
    "gzip of text": (lambda: gzip.compress(b"hello" * 1000), "a gzip file of something else"),
    "cut gzip": (
        lambda: gzip.compress(GOOD().tar())[:-600],
        "a gzip file of something else, or damaged",
    ),
    "no gzip": (lambda: b"\x1f\x8b" + bytes(600), "a damaged gzip file"),
    "zip": (
        lambda: b"PK\x03\x04" + bytes(600),
        "not an uncompressed tar file, or one in gzip: a zip archive",
    ),
    "safetensors": (safetensors, "a safetensors file; `spikewatch-registry publish`"),
    "onnx": (lambda: b"\x08\x0a\x12\x07pytorch\xff", "an ONNX model; `spikewatch-convert publish`"),
    "docker save": (
        lambda: add("manifest.json"),
        "is a container image, not a spikewatch model (docker save)",
    ),
    "old docker save": (
        lambda: add("0" * 64 + "/layer.tar"),
        "is a container image, not a spikewatch model (docker save)",
    ),
    "folder around": (
        lambda: add("trec/oci-layout"),
        "if 'trec' is the layout's folder, pack what is in it: tar -C 'trec' -cf FILE .",
    ),
    "cut in a header": (lambda: GOOD().tar()[:700], "not an uncompressed tar file"),
    "cut in a file": (lambda: GOOD().tar()[:520], "not an uncompressed tar file"),
    "lying size": (lying_size, "not an uncompressed tar file"),
    "only zeros": (lambda: bytes(10240), "oci-layout is missing"),
    "absolute": (lambda: add("/etc/cron.d/x"), "does not belong in a layout"),
    "upwards": (lambda: add("../../outside"), "does not belong in a layout"),
    "upwards in the middle": (
        lambda: add("blobs/../../outside"),
        "does not belong in a layout",
    ),
    "hidden": (lambda: add(".journal/00000001.json"), "does not belong in a layout"),
    "another blob folder": (lambda: add("blobs/md5/abc"), "does not belong in a layout"),
    "upper-case blob": (lambda: add("blobs/sha256/" + "A" * 64), "does not belong in a layout"),
    "folder of another name": (
        lambda: add("extra", b"", type=tarfile.DIRTYPE),
        "is not a regular file of a layout",
    ),
    "symbolic link": (lambda: link(tarfile.SYMTYPE), "is not a regular file of a layout"),
    "link as a folder": (
        lambda: link(tarfile.SYMTYPE, "blobs/sha256"),
        "is not a regular file of a layout",
    ),
    "hard link": (lambda: link(tarfile.LNKTYPE), "is not a regular file of a layout"),
    "character device": (lambda: link(tarfile.CHRTYPE), "is not a regular file of a layout"),
    "block device": (lambda: link(tarfile.BLKTYPE), "is not a regular file of a layout"),
    "pipe": (lambda: link(tarfile.FIFOTYPE), "is not a regular file of a layout"),
    "sparse": (
        lambda: add("blobs/sha256/" + "0" * 64, b"", type=tarfile.GNUTYPE_SPARSE),
        "is not a regular file of a layout",
    ),
    "member twice": (lambda: add("index.json", b"{}"), "appears twice"),
    "member twice, other spelling": (lambda: add("./index.json", b"{}"), "appears twice"),
    "blob that is another": (wrong_bytes, "holds bytes with sha256:"),
    "index over the limit": (
        lambda: with_index(bytes(5 * MEBI)),
        "5242880 bytes, more than the limit of 4194304",
    ),
    "blob over the limit": (
        lambda: add("blobs/sha256/" + "0" * 64, bytes(65 * MEBI)),
        "more than the limit of 67108864",
    ),
    "no index": (lambda: with_index(None), "index.json is missing"),
}


def symbolic(path: Path) -> None:
    blob = next((path / "blobs" / "sha256").iterdir())
    elsewhere = path / "elsewhere"
    blob.rename(elsewhere)
    blob.symlink_to(elsewhere)


def pipe(path: Path) -> None:
    for blob in (path / "blobs" / "sha256").iterdir():
        blob.unlink()
        os.mkfifo(blob)


def linked_folder(path: Path) -> None:
    (path / "blobs").rename(path / "elsewhere")
    (path / "blobs").symlink_to(path / "elsewhere")


def linked_index(path: Path) -> None:
    (path / "index.json").rename(path / "elsewhere")
    (path / "index.json").symlink_to(path / "elsewhere")


def nothing(path: Path) -> None:
    for name in GOOD().parts():
        (path / name).unlink()


def file_as_folder(path: Path) -> None:
    (path / "blobs").rename(path / "elsewhere")
    (path / "blobs").write_bytes(b"")


def index_is_a_folder(path: Path) -> None:
    (path / "index.json").unlink()
    (path / "index.json").mkdir()


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "symbolic link": (symbolic, "is a symbolic link"),
    "pipes": (pipe, "is not a regular file"),
    "linked folder": (linked_folder, "'blobs' is not a directory"),
    "linked index": (linked_index, "is a symbolic link"),
    "nothing in it": (nothing, "oci-layout is missing"),
    "file as folder": (file_as_folder, "'blobs' is not a directory"),
    "index is a folder": (index_is_a_folder, "is not a regular file"),
}
