"""Describe sources of an import that are no layout of a model: container images, other archives and files."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "GZIP",
    "IMAGE",
    "describe_file",
    "describe_folder",
    "foreign_entry",
    "foreign_kind",
    "is_docker_save",
]

GZIP: Final = b"\x1f\x8b"
IMAGE: Final = "is a container image, not a spikewatch model"

_CONFIGS: Final = {
    "application/vnd.oci.image.config.v1+json": IMAGE,
    "application/vnd.docker.container.image.v1+json": IMAGE,
    "application/vnd.cncf.helm.config.v1+json": "is a Helm chart, not a spikewatch model",
    "application/vnd.wasm.config.v0+json": "is a WebAssembly module, not a spikewatch model",
}
"""What a manifest without artifact type is, by the media type of its config."""

_IMAGES: Final = {
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
}
"""Media types of an index's entries that only container images have."""

_DOCKER_SAVE: Final = re.compile(
    r"manifest\.json|repositories|[0-9a-f]{64}\.(json|tar)|[0-9a-f]{64}(/.*)?"
)
_STARTS: Final = (
    (b"(\xb5/\xfd", "compressed by zstd; unpack it first: zstd -d FILE"),
    (b"BZh", "compressed by bzip2; unpack it first: bzip2 -dk FILE"),
    (b"\xfd7zXZ\x00", "compressed by xz; unpack it first: xz -dk FILE"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF", "an HDF5 file"),
)


def foreign_kind(document: dict[str, Any]) -> str | None:
    """Return what a manifest is that has no artifact type, in words; None if only a model could have its config."""
    config = document.get("config")
    return _CONFIGS.get(str(config.get("mediaType"))) if isinstance(config, dict) else None


def foreign_entry(media_type: str) -> str:
    """Return what to add to the error about an entry of the index that is not a manifest."""
    return ": it is a container image, not a spikewatch model" if media_type in _IMAGES else ""


def is_docker_save(name: str) -> bool:
    """Return whether a member of an archive is one that `docker save` writes, and no layout has."""
    return _DOCKER_SAVE.fullmatch(name) is not None


def describe_file(head: bytes) -> str:
    """Return what a file is that begins with `head`, and is not a tar archive, in words."""
    if not head:
        return "an empty file"
    for start, what in _STARTS:
        if head.startswith(start):
            return what
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**30:
        return "a safetensors file; `spikewatch-registry publish` publishes a folder of a model's files"
    if head[:1] == b"\x08" and head[2:3] in {b"\x12", b":", b"B"}:
        return "an ONNX model; `spikewatch-convert publish` publishes it"
    try:
        head.decode()
    except UnicodeDecodeError:
        return "a file of unknown content"
    return "text" if b"\x00" not in head else "a file of unknown content"


def describe_folder(path: Path) -> str | None:
    """Return what a folder is that is not a layout, and what to do with it; None if nothing tells."""
    names = {inside.name for inside in islice(path.iterdir(), 10_000)}
    if "core.safetensors" in names:
        return (
            f"the files of a model; publish them: spikewatch-registry publish NAME VERSION {path}"
        )
    if {"manifest.json", "version"} <= names:
        return (
            f"in skopeo's format dir:; make a layout of it: skopeo copy dir:{path} oci:FOLDER:TAG"
        )
    if {"manifest.json", "repositories"} & names and "oci-layout" not in names:
        return "a container image (docker save), not a spikewatch model"
    models = sorted(name for name in names if (path / name / "oci-layout").is_file())
    if models and "oci-layout" not in names:
        return f"a folder of layouts; import one of them, such as {str(path / models[0])!r}"
    if not names & {"oci-layout", "index.json", "blobs"}:
        return (
            "a folder, but not the layout of a model; to publish its files:"
            f" spikewatch-registry publish NAME VERSION {path}"
        )
    return None
