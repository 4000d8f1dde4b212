"""Read and write small sets of named arrays as safetensors; every size is checked before memory is allocated for it.

Our own metadata is one JSON object under the single key `spikewatch`.  The safetensors library writes its metadata map
in random order, so several keys would give equal content different bytes, and the registry addresses files by digest.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors
import safetensors.numpy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_METADATA_KEY: Final = "spikewatch"
_HEADER_MAX: Final = 64 * 1024
"""Longest JSON header in bytes that we read; our files need about twenty entries of at most 200 bytes."""

_CODES: Final = {
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "U32": "uint32",
    "I64": "int64",
    "F64": "float64",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """The element type and shape that a tensor must have.

    Attributes
    ----------
    dtype : str
        NumPy name of the element type.
    shape : tuple of (int or str)
        A number is that length; a name means any length, the same in every field with that name.
    optional : bool
        The tensor may be missing.

    """

    dtype: str
    shape: tuple[int | str, ...]
    optional: bool = False


def read(path: Path, *, what: str, error: type[Exception]) -> bytes:
    """Read a safetensors file, after checking that its size is the one that its header describes.

    Parameters
    ----------
    path
        The file.
    what
        Name of the file in error texts.
    error
        Class of the errors raised.

    Returns
    -------
    bytes
        The whole file; `unpack` checks the rest.

    Raises
    ------
    Exception
        Of the class `error`: the file cannot be read, or its size is not the one that its header describes.

    """
    try:
        with path.open("rb") as file:
            data = file.read(8 + _HEADER_MAX)
            size = os.fstat(file.fileno()).st_size
            header = _header(data, size, what, error)
            # The largest offset is the end of the data; the library checks in `unpack` that offsets fit each other.
            ends = [0]
            for entry in header.values():
                offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
                if isinstance(offsets, list) and all(type(n) is int for n in offsets):
                    ends += offsets
            wanted = 8 + int.from_bytes(data[:8], "little") + max(ends)
            if size != wanted:
                raise error(f"{what}: file of {size} bytes, its header describes {wanted}")
            return data[:wanted] + file.read(max(0, wanted - len(data)))
    except OSError as e:
        raise error(f"{what}: {e.strerror or e}") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves either the old content or the new one, never a part.

    The data goes to a temporary file in the same folder, which is synced and then renamed over the path; the folder is
    synced last, so the new file is durable on return.  A path that is not a regular file (`/dev/stdout`) cannot be
    replaced, and is written directly.

    Raises
    ------
    OSError
        The file cannot be written; the temporary file is removed.

    """
    path = path.resolve()  # a symbolic link stays a link: its target is replaced
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    # In the same folder, because a rename is atomic only within one file system.
    draft = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def pack(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Serialise arrays and their metadata; equal content gives equal bytes."""
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    return safetensors.numpy.save(dict(tensors), metadata={_METADATA_KEY: text})


def unpack(
    data: bytes,
    *,
    what: str,
    format_name: str,
    version: int | tuple[int, ...],
    fields: Mapping[str, Field],
    limits: Mapping[str, int],
    error: type[Exception],
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Parse the bytes of a safetensors file, and check them against the tensors that it must hold.

    Parameters
    ----------
    data
        The whole file.
    what
        Name of the file in error texts.
    format_name, version
        The format and schema version (or one of several) that its metadata must have.
    fields
        All tensors that the file must hold or, if optional, can hold; it must not hold any other.
    limits
        Largest length of each named dimension.
    error
        Class of the errors raised.

    Returns
    -------
    tensors, metadata
        Read-only arrays over `data`, and the metadata object.

    Raises
    ------
    Exception
        Of the class `error`, with one line that names what does not fit.

    """
    header = _header(data, len(data), what, error)
    metadata = _metadata(header, what, error)
    if metadata.get("format") != format_name:
        raise error(f"{what}: format {metadata.get('format')!r}, expected {format_name!r}")
    versions = version if isinstance(version, tuple) else (version,)
    if type(metadata.get("version")) is not int or metadata["version"] not in versions:
        expected = " or ".join(map(str, versions))
        raise error(f"{what}: schema version {metadata.get('version')!r}, expected {expected}")
    lengths: dict[str, int] = {}
    names = set(header) - {"__metadata__"}
    if missing := sorted({n for n, field in fields.items() if not field.optional} - names):
        raise error(f"{what}: tensor {missing[0]!r} is missing")
    if unknown := sorted(names - set(fields)):
        raise error(f"{what}: unknown tensor {unknown[0]!r}")
    fields = {name: field for name, field in fields.items() if name in names}
    for name, field in fields.items():
        _check_entry(f"{what}: tensor {name!r}", header[name], field, lengths, limits, error)
    try:
        parsed = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]  # the library ships no types
    except safetensors.SafetensorError as e:
        raise error(f"{what}: not a valid safetensors file: {e}") from None
    tensors = {}
    for name, field in fields.items():
        entry = parsed[name]
        # safetensors is little-endian on every machine
        dtype = np.dtype(field.dtype).newbyteorder("<")
        tensors[name] = np.frombuffer(entry["data"], dtype=dtype).reshape(entry["shape"])
    return tensors, metadata


