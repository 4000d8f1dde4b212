"""Derive a smaller network that answers exactly as a core image does, for the program kernel.

A converted network says the same thing many times: a hidden unit is four identical neurons, a line four axons that
always carry the same spikes, and the readout neurons of a class differ in their leak alone.  `derive` finds such
repetitions in any one-core image by partition refinement, from the coarsest guess down:

- axons are the same *signal* when they have the same sources: input lines, and classes of neurons at a delay;
- neurons are the same *class* when they have the same parameters and the same summed weight from every signal.

By induction over ticks, members of a class then have the same potential and the same spikes.  Classes with the same
weights share one *drive*.  Counts stay those of the chip: every class knows how many spikes and synaptic events one
of its spikes stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import limits
from .tables import KIND_NOISY, core_kinds, neuron_table, weight_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .image import CoreImage

LANES: Final = 16
"""Drives are padded to a multiple of this, the 16-bit lanes of a 256-bit vector."""

INT16_MAX: Final = 2**15 - 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Program:
    """The derived network.

    Attributes
    ----------
    weights : int16 (signals, drives)
        Summed weights; drives are padded with zeros to a multiple of LANES.
    events : int32 (signals,)
        Synaptic events of one spike.
    neurons : int32 (4, classes)
        Initial potential, leak, threshold and -neg_threshold; classes are ordered by drive.
    groups : int32 (drives in use + 1,)
        Classes groups[d]..groups[d + 1] - 1 have drive d; the drives of a single class come first.
    singles : int
        Drives of a single class.
    line_start, line_signals : int32
        Signals line_signals[line_start[l]..] of input line l.
    line_spikes : int32 (lines,)
        Axons that one spike of each line reaches on the chip.
    route_start, routes : int32 (classes + 1,) and (n, 2)
        Signal and delay of each class's routes.
    hidden_spikes, output_spikes : int32 (classes,)
        Spikes of each kind that one spike of a class stands for.
    exit_start, exits : int32 (classes + 1,) and (n, 2)
        Output line of each class, and how many neurons drive it.

    """

    weights: NDArray[np.int16]
    events: NDArray[np.int32]
    neurons: NDArray[np.int32]
    groups: NDArray[np.int32]
    singles: int
    line_start: NDArray[np.int32]
    line_signals: NDArray[np.int32]
    line_spikes: NDArray[np.int32]
    route_start: NDArray[np.int32]
    routes: NDArray[np.int32]
    hidden_spikes: NDArray[np.int32]
    output_spikes: NDArray[np.int32]
    exit_start: NDArray[np.int32]
    exits: NDArray[np.int32]

    @property
    def tables(self) -> tuple[Any, ...]:
        """All fields, in the order in which the kernel takes them."""
        return tuple(getattr(self, field.name) for field in fields(self))


def derive(image: CoreImage, lines: int) -> Program | None:
    """Derive the program of an image.

    Parameters
    ----------
    image
        A valid image.
    lines
        Input lines of its rasters.

    Returns
    -------
    Program or None
        None where the kernel could not run it: an image of several cores, one whose drives could leave 16 bits, or
        one with neurons of other modes than the converter's (linear reset, kappa, no leak reversal).

    """
    if image.cores != 1 or not _is_plain(image):
        return None
    classes, signals = _refine(image)
    return _Builder(image, classes, signals, lines).build()


def _is_plain(image: CoreImage) -> bool:
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


def _refine(image: CoreImage) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split neurons and axons until equal classes cannot differ; axons without any source get signal -1."""
    weight = weight_rows(image)[0].astype(np.int64)
    parameters = np.vstack([neuron_table(image)[0], image.potential[0]])
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


