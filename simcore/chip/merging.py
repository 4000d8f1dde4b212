"""Find the neurons and axons of a core that behave identically, by partition refinement (see `derive.py`).

Refinement starts from the coarsest partition, in which all neurons with equal parameters are one class, and splits
classes until none has members that the others could tell apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .. import limits
from .constants import KIND_NOISY
from .tables import core_kinds, weight_rows

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
"""The parameters, apart from weights, in which two neurons of a deterministic core can differ."""


def is_plain(image: CoreImage) -> bool:
    """Return whether every neuron of core 0 can be run in the arithmetic of the derived-network kernel.

    That is linear reset, kappa = 1 and no leak reversal, a floor below the threshold, and an initial potential from
    which no tick reaches the 20-bit floor.  Neurons that nothing drives and that never fire (blank ones) can have any
    mode.
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
    # The floor -beta is below the threshold: a neuron at its floor does not fire.
    plain &= image.threshold[0] + image.neg_threshold[0] > 0
    # Later potentials are at least -beta >= -THRESHOLD_MAX; from there one tick cannot reach POTENTIAL_MIN.
    plain &= image.potential[0] >= -limits.THRESHOLD_MAX
    return bool((plain | blank).all())


def refine(image: CoreImage) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split neurons into classes and axons into signals until the members of each behave identically.

    Returns
    -------
    classes : intp (256,)
        The class of each neuron.
    signals : intp (256,)
        The signal of each axon; -1 for an axon without any source.

    """
    weight = weight_rows(image)[0].astype(np.int64)
    parameters = np.stack([getattr(image, name)[0].astype(np.int64) for name in _PARAMETERS])
    classes = _number(list(map(tuple, parameters.T.tolist())))
    sources: list[list[tuple[int, int, int]]] = [[] for _ in range(limits.AXONS)]
    for line, _, axon in image.inputs.tolist():
        sources[axon].append((0, line, 0))
    recurrent = np.flatnonzero(image.target_core[0] >= 0)
    while True:
        # Several spikes on an axon in one tick merge, so what matters is the set of its sources.
        arriving: list[set[tuple[int, int, int]]] = [set(s) for s in sources]
        for j in recurrent:
            arriving[image.target_axon[0, j]].add((1, int(classes[j]), int(image.delay[0, j])))
        keys: list[tuple[tuple[int, int, int], ...]] = [tuple(sorted(s)) for s in arriving]
        signals = _number(keys)
        silent = np.array([not key for key in keys])
        summed = np.zeros((signals.max() + 1, limits.NEURONS), dtype=np.int64)
        np.add.at(summed, signals[~silent], weight[~silent])
        # The old class is part of the key, so classes are only ever split: an equal number of them means no change.
        finer = _number(list(zip(classes.tolist(), map(tuple, summed.T.tolist()), strict=True)))
        if finer.max() == classes.max():
            break
        classes = finer
    used = np.unique(signals[~silent])
    number = np.full(signals.max() + 1, -1)
    number[used] = np.arange(len(used))
    return classes, number[signals]


def _number(keys: Sequence[object]) -> NDArray[np.intp]:
    """Assign numbers to keys, in order of their first appearance; equal keys get equal numbers."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
