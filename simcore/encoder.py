"""The encoder: a table from word id to the code of the word, as one value and as one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from .errors import ModelError
from .limits import AXONS
from .tensors import Field, pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT: Final = "encoder"
VERSION: Final = 1
MAX_WORDS_IN_TABLE: Final = 2**22
"""Most words of an encoder: our own bound, 64 MiB of codes at 16 lines."""

_TENSORS: Final = {
    "codes": Field(dtype="uint8", shape=("code rows", "lines")),
    "rows": Field(dtype="int32", shape=("words",)),
}
_LENGTHS: Final = {"code rows": MAX_WORDS_IN_TABLE, "lines": AXONS, "words": MAX_WORDS_IN_TABLE}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Encoder:
    """The table from word id to code; words with equal codes share a row.

    Attributes
    ----------
    codes : uint8 (rows, word lines)
        Activity 0..T of each word line, for each row.
    rows : int32 (words,)
        The row of `codes` of each word id.

    """

    codes: NDArray[np.uint8]
    rows: NDArray[np.int32]

    def __repr__(self) -> str:
        rows, lines = self.codes.shape
        return f"<Encoder: {len(self.rows):,} words, {rows:,} codes of {lines} lines>"

    def validate(self) -> Self:
        """Check that every word id has a row of the table.

        Returns
        -------
        Encoder
            The encoder itself.

        Raises
        ------
        ModelError
            A row is outside the table; the text names the word id.

        """
        # The activities are checked by `QuestionCore`: only the image knows T, their limit.
        bad = (self.rows < 0) | (self.rows >= len(self.codes))
        if bad.any():
            word = int(np.argmax(bad))
            raise ModelError(
                f"encoder: word id {word} has row {self.rows[word]}, limits 0..{len(self.codes) - 1}"
            )
        return self

    def to_bytes(self) -> bytes:
        """Serialise as one safetensors file; equal encoders give equal bytes."""
        metadata = {"format": FORMAT, "version": VERSION}
        return pack({"codes": self.codes, "rows": self.rows}, metadata)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse and check the bytes of an encoder file.

        Raises
        ------
        ModelError
            The bytes are not a valid encoder.

        """
        tensors, _ = unpack(
            data,
            what="encoder",
            format_name=FORMAT,
            version=VERSION,
            fields=_TENSORS,
            limits=_LENGTHS,
            error=ModelError,
        )
        return cls(**tensors).validate()
