"""Sentences for the conversion benchmark: TREC's questions where ../shared is, and a generated language.

The generated language is made by rule, so that the benchmark needs no data: reports of up to 30 words about things
being moved, in clauses such as `then the old cat was not sent to paris`.  The class is the place that the last clause
without a `not` names; everything else, and the order of the clauses, only distracts.  A network must therefore keep
what it read, overwrite it when a later clause says so, and leave it alone when a `not` forbids that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from spikewatch.convert.words.question_files import read_questions

if TYPE_CHECKING:
    from pathlib import Path

LONGEST: Final = 30
"""Words of the longest generated sentence."""

_GENERATED: Final = 6_500
_SEED: Final = 20_261_124
"""Of the cuts: no setting of the conversion was chosen on what it holds out."""

_PLACES: Final = {
    "NORTH": "oslo bergen tampere malmo uppsala riga vilnius reykjavik",
    "SOUTH": "rome naples athens seville lisbon valletta palermo cordoba",
    "EAST": "tokyo osaka seoul busan taipei hanoi manila kyoto",
    "WEST": "boston denver austin seattle oakland tucson reno tulsa",
    "HOME": "kitchen cellar garden attic hallway garage balcony porch",
}
_THINGS: Final = (
    "cat dog box book letter parcel car ship piano lamp chair coat crate bike table drum".split()
)
_KINDS: Final = "old new small big red blue heavy broken empty cheap strange shiny".split()
_VERBS: Final = "sent brought carried moved taken driven shipped returned".split()
_LINKS: Final = "then later afterwards finally next and but while".split()
_ASIDES: Final = (
    "as we heard",
    "it is said",
    "they told us",
    "without any doubt",
    "on a rainy day",
    "in spite of everything",
    "we think",
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Corpus:
    """Texts and class names, cut into the parts that a conversion needs.

    Attributes
    ----------
    name : str
    labels : list of str
        Class names.
    train, calibrate, held_out : list of (str, str)
        Label and text; no sentence stands in two parts.

    """

    name: str
    labels: list[str]
    train: list[tuple[str, str]]
    calibrate: list[tuple[str, str]]
    held_out: list[tuple[str, str]]


def generated(*, development: bool = False) -> Corpus:
    """Generate 4,000 training, 1,500 calibration and 1,000 held-out sentences, all different.

    Those of the development are others.
    """
    rng = np.random.default_rng(_SEED)
    sentences: dict[str, str] = {}
    while len(sentences) < 2 * _GENERATED:
        label, text = _report(rng)
        if len(text.split()) <= LONGEST:
            sentences.setdefault(text, label)
    pairs = [(label, text) for text, label in sentences.items()]
    return _parts("generated", pairs[_GENERATED:] if development else pairs[:_GENERATED], 1_000)


def trec(path: Path, *, development: bool = False) -> Corpus:
    """Cut TREC's training questions: 1,000 held out, 1,500 for calibration, the others for training.

    The development's parts are cut from all but the 1,000: settings chosen on them know nothing of these.
    """
    questions = {q.text: str(q.label) for q in read_questions(path, labelled=True)}
    pairs = [(label, text) for text, label in questions.items()]
    rng = np.random.default_rng(_SEED)
    pairs = [pairs[i] for i in rng.permutation(len(pairs))]
    if development:
        kept = pairs[1_000:]
        return _parts("TREC", [kept[i] for i in rng.permutation(len(kept))], 800)
    return _parts("TREC", pairs, 1_000)


def _parts(name: str, pairs: list[tuple[str, str]], held_out: int) -> Corpus:
    """Cut in three; there are one and a half times as many sentences for calibration as held out."""
    seen = held_out + held_out * 3 // 2
    return Corpus(
        name=name,
        labels=sorted({label for label, _ in pairs}),
        held_out=pairs[:held_out],
        calibrate=pairs[held_out:seen],
        train=pairs[seen:],
    )


def _report(rng: np.random.Generator) -> tuple[str, str]:
    label = ""
    words: list[str] = []
    for clause in range(int(rng.integers(1, 4))):
        kinds = rng.choice(_KINDS, rng.integers(0, 3), replace=False).tolist()
        place = str(rng.choice(list(_PLACES)))
        refused = bool(label) and rng.random() < 0.35
        if rng.random() < 0.3:
            words += str(rng.choice(_ASIDES)).split()
        words += [str(rng.choice(_LINKS))] if clause else []
        words += ["the", *kinds, str(rng.choice(_THINGS)), "was", *(["not"] if refused else [])]
        words += [str(rng.choice(_VERBS)), "to", str(rng.choice(_PLACES[place].split()))]
        label = label if refused else place
    return label, " ".join(words)
