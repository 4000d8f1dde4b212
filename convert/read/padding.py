"""Find out whether a model that is told the lengths of its questions ignores the padding beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from .proof import excess

if TYPE_CHECKING:
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
    rng = np.random.default_rng(seed)
    without = [*model.skipped, *model.unusable]
    words = np.setdiff1d(np.arange(len(model.network.rows)), without)
    longest = min(LONGEST, model.layout.length or LONGEST)
    if model.layout.cut is not None:
        longest = min(longest, model.layout.cut.words)
    asked = [rng.choice(words, rng.integers(1, longest + 1)) for _ in range(QUESTIONS)]
    layout = replace(model.layout, padding=number, padding_side=side)
    return excess(model.network, replace(model, layout=layout).run(asked), asked) <= 1
