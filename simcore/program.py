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
    lines_are_signals : bool
        Input line l feeds signal l and no other, for all lines.
    line_start, line_signals : int32
        Signals line_signals[line_start[l]..] of input line l.
    line_spikes : int32 (lines,)
        Axons that one spike of each line reaches on the chip.
    first_signal, common_delay : int
        If first_signal >= 0: class j of the first drives feeds signal first_signal + j and no other, all after the
        same delay, and no other class feeds any.
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
    lines_are_signals: bool
    line_start: NDArray[np.int32]
    line_signals: NDArray[np.int32]
    line_spikes: NDArray[np.int32]
    first_signal: int
    common_delay: int
    route_start: NDArray[np.int32]
    routes: NDArray[np.int32]
    hidden_spikes: NDArray[np.int32]
    output_spikes: NDArray[np.int32]
    exit_start: NDArray[np.int32]
    exits: NDArray[np.int32]

    def runner_arguments(self) -> tuple[Any, ...]:
        """List what the kernel's ProgramRunner takes: all fields, and what follows from them."""
        leak, routed = self.neurons[1], self.hidden_spikes > 0
        leaving = np.zeros(limits.NEURONS, dtype=np.bool_)
        leaving[: len(self.output_spikes)] = self.output_spikes > 0
        return (
            *(getattr(self, field.name) for field in fields(self)),
            np.maximum.reduceat(leak, self.groups[:-1]).astype(np.int32),
            np.packbits(leaving, bitorder="little").view("<u8").astype(np.uint64),
            len(np.unique(self.line_spikes)) == 1,
            len(np.unique(self.hidden_spikes[routed])) == 1
            and bool(routed[: len(self.routes)].all()),
        )


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
        None where the kernel could not run it: an image of several cores, one that nothing drives, one whose drives
        could leave 16 bits, or one with neurons of other modes than the converter's (linear reset, kappa, no leak
        reversal).

    """
    if image.cores != 1 or not _is_plain(image):
        return None
    classes, signals = _refine(image)
    if not (signals >= 0).any() or lines == 0:
        return None
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
        weight = self._add_up(weight_rows(image)[0].astype(np.int64), signals)
        first = np.unique(classes, return_index=True)[1]
        _, drive = np.unique(weight[:, first], axis=1, return_inverse=True)
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
        self.groups = np.concatenate([[0], np.cumsum(size[np.argsort(rank)])])
        self.singles = int((size == 1).sum())
        self.signals = self._in_order(signals)
        fan_out = image.synapses()[0].sum(axis=1, dtype=np.int64)
        self.events = self._add_up(fan_out, self.signals).astype(np.int32)
        everything = self._add_up(weight_rows(image)[0].astype(np.int64), self.signals)
        self.distinct = everything[:, self.first[self.groups[:-1]]]

    @staticmethod
    def _add_up(values: NDArray[np.int64], signals: NDArray[np.intp]) -> NDArray[np.int64]:
        """Add the rows of each signal's axons."""
        total = np.zeros((int(signals.max()) + 1, *values.shape[1:]), dtype=np.int64)
        carried = signals >= 0
        np.add.at(total, signals[carried], values[carried])
        return total

    def _in_order(self, signals: NDArray[np.intp]) -> NDArray[np.intp]:
        """Give signals new numbers: those of input lines by line, then those of classes by class."""
        image = self.image
        count = int(signals.max()) + 1
        key = np.full(count, 2**40)
        routed = np.flatnonzero(image.target_core[0] >= 0)
        np.minimum.at(key, signals[image.target_axon[0, routed]], 2**20 + self.classes[routed])
        np.minimum.at(key, signals[image.inputs[:, 2]], image.inputs[:, 0].astype(np.int64))
        number = np.empty(count + 1, dtype=np.intp)
        number[np.argsort(key, kind="stable")] = np.arange(count)
        number[-1] = -1
        return number[signals]

    def build(self) -> Program | None:
        positive = np.where(self.distinct > 0, self.distinct, 0).sum(axis=0, initial=0)
        negative = np.where(self.distinct < 0, self.distinct, 0).sum(axis=0, initial=0)
        if max(positive.max(initial=0), -negative.min(initial=0)) > INT16_MAX:
            return None
        drives = self.distinct.shape[1]
        weights = np.zeros((len(self.distinct), -(-drives // LANES) * LANES), dtype=np.int16)
        weights[:, :drives] = self.distinct
        image, n = self.image, len(self.first)
        routed = image.target_core[0] >= 0
        leaving = image.target_core[0] == limits.TARGET_OUTPUT
        target = np.where(routed, self.signals[image.target_axon[0] % limits.AXONS], -1)
        routes = np.unique(np.stack([self.classes, target, image.delay[0]], axis=1)[routed], axis=0)
        exits, neurons = np.unique(
            np.stack([self.classes, image.target_axon[0]], axis=1)[leaving],
            axis=0,
            return_counts=True,
        )
        line_start, line_signals = self._lines()
        first_signal, common_delay = self._common_route(routes)
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
            lines_are_signals=bool(
                np.array_equal(line_start, np.arange(self.lines + 1))
                and np.array_equal(line_signals, np.arange(self.lines))
            ),
            line_start=line_start,
            line_signals=line_signals,
            line_spikes=np.bincount(image.inputs[:, 0], minlength=self.lines).astype(np.int32),
            first_signal=first_signal,
            common_delay=common_delay,
            route_start=np.searchsorted(routes[:, 0], np.arange(n + 1)).astype(np.int32),
            routes=np.ascontiguousarray(routes[:, 1:], dtype=np.int32),
            hidden_spikes=np.bincount(self.classes[routed], minlength=n).astype(np.int32),
            output_spikes=np.bincount(self.classes[leaving], minlength=n).astype(np.int32),
            exit_start=np.searchsorted(exits[:, 0], np.arange(n + 1)).astype(np.int32),
            exits=np.stack([exits[:, 1], neurons], axis=1).astype(np.int32),
        )

    def _common_route(self, routes: NDArray[np.int64]) -> tuple[int, int]:
        """See Program.first_signal; (-1, 0) where routes are not of that form, or do not fit one 64-bit word."""
        n = len(routes)
        if n == 0 or n > min(self.singles, 64):
            return -1, 0
        first, delay = int(routes[0, 1]), int(routes[0, 2])
        wanted = np.stack([np.arange(n), first + np.arange(n), np.full(n, delay)], axis=1)
        fits = np.array_equal(routes, wanted) and len(self.distinct) <= 64
        return (first, delay) if fits else (-1, 0)

    def _lines(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        pairs = np.stack([self.image.inputs[:, 0], self.signals[self.image.inputs[:, 2]]], axis=1)
        pairs = np.unique(pairs, axis=0)
        start = np.searchsorted(pairs[:, 0], np.arange(self.lines + 1))
        return start.astype(np.int32), np.ascontiguousarray(pairs[:, 1], dtype=np.int32)
