"""Prove against onnxruntime that a network as read answers as its file does, and find the ids that the file skips."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ModelFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .float_model import FloatModel

    I64 = NDArray[np.int64]

TOLERANCE: Final = 1e-4
"""Largest difference of a logit from onnxruntime's."""

SHARE: Final = 0.1
"""Extra difference allowed for each 1 of the question's largest logit, in units of TOLERANCE: onnxruntime computes in
single precision, and the states of an unbounded ReLU may be large."""

SEQUENCES: Final = 64
"""Random sequences in the proof."""

LONGEST: Final = 20
"""Words of the longest of them, if the model takes questions of any length."""

AT_THE_END: Final = "which the model takes for padding at the end of a question only"
"""What a model that counts the words before padding does to the padding's id."""

IN_ITS_OWN_WAY: Final = "which the model treats in a way of its own"
"""What a model does to an id that is neither a word to it nor padding."""


def prove(model: FloatModel, *, compared: set[int], seed: int) -> FloatModel:
    """Check a network as read against onnxruntime on random sequences of different lengths.

    A model of one fixed length gets sequences of that length.  If it compares its words with a padding id, it gets
    shorter sequences as well, filled up with that id; if it answers those correctly, the returned model has that
    padding.  Every id that the graph compares its words with is then put at the start, in the middle and at the end of
    sequences, to find out whether the model skips it.

    Parameters
    ----------
    model
        The model, with the network that was read from it.
    compared
        Word ids with which the graph compares its words.
    seed
        Seed of the sequences.

    Returns
    -------
    FloatModel
        The model, with the padding and the skipped ids that were found.

    Raises
    ------
    ModelFileError
        Some logits differ, or onnxruntime cannot run the model.

    """
    compared = {c for c in compared if 0 <= c < len(model.network.rows)}
    layout = model.layout
    words = np.setdiff1d(np.arange(len(model.network.rows)), sorted(compared))
    if not len(words):
        raise ModelFileError("embedding: holds no word except padding")
    questions = _random(model, words, seed)
    excess = np.inf
    if layout.length is not None and layout.padding is None:
        for padding in sorted(compared):
            # an id that the graph compares with is padding only if shorter sequences come out right
            padded = replace(model, layout=replace(layout, padding=padding))
            excess = _excess(padded, _random(padded, words, seed))
            if excess <= 1:
                model = padded
                break
    if not excess <= 1:  # not `excess > 1`, which is false for NaN
        excess = _excess(model, questions)
    if not excess <= 1:
        raise ModelFileError(
            f"the network as read differs from onnxruntime by {excess * TOLERANCE:.3g} on random sequences,"
            f" limit {TOLERANCE:g}"
        )
    return _with_special_ids(model, sorted(compared), words, seed)


def _random(model: FloatModel, words: I64, seed: int) -> list[I64]:
    """Return random sequences of words, of lengths that the model takes."""
    rng = np.random.default_rng(seed)
    longest = LONGEST if model.layout.length is None else model.layout.length
    lengths = [n for n in range(1, longest + 1) if model.layout.can_run(n)]
    return [rng.choice(words, lengths[i % len(lengths)]) for i in range(SEQUENCES)]


def _excess(model: FloatModel, asked: list[I64], read: list[I64] | None = None) -> float:
    """Return the largest difference of a logit, in units of the allowed difference.

    `asked` goes to onnxruntime, `read` to the network as read; None: the same.
    """
    wanted = model.run(asked)
    got = model.network.logits(asked if read is None else read)
    if wanted.shape != got.shape:
        raise ModelFileError(
            f"head: {wanted.shape[1]} outputs in onnxruntime, {got.shape[1]} as read"
        )
    allowed = TOLERANCE * (1 + SHARE * np.abs(wanted).max(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        return float((np.abs(wanted - got) / allowed).max())


def _with_special_ids(model: FloatModel, compared: list[int], words: I64, seed: int) -> FloatModel:
    """Find out what the model does to the ids that its graph compares its words with."""
    skipped: set[int] = set()
    unusable: dict[int, str] = {}
    for i in compared:
        inside, behind, plain = _placements(model, i, words, seed)
        if _excess(model, inside, plain) <= 1:
            skipped.add(i)
        elif not _excess(model, inside) <= 1:  # else it is a word like others
            at_end = behind and _excess(model, behind, plain[: len(behind)]) <= 1
            unusable[i] = AT_THE_END if at_end else IN_ITS_OWN_WAY
    return replace(model, skipped=frozenset(skipped), unusable=unusable)


def _placements(
    model: FloatModel, i: int, words: I64, seed: int
) -> tuple[list[I64], list[I64], list[I64]]:
    """Return sequences with the id `i` anywhere in them, with as many of it at the end, and without it."""
    rng = np.random.default_rng(seed)
    layout = model.layout
    longest = 9 if layout.length is None else layout.length
    inside, behind, plain = [], [], []
    for at in range(SEQUENCES // 4):
        n = longest
        if layout.length is None or layout.padding is not None:
            n = int(rng.integers(min(3, longest), longest + 1))
        k = min(1 + at % 2, n - 1)
        question = rng.choice(words, n - k)
        # first at the start, then at the end, then anywhere
        place = [0, n - k][at] if at < 2 else int(rng.integers(0, n - k + 1))
        inside.append(np.insert(question, place, [i] * k))
        behind.append(np.append(question, [i] * k))
        plain.append(question)
    return inside, behind, plain
