"""Derive a smaller network that answers exactly as a core image does, for the program kernel.

A converted network says the same thing many times: a hidden unit is four identical neurons, a line four axons that
always carry the same spikes, and the readout neurons of a class differ in their leak alone.  `derive` finds such
repetitions in any one-core image by partition refinement, from the coarsest guess down:

- axons are the same *signal* when they have the same sources: input lines, and classes of neurons at a delay;
- neurons are the same *class* when they have the same parameters and the same summed weight from every signal.

By induction over ticks, members of a class then have the same potential and the same spikes.  Classes with the same
weights share one *drive*.  Counts stay those of the chip: every class knows how many spikes and synaptic events one
of its spikes stands for.

Where all recurrent spikes take the same delay, as in converted networks, they never arrive in the block of ticks in
which they were fired.  The kernel runs such blocks: all drives of a block are known before its first potential.
Widths come from bounds: drives are proven to fit 16 bits when the image is loaded, and potentials in 32 bits stay
below the chip's 20-bit ceiling in a block that begins below a *guard*; a question that passes it is answered by the
chip kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from .merging import is_plain, refine
from .tables import weight_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..image import CoreImage

LANES: Final = 16
"""Lanes are padded to a multiple of this: 16-bit lanes of a 256-bit vector (`_derived.h`)."""

MAX_LANES: Final = 128
"""Hidden lanes, drives of output neurons, and two counters: no more than eight vectors."""

SIGNALS: Final = 64
"""Signals of the derived network, at most: the bits of one word, and the lines of a core of four axons each."""

OUT: Final = (8, 16)
"""Output neurons of a drive are padded to 8, or to a multiple of 16."""

INT16_MAX: Final = 2**15 - 1
INT16_MIN: Final = -(2**15)
UINT16_MAX: Final = 2**16 - 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Program:
    """The derived network.

    A lane is a place in the kernel's vectors: first the hidden neurons (one for each signal that a class feeds), then
    the drives that output neurons read, then two counters (synaptic events, and spikes sent by neurons, of what
    arrives); the rest is padding.

    Attributes
    ----------
    sums : int16 (8, 256, lanes)
        Drive of the signals 8 g .. 8 g + 7 for each way b in which they can spike, sums[g, b]; the leak of hidden
        lanes is part of group 0.  Counters are to be read as uint16.
    lanes : int32 (4, lanes)
        Of hidden lanes: initial potential, threshold, floor and guard; all but the threshold relative to it.
    narrow : int16 (3, lanes) or (0, lanes)
        Threshold and floor of hidden lanes, and -1 for them, 0 for others; none where they do not fit 16 bits.
    hidden, drives : int
        Number of hidden lanes, and of drives.
    shift : int
        Signal of hidden lane 0; the signals before it are those of input lines.
    delay : int
        Ticks from a hidden spike to its arrival.
    spikes_of_lane : int32 (hidden,)
        Neurons that one spike of a hidden lane stands for.
    outputs : int32 (5, n)
        Of output classes, drive by drive, padded: initial potential, leak, threshold, floor and guard; potentials
        relative to the threshold.
    group_start : int32 (drives + 1,)
        Columns group_start[d] .. group_start[d + 1] - 1 of `outputs` read drive d.
    group_line : int32 (drives,)
        The output line of all the neurons of a drive; -1: they have different ones.
    most_leak : int32 (drives,)
        Largest leak of each drive's classes.
    at_floor : uint8 (drives,)
        Whether all of a drive's classes begin at their floor.
    output_spikes : int32 (n,)
        Neurons that one spike of an output class stands for; 0 for padding.
    exit_start, exits : int32 (n + 1,) and (m, 2)
        Output line of each output class, and how many neurons drive it.
    leaving_spikes, leaving_start, leaving_exits : int32 (hidden,), (hidden + 1,) and (m, 2)
        The same for hidden lanes whose class drives output lines, too; 0 for the others.
    line_signals : uint64 (input lines,)
        Bits of the signals that each input line feeds.
    line_spikes : int32 (input lines,)
        Axons that one spike of each line reaches on the chip.

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


def derive(image: CoreImage) -> Program | None:
    """Derive the program of an image.

    Parameters
    ----------
    image
        A valid image.

    Returns
    -------
    Program or None
        None where the kernel could not run it: an image of several cores; neurons of other modes than the
        converter's (linear reset, kappa, no leak reversal); recurrent connections of different delays, axons driven
        by different neurons, or by neurons and input lines; more than 64 signals or 126 hidden neurons and drives
        after merging; drives that could leave 16 bits, or potentials that begin near the 20-bit ceiling.

    """
    if image.cores != 1 or not is_plain(image):
        return None
    classes, signals = refine(image)
    try:
        return _Builder(image, classes, signals).build()
    except _NoProgramError:
        return None


class _NoProgramError(Exception):
    """The kernel cannot run this network."""