def _header(data: bytes, length: int, what: str, error: type[Exception]) -> dict[str, Any]:
    """Parse the header of a file of `length` bytes that begins with `data`."""
    if len(data) < 8:
        raise error(f"{what}: {len(data)} bytes, too short for a safetensors file")
    size, most = int.from_bytes(data[:8], "little"), min(_HEADER_MAX, length - 8)
    if size > most:
        raise error(
            f"{what}: not a safetensors file, or damaged: header of {size} bytes, limit {most} (file of {length} bytes)"
        )
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError):  # the latter for a header of thousands of nested lists
        raise error(f"{what}: its safetensors header is not JSON") from None
    if not isinstance(header, dict):
        raise error(f"{what}: its safetensors header is not an object")
    return header


def _metadata(header: Mapping[str, Any], what: str, error: type[Exception]) -> dict[str, Any]:
    """Parse our own metadata in the header."""
    try:
        metadata = json.loads(header["__metadata__"][_METADATA_KEY])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise error(f"{what}: it holds no spikewatch metadata") from None
    if not isinstance(metadata, dict):
        raise error(f"{what}: its spikewatch metadata is not an object")
    return metadata


def _check_entry(
    what: str,
    entry: Any,
    field: Field,
    lengths: dict[str, int],
    limits: Mapping[str, int],
    error: type[Exception],
) -> None:
    """Check the header's entry of one tensor against its field (see `check_shape`)."""
    try:
        dtype, shape = entry["dtype"], entry["shape"]
    except (KeyError, TypeError):
        raise error(f"{what}: its header entry is malformed") from None
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise error(f"{what}: its shape is malformed")
    if _CODES.get(str(dtype)) != field.dtype:
        raise error(f"{what}: element type {dtype!s:.20}, expected {field.dtype}")
    check_shape(what, tuple(shape), field, lengths, limits, error)


def check_shape(
    what: str,
    shape: tuple[int, ...],
    field: Field,
    lengths: dict[str, int],
    limits: Mapping[str, int],
    error: type[Exception],
) -> None:
    """Check a shape against a field.

    Parameters
    ----------
    what
        Name of the array in error texts.
    shape, field
        The actual shape, and the field that it must fit.
    lengths
        Lengths of the names seen so far; those of new names are added.
    limits
        Largest length of each name.
    error
        Class of the errors raised.

    Raises
    ------
    Exception
        Of the class `error`: the shape does not fit.

    """
    if len(shape) != len(field.shape):
        raise error(f"{what}: {len(shape)} dimensions, expected {len(field.shape)}")
    for got, wanted in zip(shape, field.shape, strict=True):
        length = wanted
        if isinstance(wanted, str):
            if got > limits[wanted]:
                raise error(f"{what}: {got} {wanted}, limit {limits[wanted]}")
            length = lengths.setdefault(wanted, got)
        if got != length:
            raise error(f"{what}: shape {shape}, expected length {length} where it has {got}")
