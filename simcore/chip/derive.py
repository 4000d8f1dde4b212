"""Derive a smaller network that gives exactly the answers of a core image, for the derived-network kernel.

A converted network is redundant: a hidden unit is four identical neurons, an input line feeds four axons that always
carry the same spikes, and the readout neurons of a class differ only in their leak.  `derive` finds such redundancy in
any one-core image by partition refinement (`merging.py`):

- axons with the same sources (input lines, and classes of neurons with a delay) are one *signal*;
- neurons with the same parameters and the same summed weight from every signal are one *class*.

By induction over ticks, the members of a class have the same potential and the same spikes.  Classes with the same
weights share one *drive*.  Counts remain those of the chip: each class records how many spikes and synaptic events of
the chip one of its spikes stands for.

In converted networks all recurrent spikes have the same delay, so none arrives in the block of `delay` ticks in which
it was fired.  The kernel runs block by block: it knows all drives of a block before it computes the first potential.
Bounds prove the integer widths.  When the image is loaded, drives are shown to fit 16 bits.  A block in which every
potential begins below a *guard* cannot reach the chip's 20-bit ceiling, so 32 bits need not saturate; the chip kernel
answers the questions in which a potential begins above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import limits
from .constants import MAX_LANES, SIGNALS
from .lanes import (
    INT16_MAX,
    INT16_MIN,
    UINT16_MAX,
    exit_spikes,
    exit_table,
    group_by_drive,
    lane_table,
    lines_of_groups,
    narrow_lanes,
    reduce_groups,
    relative_to_threshold,
    subset_sums,
)
from .merging import is_plain, refine
from .tables import weight_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..image import CoreImage


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DerivedNetwork:
    """The smaller equal network of a core image, laid out for the kernel.

    A lane is a position in the kernel's vectors.  First come the hidden neurons (one lane for each signal that a class
    feeds), then the drives that output neurons read, then two counters of the spikes that arrive (synaptic events, and
    spikes sent by neurons); the rest is padding.

    Attributes
    ----------
    sums : int16 (8, 256, lanes)
        sums[g, b] is the drive of those of the signals 8 g .. 8 g + 7 whose bits are set in b; group 0 includes the
        leak of hidden lanes.  Counters are uint16 in the same bits.
    lanes : int32 (4, lanes)
        Initial potential, threshold, floor and guard of hidden lanes; all but the threshold are relative to it.
    narrow : int16 (3, lanes) or (0, lanes)
        Threshold and floor of hidden lanes, and -1 for hidden lanes or 0 for others; empty if they do not fit 16 bits.
    hidden, drives : int
        Number of hidden lanes, and of drives.
    shift : int
        Number of the signal of hidden lane 0; the signals before it are those of input lines.
    delay : int
        Ticks from a hidden spike to its arrival, 1..15.
    spikes_of_lane : int32 (hidden,)
        Spikes of the chip that one spike of a hidden lane stands for.
    outputs : int32 (5, n)
        Initial potential, leak, threshold, floor and guard of the output classes, drive by drive, with padding;
        potentials are relative to the threshold.
    group_start : int32 (drives + 1,)
        The columns group_start[d] .. group_start[d + 1] - 1 of `outputs` read drive d.
    group_line : int32 (drives,)
        The output line of all neurons that read a drive; -1 if they have different ones.
    most_leak : int32 (drives,)
        Largest leak of the classes that read each drive.
    at_floor : uint8 (drives,)
        Whether all classes that read a drive begin at their floor.
    output_spikes : int32 (n,)
        Spikes of the chip that one spike of an output class stands for; 0 for padding.
    exit_start, exits : int32 (n + 1,) and (m, 2)
        exits[exit_start[i] .. exit_start[i + 1] - 1] are the output lines of class i, and how many of its neurons
        drive each.
    leaving_spikes, leaving_start, leaving_exits : int32 (hidden,), (hidden + 1,) and (m, 2)
        The same for hidden lanes whose class also drives output lines; 0 spikes for the others.
    line_signals : uint64 (input lines,)
        Bits of the signals that each input line feeds.
    line_spikes : int32 (input lines,)
        Axons of the chip that one spike on each line reaches.

    """

    sums: NDArray[np.int16]
    lanes: NDArray[np.int32]
    narrow: NDArray[np.int16]
    hidden: int
    drives: int
    shift: int
    delay: int
    spikes_of_lane: NDArray[np.int32]
    outputs: NDArray[np.int32]
    group_start: NDArray[np.int32]
    group_line: NDArray[np.int32]
    most_leak: NDArray[np.int32]
    at_floor: NDArray[np.uint8]
    output_spikes: NDArray[np.int32]
    exit_start: NDArray[np.int32]
    exits: NDArray[np.int32]
    leaving_spikes: NDArray[np.int32]
    leaving_start: NDArray[np.int32]
    leaving_exits: NDArray[np.int32]
    line_signals: NDArray[np.uint64]
    line_spikes: NDArray[np.int32]


def derive(image: CoreImage) -> DerivedNetwork | None:
    """Derive the smaller network of an image.

    Parameters
    ----------
    image
        A valid image.

    Returns
    -------
    DerivedNetwork or None
        None if the kernel cannot run it: the image has several cores; neurons have other modes than the converter's
        (linear reset, kappa, no leak reversal); recurrent connections have different delays; an axon has sources in
        several classes, or both neurons and input lines; more than 64 signals, or more than 126 hidden neurons and
        drives, are left after merging; drives could leave 16 bits, or potentials begin near the 20-bit ceiling.

    """
    if image.cores != 1 or not is_plain(image):
        return None
    classes, signals = refine(image)
    try:
        return _Builder(image, classes, signals).build()
    except _NotDerivableError:
        return None


class _NotDerivableError(Exception):
    """The derived-network kernel cannot run this network."""


class _Builder:
    """Compute the arrays of a `DerivedNetwork` from classes and signals."""

    def __init__(
        self, image: CoreImage, classes: NDArray[np.intp], signals: NDArray[np.intp]
    ) -> None:
        self.image = image
        self.classes = classes
        self.first = np.unique(classes, return_index=True)[1]
        routed = np.flatnonzero(image.target_core[0] >= 0)
        fed = signals[image.target_axon[0, routed]]
        routes, self.copies = np.unique(
            np.stack([classes[routed], fed], axis=1), axis=0, return_counts=True
        )
        self.hidden, recurrent = routes.T
        delays = np.unique(image.delay[0, routed])
        # Without recurrent connections a block may have any length; the kernel has memory for DELAY_MAX ticks.
        self.delay = int(delays[0]) if len(delays) else limits.DELAY_MAX
        inputs = np.unique(signals[image.inputs[:, 2]])
        self.shift = len(inputs)
        # Number the signals: those of input lines first, then one for each hidden lane, in the order of the lanes.
        order = np.concatenate([inputs, recurrent])
        # A signal twice in `order` has several sources.
        if len(delays) > 1 or len(np.unique(order)) != len(order) or len(order) > SIGNALS:
            raise _NotDerivableError
        # One entry more than there are signals, so that signal -1 (an axon without any source) indexes a -1.
        number = np.full(int(signals.max(initial=-1)) + 2, -1)
        number[order] = np.arange(len(order))
        self.signals = number[signals]
        self.weights = self._add_up(weight_rows(image)[0].astype(np.int64))

    def _add_up(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum the rows (axon by axon) of all axons that carry each signal, int64 (SIGNALS, ...)."""
        total = np.zeros((SIGNALS, *values.shape[1:]), dtype=np.int64)
        carried = self.signals >= 0
        np.add.at(total, self.signals[carried], values[carried])
        return total

    def build(self) -> DerivedNetwork:
        """Compute all arrays.

        Raises
        ------
        _NotDerivableError
            A bound of the kernel does not hold.

        """
        leaving = np.flatnonzero(self.image.target_core[0] == limits.TARGET_OUTPUT)
        exits = self._exits(leaving)
        of_hidden = np.isin(exits[:, 0], self.hidden)
        columns, outputs = self._outputs(exits[~of_hidden])
        hidden = self._neurons(self.hidden)
        own = self.weights[:, self.first[self.hidden]]
        drives = np.concatenate([own, columns, self._counters()], axis=1)
        if drives.shape[1] > MAX_LANES:
            raise _NotDerivableError
        lanes = lane_table(hidden, self._guard(hidden, own), drives.shape[1])
        # A class that feeds several signals has several lanes: only the first of them counts its output spikes.
        again = np.array([c in self.hidden[:j] for j, c in enumerate(self.hidden)], dtype=np.bool_)
        leaving_start, leaving_exits = exit_table(
            exits[of_hidden], np.where(again, -1, self.hidden)
        )
        return DerivedNetwork(
            sums=subset_sums(drives, hidden[1]),
            lanes=lanes,
            narrow=narrow_lanes(lanes, len(self.hidden)),
            hidden=len(self.hidden),
            drives=columns.shape[1],
            shift=self.shift,
            delay=self.delay,
            spikes_of_lane=self.copies.astype(np.int32),
            leaving_spikes=exit_spikes(leaving_start, leaving_exits),
            leaving_start=leaving_start,
            leaving_exits=leaving_exits,
            **outputs,
            **self._lines(),
        )

    def _outputs(self, exits: NDArray[np.int64]) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Compute the fields of the classes that only drive output lines.

        Parameters
        ----------
        exits
            As `_exits` returns, for these classes only.

        Returns
        -------
        columns, fields
            Weight of each signal in each drive, (SIGNALS, drives); the fields of a `DerivedNetwork`.

        """
        output = np.unique(exits[:, 0])
        columns, drive = np.unique(self.weights[:, self.first[output]], axis=1, return_inverse=True)
        units, real, group_start = group_by_drive(output, drive.reshape(-1))
        neurons = self._neurons(units)
        every_drive = columns[:, np.repeat(np.arange(columns.shape[1]), np.diff(group_start))]
        guard = self._guard(neurons, every_drive)
        at_floor = neurons[0] == neurons[3]
        exit_start, table = exit_table(exits, np.where(real, units, -1))
        return columns, {
            "outputs": np.vstack([relative_to_threshold(neurons), guard[None]]).astype(np.int32),
            "group_start": group_start.astype(np.int32),
            "group_line": lines_of_groups(exit_start, table, group_start),
            "most_leak": reduce_groups(np.maximum, neurons[1], group_start).astype(np.int32),
            "at_floor": reduce_groups(np.logical_and, at_floor, group_start).astype(np.uint8),
            "output_spikes": exit_spikes(exit_start, table),
            "exit_start": exit_start,
            "exits": table,
        }

    def _neurons(self, classes: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return initial potential, leak, threshold and floor of classes, int64 (4, classes)."""
        image = self.image
        table = [image.potential[0], image.leak[0], image.threshold[0], -image.neg_threshold[0]]
        return np.stack(table).astype(np.int64)[:, self.first[classes]]

    def _guard(self, neurons: NDArray[np.int64], drives: NDArray[np.int64]) -> NDArray[np.int64]:
        """Compute the guard: the highest potential, relative to the threshold, at which a block may begin.

        From there, `delay` ticks of the largest drive end at most at POTENTIAL_MAX, so the chip would not saturate.

        Parameters
        ----------
        neurons : int64 (4, n)
            As `_neurons` returns.
        drives : int64 (SIGNALS, n)
            Weight of each signal on each neuron.

        Raises
        ------
        _NotDerivableError
            A drive could leave 16 bits, or a potential begins above its guard.

        """
        positive, negative = drives.clip(min=0).sum(axis=0), drives.clip(max=0).sum(axis=0)
        potential, leak, threshold, _ = neurons
        guard: NDArray[np.int64] = limits.POTENTIAL_MAX - self.delay * (positive + leak.clip(min=0))
        # The extremes of a drive: all its excitatory, or all its inhibitory signals spike.  The drives of hidden lanes
        # include the leak (`subset_sums`), those of output lanes do not, so both are checked.
        fits = (np.maximum(positive, positive + leak) <= INT16_MAX).all()
        fits &= (np.minimum(negative, negative + leak) >= INT16_MIN).all()
        if not fits or (potential > guard).any():
            raise _NotDerivableError
        relative: NDArray[np.int64] = guard - threshold
        return relative

    def _counters(self) -> NDArray[np.int64]:
        """Count the synaptic events and the sent spikes that one spike of each signal stands for, (SIGNALS, 2)."""
        counters = np.zeros((SIGNALS, 2), dtype=np.int64)
        counters[:, 0] = self._add_up(self.image.synapses()[0].sum(axis=1, dtype=np.int64))
        counters[self.shift : self.shift + len(self.copies), 1] = self.copies
        # All signals can spike in one tick; the kernel sums both counters modulo 2^16.
        if (counters.sum(axis=0) > UINT16_MAX).any():
            raise _NotDerivableError
        return counters

    def _exits(self, neurons: NDArray[np.intp]) -> NDArray[np.int64]:
        """Count the neurons of each class that drive each output line: rows of class, line and number, (n, 3)."""
        pairs = np.stack([self.classes[neurons], self.image.target_axon[0, neurons]], axis=1)
        exits, count = np.unique(pairs, axis=0, return_counts=True)
        return np.concatenate([exits, count[:, None]], axis=1)

    def _lines(self) -> dict[str, Any]:
        """Compute the fields of the input lines."""
        line, axon = self.image.inputs[:, 0], self.image.inputs[:, 2]
        line_signals = np.zeros(self.image.input_lines, dtype=np.uint64)
        np.bitwise_or.at(line_signals, line, np.uint64(1) << self.signals[axon].astype(np.uint64))
        line_spikes = np.bincount(line, minlength=len(line_signals))
        return {"line_signals": line_signals, "line_spikes": line_spikes.astype(np.int32)}
