"""Split texts into words: by the model's lookup, or by the library that its tokenizer is written for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from ..errors import InputError, ModelError
from .lookup import Lookup, LookupSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

LOOKUP_FILE: Final = "lookup.safetensors"

NEEDS_LIBRARY: Final = (
    "reading it needs the tokenizers library: pip install 'spikewatch[tokenizers]'"
    f" (with {LOOKUP_FILE}, a model answers without it)"
)
"""The file of a published model that makes the library unnecessary; a model may have none."""

TOKENIZER_FILE: Final = "tokenizer.json"


class Splitter(Protocol):
    """Turns texts into word ids."""

    @property
    def highest(self) -> int:
        """The highest word id, -1 where there is none."""

    def split(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split texts into word ids (see `LookupSplitter.split`)."""


class LibrarySplitter:
    """Splits texts by the tokenizers library.  Safe from several threads.

    Parameters
    ----------
    tokenizer
        A tokenizer without truncation and padding.

    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        """The highest word id."""
        self._tokenizer = tokenizer

    def __repr__(self) -> str:
        return f"<LibrarySplitter: word ids 0..{self.highest}>"

    def split(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split texts into word ids (see `LookupSplitter.split`).

        Raises
        ------
        InputError
            A text that is no str, or that UTF-8 cannot express, by its position.

        """
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            for i, text in enumerate(texts):
                if not isinstance(text, str):
                    raise InputError(f"text {i}: {type(text).__name__}, expected str") from None
                if not text.isascii() and text != text.encode(errors="replace").decode():
                    raise InputError(
                        f"text {i}: holds a lone surrogate, not valid Unicode"
                    ) from None
            raise
        ids = [encoding.ids for encoding in encodings]
        starts = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(words) for words in ids], out=starts[1:])
        return np.array([i for words in ids for i in words], dtype=np.int64), starts


def read_splitter(files: Mapping[str, bytes]) -> Splitter:
    """Make the splitter of a model from its files: by its lookup where it has one.

    Raises
    ------
    ModelError
        A file is invalid, the lookup is of another tokenizer, or the library is needed and not installed.

    """
    tokenizer = files[TOKENIZER_FILE]
    if LOOKUP_FILE not in files:
        return LibrarySplitter(read_tokenizer(tokenizer))
    lookup = Lookup.from_bytes(files[LOOKUP_FILE])
    if lookup.tokenizer != hashlib.sha256(tokenizer).hexdigest():
        raise ModelError(f"lookup: it was not made of this {TOKENIZER_FILE}")
    return LookupSplitter(lookup)


def read_tokenizer(data: bytes) -> Tokenizer:
    """Parse the bytes of a tokenizer.json, without truncation or padding.

    Raises
    ------
    ModelError
        The bytes are no valid tokenizer, or the library is not installed.

    """
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - only models without a lookup need it
    except ImportError:
        raise ModelError(f"tokenizer.json: {NEEDS_LIBRARY}") from None
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except UnicodeDecodeError:
        raise ModelError("tokenizer.json: not UTF-8") from None
    except Exception as e:  # noqa: BLE001 - the library raises bare Exception for every fault of the file
        raise ModelError(f"tokenizer.json: {e}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
