"""Find out what a model that is told the lengths of its questions does to the padding beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from .proof import excess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .float_model import FloatModel
    from .inputs import Side

QUESTIONS: Final = 32
"""Random questions that the model is asked."""

LONGEST: Final = 9
"""Words of the longest of them, if the model takes questions of any length."""


def ignores_padding(model: FloatModel, number: int, side: Side, *, seed: int = 0) -> bool:
    """Return whether a model that takes lengths or a mask answers padded questions as if they were not padded.

    Parameters
    ----------
    model
        The model; it takes padding (`InputLayout.padding` is not None).
    number
        Word id of the padding, a row of the embedding.
    side
        Where the padding is: left or right of the words.
    seed
        Seed of the random questions.

    Raises
    ------
    ModelFileError
        onnxruntime cannot run the model.

    """
    asked = _questions(model, seed)
    layout = replace(model.layout, padding=number, padding_side=side)
    return excess(model.network, replace(model, layout=layout).run(asked), asked) <= 1


def ignores_its_mask(model: FloatModel, number: int, side: Side, *, seed: int = 0) -> bool:
    """Return whether a model answers padded questions alike whether its mask tells words from padding or not.

    Then padding is words to it.  Otherwise it may be neither, as in a network that sets the vectors of padding to 0 but
    steps over them.

    Parameters
    ----------
    model
        The model; it takes lengths or a mask.
    number
        Word id of the padding, a row of the embedding.
    side
        Where the padding is: left or right of the words.
    seed
        Seed of the random questions.

    Raises
    ------
    ModelFileError
        onnxruntime cannot run the model.

    """
    width = model.layout.length or LONGEST
    layout = replace(model.layout, padding=number, padding_side=side, length=width)
    n = 1 if layout.one_at_a_time else layout.batch or 1
    telling = [c for c in layout.companions if c.tells_lengths]
    for question in _questions(model, seed):
        feed = layout.feed([question] * n)
        everything = {c.name: c.values(np.ones((n, width), dtype=np.bool_)) for c in telling}
        if not np.array_equal(model.answer(feed, n), model.answer(feed | everything, n)):
            return False
    return True


def _questions(model: FloatModel, seed: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    without = [*model.skipped, *model.unusable]
    words = np.setdiff1d(np.arange(len(model.network.rows)), without)
    longest = min(LONGEST, model.layout.length or LONGEST)
    if model.layout.cut is not None:
        longest = min(longest, model.layout.cut.words)
    return [rng.choice(words, rng.integers(1, longest + 1)) for _ in range(QUESTIONS)]
