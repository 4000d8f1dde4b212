"""Load a model file completely, with the initialisers that it keeps in other files, each checked before it is read."""

from __future__ import annotations

import errno
import math
import os
import stat
from typing import TYPE_CHECKING, Final

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper
from onnx.external_data_helper import load_external_data_for_tensor

from ..errors import ModelFileError
from .file import not_onnx
from .limits import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_WHOLE: Final = {
    TensorProto.BFLOAT16,
    TensorProto.BOOL,
    TensorProto.DOUBLE,
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.INT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.UINT8,
}
"""Types whose elements take whole bytes."""


def load_file(path: Path, what: str, sized: Callable[[int], None]) -> bytes:
    """Read a model file, and the initialisers that it keeps in other files of its folder.

    Parameters
    ----------
    path
        The file.
    what
        Its name, for messages.
    sized
        Called with the size of each part, in bytes, before it is read.

    Raises
    ------
    ModelFileError
        The file cannot be read, is larger than ONNX files are, or keeps an initialiser outside its own folder, or in a
        file that does not hold it.

    """
    data = b""
    try:
        size = _size(path, what)
        sized(size)
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
        outside = [t for t in _tensors(model) if t.data_location == TensorProto.EXTERNAL]
        if not outside:
            return data
        # onnx would read any part of any file, so each is checked before it loads them
        for tensor in outside:
            size += _external_size(path, tensor, what)
        if size > MOST_BYTES:
            raise ModelFileError(f"{what}: {size} bytes with its external data, limit {MOST_BYTES}")
        sized(size - len(data))
        for tensor in outside:
            load_external_data_for_tensor(tensor, str(path.parent))
        return bytes(model.SerializeToString())
    except OSError as e:
        raise ModelFileError(f"{what}: {e.strerror or e}") from None
    except (DecodeError, onnx.checker.ValidationError, ValueError) as e:
        raise ModelFileError(f"{what}: {not_onnx(data, e)}") from None


def _size(path: Path, what: str) -> int:
    """Return the size of a regular file, which is not too large for ONNX."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{what}: not a regular file")
    if status.st_size > MOST_BYTES:
        raise ModelFileError(f"{what}: {status.st_size} bytes, limit {MOST_BYTES}")
    return status.st_size


def _external_size(path: Path, tensor: TensorProto, what: str) -> int:
    """Return how many bytes of another file an initialiser takes, which must be in the model's own folder."""
    given = {e.key: e.value for e in tensor.external_data}
    location = given.get("location", "")
    folder = path.parent.resolve()
    target = (
        folder / location
    ).resolve()  # follows links, so a link out of the folder is refused too
    if not location or folder not in target.parents:
        raise ModelFileError(
            f"{what}: weight {tensor.name!r} is in {location!r}, outside the model's own folder"
        )
    try:
        status = target.stat()
    except FileNotFoundError:
        return 0  # onnx names it
    start = _number(given, "offset", 0)
    length = _number(given, "length", status.st_size - start)
    if not stat.S_ISREG(status.st_mode) or start < 0 or not 0 <= length <= status.st_size - start:
        raise ModelFileError(
            f"{what}: weight {tensor.name!r} is at {start}..{start + length} of {location!r},"
            f" which has {status.st_size} bytes"
        )
    wanted = _bytes(tensor)
    if wanted is not None and wanted != length:
        raise ModelFileError(
            f"{what}: weight {tensor.name!r} has {length} bytes in {location!r}, but its shape and type take {wanted}"
        )
    return length


def _number(given: dict[str, str], key: str, default: int) -> int:
    try:
        return int(given[key]) if key in given else default
    except ValueError:
        return -1


def _bytes(tensor: TensorProto) -> int | None:
    """Return how many bytes the elements of a tensor take; None if they may share bytes, or their type is not known."""
    if tensor.data_type not in _WHOLE:
        return None
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(math.prod(tensor.dims) * kind.itemsize)


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield all constants of a model, those in the bodies of its functions included."""
    yield from _tensors_of(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of_node(node)


def _tensors_of(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: onnx.NodeProto) -> Iterator[TensorProto]:
    for a in node.attribute:
        yield from (a.t, *a.tensors)
        for sparse in (a.sparse_tensor, *a.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (a.g, *a.graphs):
            yield from _tensors_of(graph)
