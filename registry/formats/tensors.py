"""What is in a safetensors file, without NumPy; the library checks every bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Corrupt
from ..references import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..references import Digest

__all__ = ["Tensor", "read_tensors"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor of a file."""

    dtype: str
    """As in the file's header: ``F32``, ``I16``."""
    shape: tuple[int, ...]
    digest: Digest
    """Of its bytes."""

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def read_tensors(data: bytes, *, what: str) -> Mapping[str, Tensor]:
    """Read the tensors of a file, by name.

    Raises
    ------
    Corrupt
        When its header is none, or its offsets do not cover the file exactly.
    """
    from safetensors import SafetensorError, deserialize  # noqa: PLC0415 -- most commands need it not

    try:
        found = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as e:
        text = str(e).removeprefix("Error while deserializing: ")
        raise Corrupt(f"{what}: not a safetensors file: {text}") from None
    return {
        name: Tensor(
            dtype=each["dtype"],
            shape=tuple(each["shape"]),
            digest=digest_of(bytes(each["data"])),
        )
        for name, each in sorted(found)
    }
