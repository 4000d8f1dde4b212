"""Build a model's tokenizer, which maps raw text to the words that have a vector.

TREC's spaced form (`What 's`, `celebrities ' real`, `do n't`) and the form that people type (`What's`,
`celebrities' real`, `don't`) give the same tokens, because the tokenizer keeps only words, clitics, numbers,
`$` and `%` and treats everything else as a separator. `docs/training.md` lists the rule for each kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from .vectors import WordTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .vectors import Vectors

__all__ = ["NUMBER", "SPECIALS", "UNKNOWN", "YEAR", "build_tokenizer"]

UNKNOWN: Final = "<unk>"
NUMBER: Final = "<number>"
YEAR: Final = "<year>"
SPECIALS: Final = (UNKNOWN, NUMBER, YEAR)

# TREC opens quotations with backticks; mapped to apostrophes, they separate unless a clitic follows.
_APOSTROPHES: Final = "[\u2018\u2019\u02bc\u2032\u00b4`]"  # quotation marks, primes, accents
_SPLIT_NEGATION: Final = r"n\s+'t(?!\p{L})"  # TREC's "can 't"
_YEAR: Final = r"(?<![0-9.,])(?:1[0-9]|20)[0-9]{2}(?![0-9]|[.,][0-9])"
_NUMBER: Final = r"[0-9]+(?:\s?,\s?[0-9]{3}(?![0-9])|\.[0-9]+)*"
_KEPT: Final = (
    "<number>|<year>",
    r"\p{L}(?:\.\p{L})+(?!\p{L})",  # u.s, d.c, a.m: keep the inner dots, drop the last one
    r"[\p{L}\p{M}]+(?=n't(?!\p{L}))",  # do|n't
    r"n't(?!\p{L})",
    r"'(?:s|re|ve|ll|d|m)(?!\p{L})",
    r"[\p{L}\p{M}]+",
    "[$%]",
)


def build_tokenizer(vectors: Vectors) -> tuple[Tokenizer, WordTable]:
    """Build a tokenizer over all words that have a vector, and the table of their vectors.

    A word of the vector file that the tokenizer splits (`well-known`: hyphens separate) is left out. If the
    tokenizer normalises a word (`U.S.` to `u.s`), the normal form gets its vector, unless the file has a
    vector for the normal form itself. The number and year tokens get the mean vector of all numbers and
    years; the unknown token gets the mean of all vectors.
    """
    tokenizer = _empty()
    exact: dict[str, int] = {}
    derived: dict[str, int] = {}
    shared: dict[str, list[int]] = {NUMBER: [], YEAR: []}
    for word, row in zip(vectors.words, vectors.rows.tolist(), strict=True):
        pieces = _pieces(tokenizer, word)
        if len(pieces) != 1:
            continue
        if pieces[0] in shared:
            shared[pieces[0]].append(row)
        elif pieces[0] == word:
            exact[word] = row
        else:
            derived.setdefault(pieces[0], row)
    words = derived | exact
    vocabulary = {word: i for i, word in enumerate((*SPECIALS, *words))}
    tokenizer.model = models.WordLevel(vocabulary, unk_token=UNKNOWN)
    return tokenizer, _table(vectors.matrix, list(words.values()), shared)


def _empty() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            # Must precede NFKC, which turns the acute accent into a space and a combining mark.
            normalizers.Replace(Regex(_APOSTROPHES), "'"),
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(_SPLIT_NEGATION), "n't"),
            normalizers.Replace(Regex(_YEAR), YEAR),
            normalizers.Replace(Regex(_NUMBER), NUMBER),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex("|".join(_KEPT)), behavior="removed", invert=True
    )
    return tokenizer


def _pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    normal = tokenizer.normalizer.normalize_str(text)
    return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


def _table(
    matrix: NDArray[np.float32], word_rows: list[int], shared: dict[str, list[int]]
) -> WordTable:
    everything = matrix.mean(axis=0)
    special = [everything] + [
        matrix[shared[name]].mean(axis=0) if shared[name] else everything for name in (NUMBER, YEAR)
    ]
    # Drop rows that no remaining word uses: they would only make the encoder larger.
    used, rows = np.unique(np.asarray(word_rows, dtype=np.int64), return_inverse=True)
    return WordTable(
        rows=np.concatenate([np.arange(len(SPECIALS)), len(SPECIALS) + rows]).astype(np.int32),
        matrix=np.concatenate([np.stack(special), matrix[used]]).astype(np.float32),
    )
