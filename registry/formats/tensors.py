"""List the tensors of a safetensors file without NumPy; the safetensors library checks every bound."""

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
    """The type, shape and digest of one tensor in a file.

    Attributes
    ----------
    dtype
        The type's name as in the file's header, such as `F32` or `I16`.
    shape
        Length of each dimension.
    digest
        The digest of the tensor's bytes.

    """

    dtype: str
    shape: tuple[int, ...]
    digest: Digest

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def read_tensors(data: bytes, *, what: str) -> Mapping[str, Tensor]:
    """Return the tensors of a file by name.

    Parameters
    ----------
    data
        The file's bytes.
    what
        Where they come from, for error messages.

    Raises
    ------
    Corrupt
        The header is malformed, or the tensors' offsets do not cover the file exactly.

    """
    from safetensors import SafetensorError, deserialize  # noqa: PLC0415 -- most commands do not need it

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
