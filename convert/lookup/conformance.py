"""Hold a lookup to the library that it was made from."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import models

from ...simcore.text.lookup import CODE_POINTS, PAGE, SECOND, LookupSplitter
from ...simcore.text.splitting import LibrarySplitter, read_tokenizer
from .compiler import word_tables
from .errors import CannotCompileError
from .probing import as_text, characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from ...simcore.text.lookup import Lookup

_TEXTS: Final = 3000
"""Random texts of a check."""

_OF_A_KIND: Final = 12
"""Characters of each symbol and class of marks that random texts are made of."""

_MAPPED: Final = 400
"""Characters that a map changes, taken evenly over Unicode, that random texts are made of."""


def check_against_library(lookup: Lookup, data: bytes, texts: Sequence[str]) -> None:
    """Compare a lookup with the library: word ids, and the pieces that texts are cut into.

    Characters alone need no check here, the lookup asked the library for each; it is how they stand together.

    Parameters
    ----------
    lookup
        What is to be checked.
    data
        The tokenizer.json that it was made of.
    texts
        Texts as they will come; the words of the vocabulary, and random texts of characters that the lookup treats
        differently, are added.

    Raises
    ------
    CannotCompileError
        Naming a text on which they differ.

    """
    library = read_tokenizer(data)
    chosen = [*texts, *marked_texts(lookup), *random_texts(lookup)]
    _compare(lookup, library, [*chosen, *library.get_vocab()])
    # unknown words all have one id: with a vocabulary of its pieces, every difference shows
    spelled, library = with_all_words(lookup, library, chosen)
    _compare(spelled, library, chosen)


def with_all_words(
    lookup: Lookup, tokenizer: Tokenizer, texts: Iterable[str]
) -> tuple[Lookup, Tokenizer]:
    """Give a lookup and its tokenizer the vocabulary of all pieces that the library cuts texts into."""
    found = dict.fromkeys(piece for text in texts for piece in pieces(tokenizer, text))
    unknown = next(
        word
        for word in ("<unk>", *(f"<unk {i}>" for i in range(len(found) + 1)))
        if word not in found
    )
    vocabulary = {word: i for i, word in enumerate((unknown, *found))}
    other = read_tokenizer(tokenizer.to_str().encode())
    other.model = models.WordLevel(vocabulary, unk_token=unknown)
    return replace(lookup, **word_tables(vocabulary, unknown)).validate(), other


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    """Cut a text into pieces by the library."""
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer is None:
        return [text] if text else []
    return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def marked_texts(lookup: Lookup) -> list[str]:
    """Make texts of every pair that merges, and of every mark among lower and higher ones."""
    pairs = [chr(pair >> 21) + chr(pair & 0x1FFFFF) for pair in lookup.merges.tolist()]
    marks = np.flatnonzero(_row(lookup.byte_index[1], lookup.byte_cells) % SECOND)
    return pairs + [f"a\u0345{chr(m)}\u0334e{chr(m)}\u0323{chr(m)}" for m in marks.tolist()]


def random_texts(lookup: Lookup, seed: int = 0) -> list[str]:
    """Make texts of characters of every symbol and mark, of some that are mapped, and of all of ASCII."""
    rng = np.random.default_rng(seed)
    kinds = [_row(lookup.byte_index[row], lookup.byte_cells) for row in (0, 1)]
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
        # a few kinds at a time, so that patterns of several characters do match
        some = [alphabets[k] for k in rng.integers(0, len(alphabets), 3)]
        chosen = [int(rng.choice(some[k])) for k in rng.integers(0, 3, length)]
        texts.append(as_text(np.array(chosen, dtype=np.int32)))
    return texts


def _row(index: NDArray[np.int32], cells: NDArray[Any]) -> NDArray[Any]:
    """Write out a table of all characters."""
    return cells[index].reshape(len(index) * PAGE)


def _some(points: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Take some, evenly."""
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
            raise CannotCompileError(f"its lookup differs from the library on {json.dumps(text)}")