class _Builder:
    """Lay the classes out for the kernel."""

    def __init__(
        self, image: CoreImage, classes: NDArray[np.intp], signals: NDArray[np.intp], lines: int
    ) -> None:
        self.image = image
        self.lines = lines
        self.signals = signals
        count = int(signals.max()) + 1
        carried = signals >= 0
        weight = np.zeros((count, limits.NEURONS), dtype=np.int64)
        np.add.at(weight, signals[carried], weight_rows(image)[0].astype(np.int64)[carried])
        self.events = np.zeros(count, dtype=np.int32)
        fan_out = image.synapses()[0].sum(axis=1)
        np.add.at(self.events, signals[carried], fan_out[carried])
        first = np.unique(classes, return_index=True)[1]
        columns = weight[:, first]
        distinct, drive = np.unique(columns, axis=1, return_inverse=True)
        drive = drive.reshape(-1)
        size = np.bincount(drive)
        # drives of one class first, so that the kernel updates those without indirection
        rank = np.empty(len(size), dtype=np.intp)
        rank[np.lexsort((np.arange(len(size)), size > 1))] = np.arange(len(size))
        order = np.argsort(rank[drive], kind="stable")
        self.first = first[order]
        number = np.empty(len(order), dtype=np.intp)
        number[order] = np.arange(len(order))
        self.classes = number[classes]
        self.distinct = distinct[:, np.argsort(rank)]
        self.groups = np.concatenate([[0], np.cumsum(size[np.argsort(rank)])])
        self.singles = int((size == 1).sum())

    def build(self) -> Program | None:
        positive = np.where(self.distinct > 0, self.distinct, 0).sum(axis=0, initial=0)
        negative = np.where(self.distinct < 0, self.distinct, 0).sum(axis=0, initial=0)
        if max(positive.max(initial=0), -negative.min(initial=0)) > INT16_MAX:
            return None
        drives = self.distinct.shape[1]
        weights = np.zeros((len(self.distinct), -(-drives // LANES) * LANES), dtype=np.int16)
        weights[:, :drives] = self.distinct
        image, n = self.image, len(self.first)
        line_start, line_signals = self._lines()
        routed = image.target_core[0] >= 0
        leaving = image.target_core[0] == limits.TARGET_OUTPUT
        target = np.where(routed, self.signals[image.target_axon[0] % limits.AXONS], -1)
        routes = np.unique(np.stack([self.classes, target, image.delay[0]], axis=1)[routed], axis=0)
        exits, neurons = np.unique(
            np.stack([self.classes, image.target_axon[0]], axis=1)[leaving],
            axis=0,
            return_counts=True,
        )
        return Program(
            weights=weights,
            events=self.events,
            neurons=np.ascontiguousarray(
                np.stack(
                    [image.potential[0], image.leak[0], image.threshold[0], -image.neg_threshold[0]]
                )[:, self.first],
                dtype=np.int32,
            ),
            groups=self.groups.astype(np.int32),
            singles=self.singles,
            line_start=line_start,
            line_signals=line_signals,
            line_spikes=np.bincount(image.inputs[:, 0], minlength=self.lines).astype(np.int32),
            route_start=np.searchsorted(routes[:, 0], np.arange(n + 1)).astype(np.int32),
            routes=np.ascontiguousarray(routes[:, 1:], dtype=np.int32),
            hidden_spikes=np.bincount(self.classes[routed], minlength=n).astype(np.int32),
            output_spikes=np.bincount(self.classes[leaving], minlength=n).astype(np.int32),
            exit_start=np.searchsorted(exits[:, 0], np.arange(n + 1)).astype(np.int32),
            exits=np.stack([exits[:, 1], neurons], axis=1).astype(np.int32),
        )

    def _lines(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        pairs = np.stack([self.image.inputs[:, 0], self.signals[self.image.inputs[:, 2]]], axis=1)
        pairs = np.unique(pairs, axis=0)
        start = np.searchsorted(pairs[:, 0], np.arange(self.lines + 1))
        return start.astype(np.int32), np.ascontiguousarray(pairs[:, 1], dtype=np.int32)
