"""Split texts into word ids: by the model's lookup, or by the tokenizers library."""

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
"""The file of a published model that makes the tokenizers library unnecessary; a model may lack it."""

NEEDS_LIBRARY: Final = (
    "reading it needs the tokenizers library: pip install 'spikewatch[tokenizers]'"
    f" (with {LOOKUP_FILE}, a model answers without it)"
)
"""End of the error for a tokenizer.json that is needed, but cannot be read without the library."""

TOKENIZER_FILE: Final = "tokenizer.json"


class Splitter(Protocol):
    """Splits texts into word ids: `LookupSplitter` or `LibrarySplitter`."""

    @property
    def highest(self) -> int:
        """The highest word id; -1 if there is none."""

    def split(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split texts into word ids (see `LookupSplitter.split`)."""


class LibrarySplitter:
    """Splits texts by the tokenizers library; several threads may use it at the same time.

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
            A text is not a str, or UTF-8 cannot encode it; the position of the text is named.

        """
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):  # the library does not name the text: find it
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
    """Return the splitter of a model, made from its files: by the lookup if it has one.

    Raises
    ------
    ModelError
        A file is invalid, the lookup was compiled from another tokenizer, or the library is needed but not installed.

    """
    tokenizer = files[TOKENIZER_FILE]
    if LOOKUP_FILE not in files:
        return LibrarySplitter(read_tokenizer(tokenizer))
    lookup = Lookup.from_bytes(files[LOOKUP_FILE])
    if lookup.tokenizer != hashlib.sha256(tokenizer).hexdigest():
        raise ModelError(f"lookup: not compiled from this {TOKENIZER_FILE}")
    return LookupSplitter(lookup)


def read_tokenizer(data: bytes) -> Tokenizer:
    """Parse the bytes of a tokenizer.json, without truncation or padding.

    Raises
    ------
    ModelError
        The bytes are not a valid tokenizer, or the library is not installed.

    """
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - models with a lookup must load without it
    except ImportError:
        raise ModelError(f"tokenizer.json: {NEEDS_LIBRARY}") from None
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except UnicodeDecodeError:
        raise ModelError("tokenizer.json: not UTF-8") from None
    except Exception as e:  # noqa: BLE001 - the library raises bare Exception for every error in the file
        raise ModelError(
            f"tokenizer.json: not a tokenizer of the tokenizers library: {e}"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
