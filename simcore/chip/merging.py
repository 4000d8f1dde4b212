"""Find what a core says twice: neurons and axons that cannot differ, by partition refinement (see program.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .. import limits
from .tables import KIND_NOISY, core_kinds, weight_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..image import CoreImage


_PARAMETERS: Final = (
    "leak",
    "threshold",
    "neg_threshold",
    "reset",
    "reset_mode",
    "kappa",
    "epsilon",
    "potential",
)
"""What tells two neurons of a deterministic core apart, beside their weights."""


def is_plain(image: CoreImage) -> bool:
    """Tell whether every neuron has linear reset, kappa and no leak reversal, and can neither stick nor underflow.

    Neurons that nothing drives and that never fire (blank ones) may be anything.
    """
    blank = (
        (~image.synapses()[0].any(axis=0))
        & (image.leak[0] == 0)
        & (image.potential[0] < image.threshold[0])
    )
    blank &= image.potential[0] >= -image.neg_threshold[0]
    if core_kinds(image)[0] == KIND_NOISY:
        return False
    plain = (image.reset_mode[0] == 1) & (image.kappa[0] == 1) & (image.epsilon[0] == 0)
    # a floor below the threshold, and a start from which one tick's drive cannot reach the 20-bit floor
    plain &= image.threshold[0] + image.neg_threshold[0] > 0
    plain &= image.potential[0] >= -limits.THRESHOLD_MAX
    return bool((plain | blank).all())


def refine(image: CoreImage) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split neurons and axons until equal classes cannot differ; axons without any source get signal -1."""
    weight = weight_rows(image)[0].astype(np.int64)
    parameters = np.stack([getattr(image, name)[0].astype(np.int64) for name in _PARAMETERS])
    classes = _number(list(map(tuple, parameters.T.tolist())))
    sources: list[list[tuple[int, int, int]]] = [[] for _ in range(limits.AXONS)]
    for line, _, axon in image.inputs.tolist():
        sources[axon].append((0, line, 0))
    recurrent = np.flatnonzero(image.target_core[0] >= 0)
    while True:
        keys: list[tuple[tuple[int, int, int], ...]] = []
        arriving: list[set[tuple[int, int, int]]] = [set(s) for s in sources]
        for j in recurrent:
            arriving[image.target_axon[0, j]].add((1, int(classes[j]), int(image.delay[0, j])))
        keys = [tuple(sorted(s)) for s in arriving]
        signals = _number(keys)
        silent = np.array([not key for key in keys])
        summed = np.zeros((signals.max() + 1, limits.NEURONS), dtype=np.int64)
        np.add.at(summed, signals[~silent], weight[~silent])
        finer = _number(list(zip(classes.tolist(), map(tuple, summed.T.tolist()), strict=True)))
        if finer.max() == classes.max():
            break
        classes = finer
    used = np.unique(signals[~silent])
    number = np.full(signals.max() + 1, -1)
    number[used] = np.arange(len(used))
    return classes, number[signals]


def _number(keys: Sequence[object]) -> NDArray[np.intp]:
    """Give equal keys equal numbers, in order of their first appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
