"""Turn WordNet's knowledge of a word (the kinds of thing it names) into numeric features.

Fellbaum (ed.), WordNet: An Electronic Lexical Database, MIT Press 1998; files as in wndb(5WN), base forms
as in morphy(7WN).  A word's features are the shares of its senses that lie under each hypernym (`trout`
is a food_fish, a fish, a food, an animal, ...) and in each lexicographer file, separately for nouns and verbs.
For rare words they add what the vectors of a pruned table lack: which kind of answer a question asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["COMPONENTS", "FILES", "WordNet", "read_wordnet"]

COMPONENTS: Final = 120
"""Number of principal components kept; they hold 60 % of the features' variance."""

_Parsed = TypeVar("_Parsed")

_HYPERNYMS: Final = ("@", "@i")  # hypernym, and the class of an instance
# Senses are sorted by frequency: each weighs half as much as the previous one
_NEXT_SENSE: Final = 0.5
_RARE: Final = 2500  # drop features that fewer than one word in 2500 has
_CHUNK: Final = 4096  # words

_ENDINGS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "noun": (
        ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip
"""morphy's rules of detachment: the ending of the inflected form, and its replacement in the base form."""


FILES: Final = tuple(
    name for part in _ENDINGS for name in (f"index.{part}", f"data.{part}", f"{part}.exc")
)
"""Names of the files that `read_wordnet` reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _PartOfSpeech:
    name: str
    senses: dict[str, list[str]]  # base form to offsets of its synsets, most frequent first
    synsets: dict[str, tuple[str, list[str]]]  # offset to lexicographer file and hypernyms
    exceptions: dict[str, str]  # irregular form to base form

    def base_form(self, word: str) -> str | None:
        exception = self.exceptions.get(word)
        if exception in self.senses:
            return exception
        if word in self.senses:
            return word
        for ending, instead in _ENDINGS[self.name]:
            stem = word.removesuffix(ending)
            if stem and stem != word and stem + instead in self.senses:
                return stem + instead
        # The tokenizer drops the last dot of u.s.
        return self.base_form(f"{word}.") if "." in word and not word.endswith(".") else None

    def ancestors(self, synset: str) -> set[str]:
        """Return a synset and all its hypernyms, direct and indirect."""
        found: set[str] = set()
        waiting = [synset]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.synsets[one][1]
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class WordNet:
    """WordNet's dictionary of nouns, verbs, adjectives and adverbs."""

    parts: tuple[_PartOfSpeech, ...]

    def describe(self, word: str) -> dict[str, float]:
        """Return a word's features and their shares, 0..1; an empty dict if WordNet lacks the word."""
        found: dict[str, float] = {}
        for part in self.parts:
            base = part.base_form(word)
            if base is None:
                continue
            found[part.name] = 1.0
            synsets = part.senses[base]
            shares = _NEXT_SENSE ** np.arange(len(synsets))
            for synset, share in zip(synsets, (shares / shares.sum()).tolist(), strict=True):
                names = [f"{part.name} file {part.synsets[synset][0]}"]
                if part.name in {"noun", "verb"}:  # adjectives and adverbs have no hypernyms
                    names += [f"{part.name} {one}" for one in part.ancestors(synset)]
                for name in names:
                    found[name] = found.get(name, 0.0) + share
        return found

    def is_noun(self, word: str) -> bool:
        """Return whether a word can be a noun."""
        return any(part.name == "noun" and part.base_form(word) for part in self.parts)

    def features(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Reduce the features of many words to a few principal components.

        Each feature is first divided by the fourth root of its mean, so that `entity`, a hypernym of every
        noun, does not dominate the others.

        Returns
        -------
        ndarray
            float32 [words, at most COMPONENTS], scaled to standard deviation 1 over the whole array; zeros for
            words that WordNet lacks.
        """
        described = [self.describe(word) for word in words]
        held: dict[str, int] = {}
        for features in described:
            for name in features:
                held[name] = held.get(name, 0) + 1
        least = max(2, len(words) // _RARE)
        # Sorted, because the order of a set of strings differs between processes.
        kept = {name: i for i, name in enumerate(sorted(n for n, c in held.items() if c >= least))}
        if not kept:
            return np.zeros((len(words), 0), dtype=np.float32)
        mean = sum(chunk.sum(axis=0) for chunk in _chunks(described, kept)) / len(words)
        weight = mean**-0.25
        scatter = np.zeros((len(kept), len(kept)))
        for chunk in _chunks(described, kept):
            weighted = chunk * weight
            scatter += weighted.T @ weighted
        # eigh sorts by ascending eigenvalue: the strongest components are last.
        axes = np.linalg.eigh(scatter)[1][:, ::-1][:, :COMPONENTS]
        projection = weight[:, None] * axes
        components = np.concatenate([chunk @ projection for chunk in _chunks(described, kept)])
        scaled: NDArray[np.float32] = (components / components.std()).astype(np.float32)
        return scaled


def read_wordnet(folder: Path) -> WordNet:
    """Read WordNet's `index`, `data` and `.exc` files (Debian: package `wordnet-base`).

    Raises
    ------
    DataError
        If a file is missing, or is not a WordNet file.
    """
    return WordNet(parts=tuple(_read_part(folder, name) for name in _ENDINGS))


def _read_part(folder: Path, name: str) -> _PartOfSpeech:
    senses = dict(_parsed(folder / f"index.{name}", _sense))
    data = folder / f"data.{name}"
    synsets = dict(_parsed(data, _synset))
    for found in (*senses.values(), *(kinds for _, kinds in synsets.values())):
        for offset in found:
            if offset not in synsets:
                raise DataError(
                    f"{data}: synset {offset} is missing, but other entries refer to it"
                )
    exceptions = dict(_parsed(folder / f"{name}.exc", _exception))
    return _PartOfSpeech(name=name, senses=senses, synsets=synsets, exceptions=exceptions)


def _sense(fields: list[str]) -> tuple[str, list[str]]:
    # wndb(5WN): lemma pos synset_cnt p_cnt [ptr_symbol...] sense_cnt tagsense_cnt synset_offset...
    count = int(fields[2])
    if not 0 < count <= len(fields) - 3:
        raise ValueError
    return fields[0], fields[-count:]


def _synset(fields: list[str]) -> tuple[str, tuple[str, list[str]]]:
    # wndb(5WN): offset lex_filenum ss_type w_cnt (hex) [word lex_id...] p_cnt [symbol offset pos source/target...]
    pointers = 5 + 2 * int(fields[3], 16)
    end = pointers + 4 * int(fields[pointers - 1])
    if end > len(fields):
        raise ValueError
    fields = fields[:end]  # without verb frames and gloss
    marks, targets = fields[pointers::4], fields[pointers + 1 :: 4]
    kinds = [t for mark, t in zip(marks, targets, strict=True) if mark in _HYPERNYMS]
    return fields[0], (fields[1], kinds)


def _exception(fields: list[str]) -> tuple[str, str]:
    return fields[0], fields[1]


def _parsed(path: Path, parse: Callable[[list[str]], _Parsed]) -> Iterator[_Parsed]:
    """Parse every line after the licence, whose lines are indented."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"{path}: {getattr(e, 'strerror', None) or e}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line and not line.startswith(" "):
            try:
                parsed = parse(line.split())
            except (IndexError, ValueError):
                raise DataError(f"{path}:{number}: not in WordNet's format") from None
            yield parsed


def _chunks(
    described: list[dict[str, float]], kept: dict[str, int]
) -> Iterator[NDArray[np.float64]]:
    """Yield dense feature arrays of some words at a time: one array of all words would take gigabytes."""
    for start in range(0, len(described), _CHUNK):
        part = described[start : start + _CHUNK]
        dense = np.zeros((len(part), len(kept)))
        for i, features in enumerate(part):
            for name, share in features.items():
                if name in kept:
                    dense[i, kept[name]] = share
        yield dense