class _Builder:
    """Lay the classes out for the kernel."""

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
        self.delay = int(delays[0]) if len(delays) else limits.DELAY_MAX
        inputs = np.unique(signals[image.inputs[:, 2]])
        self.shift = len(inputs)
        # signals of input lines first, then one for each hidden lane, in its order
        order = np.concatenate([inputs, recurrent])
        if len(delays) > 1 or len(np.unique(order)) != len(order) or len(order) > SIGNALS:
            raise _NoProgramError
        number = np.full(int(signals.max(initial=-1)) + 2, -1)
        number[order] = np.arange(len(order))
        self.signals = number[signals]
        self.weights = self._add_up(weight_rows(image)[0].astype(np.int64))

    def _add_up(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add the rows of each signal's axons."""
        total = np.zeros((SIGNALS, *values.shape[1:]), dtype=np.int64)
        carried = self.signals >= 0
        np.add.at(total, self.signals[carried], values[carried])
        return total

    def build(self) -> Program:
        image = self.image
        leaving = np.flatnonzero(image.target_core[0] == limits.TARGET_OUTPUT)
        exits = self._exits(leaving)
        of_hidden = np.isin(exits[:, 0], self.hidden)
        output = np.unique(exits[~of_hidden, 0])
        columns, drive = np.unique(self.weights[:, self.first[output]], axis=1, return_inverse=True)
        units, real, group_start = _grouped(output, drive.reshape(-1))
        hidden, outputs = self._neurons(self.hidden), self._neurons(units)
        own = self.weights[:, self.first[self.hidden]]
        every_drive = columns[:, np.repeat(np.arange(columns.shape[1]), np.diff(group_start))]
        output_exits = _exit_table(exits, np.where(real, units, -1))
        # a class that feeds several signals has several lanes; it leaves by the first of them
        again = np.array([c in self.hidden[:j] for j, c in enumerate(self.hidden)], dtype=np.bool_)
        hidden_exits = _exit_table(exits[of_hidden], np.where(again, -1, self.hidden))
        drives = np.concatenate([own, columns, self._counters()], axis=1)
        lanes = _lanes(hidden, self._guard(hidden, own), drives.shape[1])
        return Program(
            sums=_sums(drives, hidden[1]),
            lanes=lanes,
            narrow=_narrow(lanes, len(self.hidden)),
            hidden=len(self.hidden),
            drives=columns.shape[1],
            shift=self.shift,
            delay=self.delay,
            spikes_of_lane=self.copies.astype(np.int32),
            outputs=np.vstack([_relative(outputs), self._guard(outputs, every_drive)[None]]).astype(
                np.int32
            ),
            group_start=group_start.astype(np.int32),
            group_line=_lines_of_groups(*output_exits, group_start),
            most_leak=_by_group(np.maximum, outputs[1], group_start).astype(np.int32),
            at_floor=_by_group(np.logical_and, outputs[0] == outputs[3], group_start).astype(
                np.uint8
            ),
            output_spikes=_spikes(*output_exits),
            exit_start=output_exits[0],
            exits=output_exits[1],
            leaving_spikes=_spikes(*hidden_exits),
            leaving_start=hidden_exits[0],
            leaving_exits=hidden_exits[1],
            **self._lines(),
        )

    def _neurons(self, classes: NDArray[np.intp]) -> NDArray[np.int64]:
        """List initial potential, leak, threshold and floor of classes, (4, classes)."""
        image = self.image
        table = [image.potential[0], image.leak[0], image.threshold[0], -image.neg_threshold[0]]
        return np.stack(table).astype(np.int64)[:, self.first[classes]]

    def _guard(self, neurons: NDArray[np.int64], drives: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bound the potentials at which a block may begin, relative to the threshold; check the widths."""
        positive, negative = drives.clip(min=0).sum(axis=0), drives.clip(max=0).sum(axis=0)
        potential, leak, threshold, _ = neurons
        guard: NDArray[np.int64] = limits.POTENTIAL_MAX - self.delay * (positive + leak.clip(min=0))
        fits = (np.maximum(positive, positive + leak) <= INT16_MAX).all()
        fits &= (np.minimum(negative, negative + leak) >= INT16_MIN).all()
        if not fits or (potential > guard).any():
            raise _NoProgramError
        relative: NDArray[np.int64] = guard - threshold
        return relative

    def _counters(self) -> NDArray[np.int64]:
        """Count what one spike of a signal stands for: synaptic events, and spikes that neurons sent."""
        counters = np.zeros((SIGNALS, 2), dtype=np.int64)
        counters[:, 0] = self._add_up(self.image.synapses()[0].sum(axis=1, dtype=np.int64))
        counters[self.shift : self.shift + len(self.copies), 1] = self.copies
        if (counters.sum(axis=0) > UINT16_MAX).any():
            raise _NoProgramError
        return counters

    def _exits(self, neurons: NDArray[np.intp]) -> NDArray[np.int64]:
        """List class, output line and number of neurons, (n, 3)."""
        pairs = np.stack([self.classes[neurons], self.image.target_axon[0, neurons]], axis=1)
        exits, count = np.unique(pairs, axis=0, return_counts=True)
        return np.concatenate([exits, count[:, None]], axis=1)

    def _lines(self) -> dict[str, Any]:
        line, axon = self.image.inputs[:, 0], self.image.inputs[:, 2]
        line_signals = np.zeros(self.image.input_lines, dtype=np.uint64)
        np.bitwise_or.at(line_signals, line, np.uint64(1) << self.signals[axon].astype(np.uint64))
        line_spikes = np.bincount(line, minlength=len(line_signals))
        return {"line_signals": line_signals, "line_spikes": line_spikes.astype(np.int32)}


def _grouped(
    classes: NDArray[np.intp], drive: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp]]:
    """Order classes by their drive, and pad each group with its last class; tell which are real, and the starts."""
    units, real, start = [], [], [0]
    for d in range(int(drive.max(initial=-1)) + 1):
        members = classes[drive == d]
        padding = -len(members) % OUT[len(members) > OUT[0]]
        units.append(np.pad(members, (0, padding), mode="edge"))
        real.append(np.arange(len(members) + padding) < len(members))
        start.append(start[-1] + len(units[-1]))
    if not units:
        return classes[:0], np.zeros(0, dtype=np.bool_), np.array(start)
    return np.concatenate(units), np.concatenate(real), np.array(start)


def _exit_table(
    exits: NDArray[np.int64], units: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """List the (output line, neurons) of every unit's class, and where each unit's begin; class -1 has none."""
    mine = [exits[exits[:, 0] == c, 1:] for c in units]
    start = np.cumsum([0, *map(len, mine)])
    table = np.concatenate([np.zeros((0, 2), dtype=np.int64), *mine])
    return start.astype(np.int32), np.ascontiguousarray(table, dtype=np.int32)


def _spikes(start: NDArray[np.int32], table: NDArray[np.int32]) -> NDArray[np.int32]:
    """Add up the neurons of every unit of an exit table."""
    total = np.concatenate([[0], np.cumsum(table[:, 1])])
    return np.diff(total[start]).astype(np.int32)


def _lines_of_groups(
    start: NDArray[np.int32], table: NDArray[np.int32], group_start: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Find the one output line of each group, or -1."""
    lines = [np.unique(table[a:b, 0]) for a, b in pairwise(start[group_start].tolist())]
    return np.array([line[0] if len(line) == 1 else -1 for line in lines], dtype=np.int32)


def _by_group(ufunc: np.ufunc, values: NDArray[Any], group_start: NDArray[np.intp]) -> NDArray[Any]:
    return ufunc.reduceat(values, group_start[:-1]) if len(values) else values


def _relative(neurons: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make potential and floor relative to the threshold: the neuron fires from 0 on."""
    potential, leak, threshold, floor = neurons
    return np.stack([potential - threshold, leak, threshold, floor - threshold])


def _lanes(neurons: NDArray[np.int64], guard: NDArray[np.int64], used: int) -> NDArray[np.int32]:
    """Write the parameters of the hidden lanes, and of lanes that are none: those stay at or below zero."""
    count = -(-used // LANES) * LANES
    if count > MAX_LANES:
        raise _NoProgramError
    lanes = np.zeros((4, count), dtype=np.int32)
    # lanes that are no neurons stay at or below zero, and pass no guard
    lanes[1], lanes[3] = INT16_MAX, np.iinfo(np.int32).max
    potential, _, threshold, floor = _relative(neurons)
    lanes[:, : len(guard)] = np.stack([potential, threshold, floor, guard])
    return lanes


def _narrow(lanes: NDArray[np.int32], hidden: int) -> NDArray[np.int16]:
    """Write threshold and floor of hidden lanes in 16 bits, where these hold them and the initial potentials."""
    potential, threshold, floor, _ = lanes[:, :hidden]
    if (np.minimum(potential, floor) < INT16_MIN).any() or (threshold > INT16_MAX).any():
        return np.zeros((0, lanes.shape[1]), dtype=np.int16)
    narrow = np.zeros((3, lanes.shape[1]), dtype=np.int16)
    narrow[:, :hidden] = threshold, floor, np.full(hidden, -1)
    return narrow


def _sums(drives: NDArray[np.int64], leak: NDArray[np.int64]) -> NDArray[np.int16]:
    """Add up the drives of every way in which the eight signals of a group can spike."""
    lanes = -(-drives.shape[1] // LANES) * LANES
    ways = np.arange(256)[:, None] >> np.arange(8) & 1
    sums = np.zeros((SIGNALS // 8, 256, lanes), dtype=np.int64)
    sums[:, :, : drives.shape[1]] = ways @ drives.reshape(SIGNALS // 8, 8, -1)
    sums[0, :, : len(leak)] += leak
    # Partial sums may wrap, in 16 bits as in the kernel; the total is proven to fit.
    return sums.astype(np.int16)
