"""Check that a lookup gives the same word ids as the tokenizers library."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import models

from ...simcore.text.lookup import Lookup, LookupSplitter
from ...simcore.text.lookup_format import CODE_POINTS, PAGE, SECOND
from ...simcore.text.splitting import LibrarySplitter, read_tokenizer
from .compiler import reads_bytes, word_tables
from .edges import added_texts, long_texts
from .errors import CannotCompileError
from .parts import subword_texts
from .probing import as_text, characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_TEXTS: Final = 3000
"""Number of random texts in a check."""

_OF_A_KIND: Final = 12
"""Most characters of each symbol, and of each class of marks, that random texts draw from."""

_MAPPED: Final = 400
"""Most characters changed by each map, spread evenly over Unicode, that random texts draw from."""


_BARE: Final[dict[str, Any]] = {
    f.name: f.default if f.default_factory is MISSING else f.default_factory()
    for f in fields(Lookup)
    if f.name in {"model", "subwords", "truncation", "padding", "frame"}
    or f.name.startswith("added_")
}
"""A lookup's attributes if it has neither a model of parts of words, nor added tokens, nor a frame."""


def check_against_library(
    lookup: Lookup, data: bytes, texts: Sequence[str], *, model_words_only: bool = False
) -> None:
    """Compare a lookup with the library: the word ids of texts, and the pieces that texts are split into.

    The compiler has already queried the library for every single character, so this compares combinations.

    Parameters
    ----------
    lookup
        The lookup to check.
    data
        The tokenizer.json that it was compiled from.
    texts
        Texts like those that the model will answer.  The words of the vocabulary, and random texts of characters
        that the lookup treats differently, are checked as well.
    model_words_only
        See `read_tokenizer`.

    Raises
    ------
    CannotCompileError
        If lookup and library differ; the message quotes a text on which they do.

    """
    library = read_tokenizer(data, model_words_only=model_words_only)
    chosen = [*texts, *marked_texts(lookup), *random_texts(lookup)]
    vocabulary = list(library.get_vocab())
    whole = [*vocabulary, *subword_texts(lookup, vocabulary), *added_texts(lookup)]
    _compare(lookup, library, [*chosen, *whole, *long_texts(lookup, texts)])
    # All unknown words share one id, which hides differences: here every piece gets its own id.
    spelled, library = with_all_words(lookup, library, chosen)
    _compare(spelled, library, chosen)


def with_all_words(
    lookup: Lookup, tokenizer: Tokenizer, texts: Iterable[str]
) -> tuple[Lookup, Tokenizer]:
    """Return lookup and tokenizer with a vocabulary of all pieces that the library splits the texts into.

    Without added tokens, and without what is done to the ids of a text at the end.
    """
    found = dict.fromkeys(piece for text in texts for piece in pieces(tokenizer, text))
    unknown = next(
        word
        for word in ("<unk>", *(f"<unk {i}>" for i in range(len(found) + 1)))
        if word not in found
    )
    vocabulary = {word: i for i, word in enumerate((unknown, *found))}
    bare = dict.fromkeys(("post_processor", "truncation", "padding"), None) | {"added_tokens": []}
    described = json.loads(tokenizer.to_str()) | bare
    other = read_tokenizer(json.dumps(described).encode())
    other.model = models.WordLevel(vocabulary, unk_token=unknown)
    spelled = replace(
        lookup,
        **word_tables(vocabulary, unknown, byte_level=reads_bytes(tokenizer)),
        **_BARE,
    )
    return spelled.validate(), other


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    """Split a text into pieces with the library."""
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer is None:
        return [text] if text else []
    return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def marked_texts(lookup: Lookup) -> list[str]:
    """Return a text for every pair of characters that merges, and one for every mark among lower and higher marks."""
    pairs = [chr(pair >> 21) + chr(pair & 0x1FFFFF) for pair in lookup.merges.tolist()]
    marks = np.flatnonzero(_row(lookup.byte_index[1], lookup.byte_cells) % SECOND)
    return pairs + [f"a\u0345{chr(m)}\u0334e{chr(m)}\u0323{chr(m)}" for m in marks.tolist()]


def random_texts(lookup: Lookup, seed: int = 0) -> list[str]:
    """Return random texts that mix characters of all symbols and marks, mapped characters and ASCII."""
    rng = np.random.default_rng(seed)
    kinds = [_row(index, lookup.byte_cells) for index in lookup.byte_index]
    allowed = np.zeros(CODE_POINTS, dtype=np.bool_)
    allowed[characters()] = True
    alphabets = [
        _some(np.flatnonzero((kind == value) & allowed), _OF_A_KIND)
        for kind in kinds
        for value in np.unique(kind)
    ]
    for index in lookup.map_index:
        changed = np.flatnonzero((_row(index, lookup.map_cells) != 0) & allowed)
        alphabets.append(_some(changed, _MAPPED))
    alphabets = [a for a in alphabets if len(a)] + [np.arange(128)] * 4
    texts = []
    for length in rng.integers(1, 16, _TEXTS):
        # Few kinds per text, so that patterns of several characters match often.
        some = [alphabets[k] for k in rng.integers(0, len(alphabets), 3)]
        # rng.choice() draws the same numbers, but takes twice the time.
        drawn = [some[k] for k in rng.integers(0, 3, length)]
        chosen = [int(points[rng.integers(len(points))]) for points in drawn]
        texts.append(as_text(np.array(chosen, dtype=np.int32)))
    return texts


def _row(index: NDArray[np.int32], cells: NDArray[Any]) -> NDArray[Any]:
    """Expand a paged table: one value per code point."""
    return cells[index].reshape(len(index) * PAGE)


def _some(points: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return at most `most` of the code points, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).astype(int))
    some: NDArray[np.intp] = points[chosen]
    return some


def _compare(lookup: Lookup, library: Tokenizer, texts: Sequence[str]) -> None:
    ids, starts = LookupSplitter(lookup).split(texts)
    expected, ends = LibrarySplitter(library).split(texts)
    if np.array_equal(ids, expected) and np.array_equal(starts, ends):
        return
    for i, text in enumerate(texts):
        if not np.array_equal(ids[starts[i] : starts[i + 1]], expected[ends[i] : ends[i + 1]]):
            raise CannotCompileError(
                f"its lookup differs from the library's result on {json.dumps(text)}"
            )
