"""Messages between this process and its child that reads models: a JSON header and arrays, nothing that runs code."""

from __future__ import annotations

import json
import struct
from dataclasses import fields, is_dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ..network.elman import ElmanNetwork
from ..words.vectors import WordTable
from .companions import Companion
from .float_model import FloatModel
from .inputs import Cut, InputLayout
from .tail import Threshold
from .teacher_file import TeacherFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from numpy.typing import NDArray

_LENGTHS: Final = struct.Struct("<QQ")

_CLASSES: Final[dict[str, type[Any]]] = {
    c.__name__: c
    for c in (
        Companion,
        Cut,
        ElmanNetwork,
        FloatModel,
        InputLayout,
        TeacherFile,
        Threshold,
        WordTable,
    )
}


def send(stream: IO[bytes], header: dict[str, Any], value: Any = None) -> None:
    """Write a message.

    Parameters
    ----------
    stream
        The other process reads its other end.
    header
        What JSON can hold.
    value
        Numbers, texts, bytes, arrays, NumPy types, classes of `convert.read`, and collections of them.

    """
    arrays: list[NDArray[Any]] = []
    packed = _packed(value, arrays)
    described = [[_name(a.dtype), list(a.shape)] for a in arrays]
    text = json.dumps({**header, "value": packed, "arrays": described}).encode()
    stream.write(_LENGTHS.pack(len(text), sum(a.nbytes for a in arrays)) + text)
    for a in arrays:
        stream.write(np.ascontiguousarray(a).reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: BufferedReader) -> tuple[dict[str, Any], Any]:
    """Read a message; return its header and its value.

    Raises
    ------
    EOFError
        The other process has closed its end.

    """
    head, body = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    header = json.loads(_exactly(stream, head))
    data, start = _exactly(stream, body), 0
    arrays = []
    for name, shape in header.pop("arrays"):
        kind = np.dtype(name)
        count = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(data, kind, count, start).reshape(shape))
        start += count * kind.itemsize
    return header, _unpacked(header.pop("value"), arrays)


def _exactly(stream: BufferedReader, n: int) -> bytearray:
    data = bytearray(n)  # arrays in it can be written to, without a copy
    if stream.readinto(data) < n:
        raise EOFError
    return data


def _name(kind: np.dtype[Any]) -> str:
    """Return a name by which NumPy finds a type: the short one of bfloat16 is that of any two bytes."""
    return kind.name if kind.kind == "V" else kind.str


def _packed(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """Return a value as JSON, and append its arrays."""
    kind = type(value).__name__
    if isinstance(value, bytes):
        return {"bytes": _packed(np.frombuffer(value, dtype=np.uint8), arrays)}
    if isinstance(value, np.ndarray):
        # an array of objects holds texts, as of labels
        arrays.append(value.astype(str) if value.dtype.hasobject else value)
        return {"array": len(arrays) - 1}
    if kind in _CLASSES:
        names = [f.name for f in fields(value)] if is_dataclass(value) else value._fields
        return {"class": kind, "fields": {n: _packed(getattr(value, n), arrays) for n in names}}
    if isinstance(value, dict):
        return {"dict": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple | frozenset):
        return {kind: [_packed(v, arrays) for v in value]}
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        return {"type": _name(np.dtype(value))}
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(packed: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(packed, list):
        return [_unpacked(p, arrays) for p in packed]
    if not isinstance(packed, dict):
        return packed
    if "class" in packed:
        given = {n: _unpacked(p, arrays) for n, p in packed["fields"].items()}
        return _CLASSES[packed["class"]](**given)
    ((kind, content),) = packed.items()
    return _MADE[kind](arrays[content] if kind == "array" else _unpacked(content, arrays))


_MADE: Final[dict[str, Callable[[Any], Any]]] = {
    "array": lambda a: a,
    "bytes": lambda a: a.tobytes(),
    "dict": dict,
    "frozenset": frozenset,
    "list": list,
    "tuple": tuple,
    "type": lambda name: np.dtype(name).type,
}
"""What makes a value of each kind that JSON does not have."""
