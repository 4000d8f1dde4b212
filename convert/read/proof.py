"""Prove a reading: the network as read must answer random sequences as onnxruntime does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ModelFileError

if TYPE_CHECKING:
    from .session import FloatModel

TOLERANCE: Final = 1e-4
"""Largest difference of a logit from onnxruntime's."""

SHARE: Final = 0.1
"""Added to that for each 1 of the question's largest logit, in units of TOLERANCE: onnxruntime computes in single
precision, and the states of an unbounded ReLU may be large."""

SEQUENCES: Final = 64
LONGEST: Final = 20
"""Random sequences of the proof, and the longest of them in words, where the model's length is free."""


def prove(model: FloatModel, *, compared: set[int], seed: int) -> FloatModel:
    """Compare a network as read with onnxruntime on random sequences of different lengths.

    A model of one fixed length is asked about sequences of that length.  If it compares its words with a padding id,
    it is asked about shorter ones as well, filled up with that id, and if it answers those right the returned model
    says so.  The padding itself is no word: the sequences do not hold it.

    Parameters
    ----------
    model
        The model, and what was read from it.
    compared
        Word ids that the graph compares its words with.
    seed
        Seed of the sequences.

    Raises
    ------
    ModelFileError
        The answers differ, or onnxruntime cannot run the model.

    """
    layout = model.layout
    if layout.length is not None and layout.padding is None:
        for padding in sorted(compared):
            padded = replace(model, layout=replace(layout, padding=padding))
            if _difference(padded, compared, seed) <= 1:
                return padded
    excess = _difference(model, compared, seed)
    if not excess <= 1:
        raise ModelFileError(
            f"the network as read differs from onnxruntime by {excess * TOLERANCE:.3g} on random sequences,"
            f" limit {TOLERANCE:g}"
        )
    return model


def _difference(model: FloatModel, compared: set[int], seed: int) -> float:
    """Return the largest difference, in units of what is allowed."""
    rng = np.random.default_rng(seed)
    layout = model.layout
    longest = LONGEST if layout.length is None else layout.length
    lengths = [n for n in range(1, longest + 1) if layout.runs(n)]
    words = np.setdiff1d(np.arange(len(model.network.rows)), sorted(compared))
    if not len(words):
        raise ModelFileError("embedding: holds no word but padding")
    questions = [rng.choice(words, lengths[i % len(lengths)]) for i in range(SEQUENCES)]
    wanted = model.run(questions)
    got = model.network.logits(questions)
    if wanted.shape != got.shape:
        raise ModelFileError(
            f"head: {wanted.shape[1]} outputs in onnxruntime, {got.shape[1]} as read"
        )
    allowed = TOLERANCE * (1 + SHARE * np.abs(wanted).max(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        return float((np.abs(wanted - got) / allowed).max())
