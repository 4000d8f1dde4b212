"""The encoder: a table from word id to the code of the word, as one value and as one file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from .errors import ModelError
from .limits import AXONS
from .tensors import Field, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT: Final = "encoder"
VERSION: Final = 2
VERSIONS: Final = (1, 2)
"""Versions that are read. In version 1, words are those of the tokenizer's model only, and none is skipped."""

MAX_WORDS_IN_TABLE: Final = 2**22
"""Most words of an encoder: our own bound, 64 MiB of codes at 16 lines."""

MAX_SPECIAL: Final = 2048
"""Most ids of a kind that are not words: our own bound, so that the file's header stays below its limit."""

_SPECIAL: Final = ("skipped", "unusable")

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
    skipped : tuple of int
        Ids that the network skips wherever they occur, ascending: they are dropped from every question.
    unusable : tuple of int
        Ids that the network neither skips nor takes for words, ascending: questions with such an id are not answered.
    model_words_only : bool
        Whether a text's words are those of the tokenizer's model only, without special tokens, truncation and padding,
        as in models published with version 1 of the file.

    """

    codes: NDArray[np.uint8]
    rows: NDArray[np.int32]
    skipped: tuple[int, ...] = ()
    unusable: tuple[int, ...] = ()
    model_words_only: bool = False

    def __repr__(self) -> str:
        rows, lines = self.codes.shape
        return f"<Encoder: {len(self.rows):,} words, {rows:,} codes of {lines} lines>"

    def validate(self) -> Self:
        """Check that every word id has a row of the table, and that the ids skipped and unusable are word ids.

        Returns
        -------
        Encoder
            The encoder itself.

        Raises
        ------
        ModelError
            A row is outside the table, or ids skipped or unusable are no word ids or not ascending; the text names one.

        """
        # The activities are checked by `QuestionCore`: only the image knows T, their limit.
        bad = (self.rows < 0) | (self.rows >= len(self.codes))
        if bad.any():
            word = int(np.argmax(bad))
            raise ModelError(
                f"encoder: word id {word} has row {self.rows[word]}, limits 0..{len(self.codes) - 1}"
            )
        for name in _SPECIAL:
            self._check_special(name, getattr(self, name))
        return self

    def _check_special(self, name: str, ids: tuple[int, ...]) -> None:
        if len(ids) > MAX_SPECIAL:
            raise ModelError(f"encoder: {name}: {len(ids)} ids, limit {MAX_SPECIAL}")
        for before, word in pairwise((-1, *ids)):
            if not before < word < len(self.rows):
                raise ModelError(
                    f"encoder: {name}: id {word}, limits {before + 1}..{len(self.rows) - 1}"
                )

    def without_skipped(
        self, ids: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Drop the ids that the network skips from questions (see `QuestionCore.answer_flat`); other ids may be any."""
        if not self.skipped:
            return ids, starts
        kept = np.isin(ids, self.skipped, invert=True)
        return ids[kept], np.concatenate([[0], np.cumsum(kept)])[starts]

    def to_bytes(self) -> bytes:
        """Serialise as one safetensors file; equal encoders give equal bytes."""
        special = {name: getattr(self, name) for name in _SPECIAL}
        metadata: dict[str, Any] = {"format": FORMAT, "version": VERSION, **special}
        if self.model_words_only:
            metadata = {"format": FORMAT, "version": 1}
        return pack({"codes": self.codes, "rows": self.rows}, metadata)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse and check the bytes of an encoder file.

        Raises
        ------
        ModelError
            The bytes are not a valid encoder.

        """
        tensors, metadata = unpack(
            data,
            what="encoder",
            format_name=FORMAT,
            version=VERSIONS,
            fields=_TENSORS,
            limits=_LENGTHS,
            error=ModelError,
        )
        if metadata["version"] == 1:
            old = cls(codes=tensors["codes"], rows=tensors["rows"], model_words_only=True)
            return old.validate()
        return cls(
            codes=tensors["codes"],
            rows=tensors["rows"],
            skipped=_word_ids(metadata, "skipped"),
            unusable=_word_ids(metadata, "unusable"),
        ).validate()


def _word_ids(metadata: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Return a list of word ids in the metadata of an encoder file."""
    ids = metadata.get(name)
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise ModelError(f"encoder: {name}: not a list of word ids")
    return tuple(ids)
