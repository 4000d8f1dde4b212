"""Find out what a file is, by its content: one that is read, or another that people take for it."""

from __future__ import annotations

import json
import re
import stat
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import InputError
from ..published import CORE_FILE
from .text_kinds import Kind, as_kind, describe_json, describe_text

if TYPE_CHECKING:
    from pathlib import Path

Readable = Literal["image", "ranc", "ibm"]
"""The formats of networks that are read from files."""

HEAD: Final = 2**18
"""Bytes at the start of a file that decide what it is."""

ONNX: Final = "an ONNX model"
"""The name of its kind."""

_READ: Final = "not a network of a format that is read (.safetensors, RANC or IBM .json)"
_SUFFIXES: Final[dict[str, Readable]] = {".safetensors": "image", ".json": "ranc", ".gz": "ranc"}
_GZIP: Final = b"\x1f\x8b"
_OUR_PARTS: Final = {
    "encoder": "the word codes (encoder) of a published model",
    "lookup": "the compiled tokenizer (lookup) of a published model",
    "constrained": "the integer network of a published model",
}
_STARTS: Final = (
    (b"\x93NUMPY", "a NumPy array"),
    # the number with which PyTorch began its files before they were zip archives
    (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19",
        "PyTorch weights (a pickle, which is never opened)",
    ),
    (b"(\xb5/\xfd", "compressed by zstd: unpack it first (zstd -d)"),
    (b"BZh", "compressed by bzip2: unpack it first (bzip2 -d)"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it first (xz -d)"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive"),
    (b"GGUF", "the weights of a language model (GGUF)"),
    (b"#!AER-DAT", "events of a camera (AEDAT)"),
    (b"% evt ", "events of a camera (EVT)"),
    (b"Event Stream", "events of a camera (ES)"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow table"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x7fELF", "a program or library (ELF)"),
    (b"version https://git-lfs", "a Git LFS pointer: get the file itself by `git lfs pull`"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
"""What a file is by its first bytes."""


def network_format(path: Path) -> Readable:
    """Return the format of a network's file, by its content: names may lie.

    A file of unknown content is taken for a damaged one of the format of its suffix: the reader describes the damage.

    Raises
    ------
    InputError
        The file cannot be read, or is something else; the text says what it is.

    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: {_folder(path)}")
        with path.open("rb") as file:
            if not stat.S_ISREG(path.stat().st_mode):
                raise InputError(f"{path}: not a regular file")
            head = file.read(HEAD)
    except OSError as e:
        raise InputError(f"{path}: {e.strerror or e}") from None
    content = _unzipped(head) if head.startswith(_GZIP) else head
    found = _readable(content)
    if found is not None:
        return found
    kind = describe(content or head)
    if kind is None and path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    kind = describe(head) or Kind(name="a file of unknown content")
    raise InputError(f"{path}: {kind.name}, {_READ}{'; ' * bool(kind.hint)}{kind.hint}")


def describe(head: bytes) -> Kind | None:
    """Return what a file is that begins with `head`, at most `HEAD` bytes; None where nothing tells."""
    if not head:
        return Kind(name="an empty file")
    if head.startswith(_GZIP):
        inner = describe(_unzipped(head)) or Kind(name="something unknown")
        return Kind(name=f"compressed by gzip, inside {inner.name}", hint=inner.hint)
    for start, what in _STARTS:
        if head.startswith(start):
            return as_kind(what)
    for binary in (_hdf5, _zip, _safetensors, _tar, _onnx, _pickle):
        if (known := binary(head)) is not None:
            return as_kind(known)
    return describe_text(head, cut=len(head) == HEAD)


def _readable(content: bytes) -> Readable | None:
    """Return the format of a network that begins so, or None."""
    if content[8:9] == b"{" and _part(content) not in {"other", *_OUR_PARTS}:
        return "image"
    if b'"crossbarTypes"' in content or b'"neuronTypes"' in content:
        return "ibm"
    text = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    return "ranc" if text[:1] == b"{" and describe_json(text) is None else None


def _unzipped(head: bytes) -> bytes:
    """Return the start of what is in a gzip file, at most `HEAD` bytes; nothing if it is damaged."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except zlib.error:
        return b""


def _folder(path: Path) -> str:
    """Describe a folder, and name the file or folder in it to use instead."""
    if (path / CORE_FILE).is_file():
        return f"a folder; its core image is {path / CORE_FILE}"
    if (path / "oci-layout").is_file():
        return f"a model in a registry; name it {path.name}:VERSION, with --registry {path.parent}"
    if any((inside / "oci-layout").is_file() for inside in islice(path.iterdir(), 1000)):
        return f"a registry; name a model in it, as NAME:VERSION with --registry {path}"
    return f"a folder, {_READ}"


def _hdf5(head: bytes) -> str | None:
    if not head.startswith(b"\x89HDF\r\n\x1a\n"):
        return None
    if b"keras_version" in head or b"model_weights" in head or b"_layer_checkpoint" in head:
        return "Keras weights (HDF5): export the network to ONNX for spikewatch-convert"
    graph = b"edges" in head and b"nodes" in head
    return f"{'a NIR graph (HDF5)' if graph else 'an HDF5 file'}: NIR is written, not read"


def _zip(head: bytes) -> str | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    if b"/data.pkl" in head or b"/constants.pkl" in head:
        return "a PyTorch file: export the network by torch.onnx for spikewatch-convert"
    if b"model.weights.h5" in head:
        return "a Keras model: export it to ONNX for spikewatch-convert"
    return "NumPy arrays (.npz)" if b".npy" in head else "a zip archive"


def _part(content: bytes) -> str | None:
    """Return the format of a safetensors file of ours, "other" if it is not ours, None if it is damaged."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size]) if size <= len(content) - 8 else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    metadata = header.get("__metadata__")
    ours = metadata.get("spikewatch") if isinstance(metadata, dict) else None
    found = re.search(r'"format":"([a-z-]+)"', ours) if isinstance(ours, str) else None
    return found[1] if found else "other"


def _safetensors(head: bytes) -> str | None:
    if head[8:9] != b"{" or (part := _part(head)) is None:
        return None
    if part in _OUR_PARTS:
        return f"{_OUR_PARTS[part]}: its network is {CORE_FILE}"
    header: dict[str, Any] = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
    names = header.keys() - {"__metadata__"}
    return f"weights of another program (safetensors, {len(names)} tensors, first {min(names, default='')!r:.40})"


def _tar(head: bytes) -> str | None:
    if head[257:262] != b"ustar":
        return None
    if b"oci-layout" in head:
        return "an OCI archive: `spikewatch-registry import` reads those of models"
    return "a tar archive"


def _onnx(head: bytes) -> str | None:
    # Field 1 is the version, a small number; any other field of the message follows.
    if len(head) < 4 or head[0] != 0x08 or not 1 <= head[1] < 0x40:
        return None
    if head[1] == 1 and head[2] == 0x12:
        return "a TensorFlow model (SavedModel): export it to ONNX for spikewatch-convert"
    if head[2] in {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72}:
        return f"{ONNX}: `spikewatch-convert publish` puts it on a core"
    return None


def _pickle(head: bytes) -> str | None:
    known = head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return "a Python pickle, which is never opened because it can run code" if known else None
