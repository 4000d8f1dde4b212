"""Split texts into word ids: by the model's lookup, or by the tokenizers library."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np

from ..errors import InputError, ModelError
from ..limits import MAX_WORDS
from .lookup import Lookup, LookupSplitter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


UNKNOWN: Final = -1
"""The only id of a text with a word that the tokenizer does not know, if the tokenizer has no unknown token."""

UNSPLIT: Final = -2
"""The only id of a text that the tokenizer cannot split for another reason."""

_NO_UNKNOWN_TOKEN: Final = re.compile(r"unk", re.IGNORECASE)
"""In each of the library's errors about an unknown word: "Missing [UNK] token", "`unk_id` is missing" and others."""


_CALL_CHARACTERS: Final = 1 << 19
"""Characters of the texts in one call of the tokenizers library, apart from those of the last one."""


class Splitter(Protocol):
    """Splits texts into word ids: `LookupSplitter` or `LibrarySplitter`."""

    @property
    def highest(self) -> int:
        """The highest word id; -1 if there is none."""

    def split(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split texts into word ids (see `LookupSplitter.split`)."""


class LibrarySplitter:
    """Splits texts by the tokenizers library; several threads may use it at the same time.

    The words of a text are `tokenizer.encode(text).ids`: added tokens, normalizer, pre-tokenizer, model, truncation,
    special tokens and padding, as the library applies them to this text alone.

    Parameters
    ----------
    tokenizer
        From `read_tokenizer`; it is not changed.

    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._padding = Padding.of(tokenizer)
        self.highest = highest_id(tokenizer)
        """The highest word id, that of the padding included."""
        # encode_batch pads every text to the longest of its batch, so the padding is done here (see `Padding`)
        self._tokenizer = tokenizer
        if tokenizer.padding is not None:
            self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
            self._tokenizer.no_padding()

    def __repr__(self) -> str:
        return f"<LibrarySplitter: word ids 0..{self.highest}>"

    def split(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split texts into word ids (see `LookupSplitter.split`).

        Raises
        ------
        InputError
            A text is not a str, or UTF-8 cannot encode it; the position of the text is named.

        """
        texts = list(texts)
        words = [
            np.array(ids, dtype=np.int64)
            for first, last in _calls(texts)
            for ids in self._encode_all(texts[first:last], texts)
        ]
        starts = np.zeros(len(words) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in words], out=starts[1:])
        flat = np.concatenate(words) if words else np.zeros(0, dtype=np.int64)
        return (flat, starts) if self._padding is None else self._padding.pad(flat, starts)

    def _encode_all(self, some: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        """Encode some of the texts in one call."""
        try:
            # unlike `encode_batch`, it skips character offsets, which nothing here uses
            return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(some)]
        except BaseException as e:
            if not _is_refusal(e):
                raise
            _check_texts(texts)  # the library does not name the text: find it
            return [self._encode(text) for text in some]

    def reason(self, text: str) -> str:
        """Return the library's reason for not splitting a text, in one line; empty if it splits the text."""
        try:
            self._tokenizer.encode(text)
        except BaseException as e:
            if not _is_refusal(e):
                raise
            return " ".join(str(e).split())[:200]
        return ""

    def _encode(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._tokenizer.encode(text).ids
        except BaseException as e:
            if not _is_refusal(e):
                raise
            return [UNKNOWN if _NO_UNKNOWN_TOKEN.search(str(e)) else UNSPLIT]
        return ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Padding:
    """The padding of a tokenizer, as the library applies it to one text alone.

    Attributes
    ----------
    length : int
        Words to fill each text up to; 0: none (the library's strategy BatchLongest).
    multiple : int
        The number of words is rounded up to a multiple of it.
    id : int
        The id of the padding.
    left : bool
        Whether padding comes before the words.

    """

    length: int
    multiple: int
    id: int
    left: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """Return a tokenizer's padding, None if it does not pad a text alone."""
        described = tokenizer.padding
        if described is None:
            return None
        multiple = described["pad_to_multiple_of"] or 1
        # one word more than the limit is too long already, however much longer the file wants it
        length = min(-(-(described["length"] or 0) // multiple) * multiple, MAX_WORDS + 1)
        if not length and multiple == 1:
            return None
        left = described["direction"] == "left"
        return cls(length=length, multiple=multiple, id=described["pad_id"], left=left)

    def pad(
        self, ids: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pad the words of all texts, given and returned as by `LookupSplitter.split`."""
        counts = np.diff(starts)
        # A fixed length is a multiple already, and longer texts stay as they are.
        padded = self.length
        if not self.length:
            padded = np.minimum(-(-counts // self.multiple) * self.multiple, MAX_WORDS + 1)
        added = np.maximum(padded - counts, 0)
        if ids.size and ids.min() < 0:
            added[np.isin(np.arange(len(counts)), failures(ids, starts))] = 0
        ends = np.concatenate([[0], np.cumsum(counts + added)])
        filled = np.full(int(ends[-1]), self.id, dtype=np.int64)
        shift = ends[:-1] - starts[:-1] + (added if self.left else 0)
        filled[np.arange(len(ids)) + np.repeat(shift, counts)] = ids
        return filled, ends


def failures(ids: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return which texts hold the id UNKNOWN or UNSPLIT, given the words of all (see `LookupSplitter.split`)."""
    return np.searchsorted(starts, np.flatnonzero(ids < 0), side="right") - 1


def highest_id(tokenizer: Tokenizer) -> int:
    """Return the highest id that a tokenizer can return, -1 if none: of its words, special tokens and padding."""
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    padding = Padding.of(tokenizer)
    special: list[int] = []
    if tokenizer.post_processor is not None:
        special = _special_ids(json.loads(tokenizer.post_processor.__getstate__()))
    return max([highest, -1 if padding is None else padding.id, *special])


def _special_ids(described: dict[str, Any]) -> list[int]:
    """Return the ids of the special tokens of a post-processor: the file has them apart from the vocabulary."""
    ids = [i for token in described.get("special_tokens", {}).values() for i in token["ids"]]
    ids += [described[name][1] for name in ("sep", "cls") if name in described]
    return ids + [i for part in described.get("processors", []) for i in _special_ids(part)]


def _calls(texts: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Yield which texts the library gets in one call: it takes a hundredfold of their characters while it works."""
    first = characters = 0
    for i, text in enumerate(texts):
        characters += len(text) if isinstance(text, str) else 0
        if characters >= _CALL_CHARACTERS:
            yield first, i + 1
            first, characters = i + 1, 0
    if first < len(texts):
        yield first, len(texts)


def _is_refusal(e: BaseException) -> bool:
    """Return whether the library refused a text, by an error or by a panic (which is no `Exception`)."""
    return isinstance(e, Exception) or type(e).__name__ == "PanicException"


def _check_texts(texts: Sequence[str]) -> None:
    """Raise InputError for the first text that is not a str, or that UTF-8 cannot encode."""
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {i}: {type(text).__name__}, expected str")
        if not text.isascii() and text != text.encode(errors="replace").decode():
            raise InputError(f"text {i}: holds a lone surrogate, not valid Unicode")


def read_splitter(files: Mapping[str, bytes], *, model_words_only: bool = False) -> Splitter:
    """Return the splitter of a model, made from its files: by the lookup if it has one.

    Parameters
    ----------
    files
        By name.
    model_words_only
        See `read_tokenizer`.

    Raises
    ------
    ModelError
        A file is invalid, the lookup was compiled from another tokenizer, or the library is needed but not installed.

    """
    tokenizer = files[TOKENIZER_FILE]
    if LOOKUP_FILE not in files:
        return LibrarySplitter(read_tokenizer(tokenizer, model_words_only=model_words_only))
    lookup = Lookup.from_bytes(files[LOOKUP_FILE])
    if lookup.tokenizer != hashlib.sha256(tokenizer).hexdigest():
        raise ModelError(f"lookup: not compiled from this {TOKENIZER_FILE}")
    return LookupSplitter(lookup)


def read_tokenizer(data: bytes, *, model_words_only: bool = False) -> Tokenizer:
    """Parse the bytes of a tokenizer.json.

    Parameters
    ----------
    data
        The file.
    model_words_only
        Leave out special tokens, truncation and padding, as for models published before version 2 of the encoder file.

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
    except BaseException as e:  # the library raises bare Exception for every error in the file
        if not _is_refusal(e):
            raise
        raise ModelError(
            f"tokenizer.json: not a tokenizer of the tokenizers library: {e}"
        ) from None
    if model_words_only:
        tokenizer.post_processor = None
        tokenizer.no_truncation()
        tokenizer.no_padding()
    return tokenizer
