"""Lay classes of neurons out in the lanes of the derived-network kernel: padding, tables of exits, sums of drives."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .constants import LANES, OUTPUT_LANES, SIGNALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

INT16_MAX: Final = 2**15 - 1
INT16_MIN: Final = -(2**15)
UINT16_MAX: Final = 2**16 - 1


def group_by_drive(
    classes: NDArray[np.intp], drive: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp]]:
    """Group classes by the drive that they read, and pad each group with its last class.

    Returns
    -------
    units, real, start
        The class at each position; whether it is not padding; and the position where each group starts, (drives + 1,).

    """
    units, real, start = [], [], [0]
    for d in range(int(drive.max(initial=-1)) + 1):
        members = classes[drive == d]
        # To 8, or to a multiple of 16: the two sizes that the kernel has code for (`run_group`).
        padding = -len(members) % (OUTPUT_LANES * (1 + (len(members) > OUTPUT_LANES)))
        units.append(np.pad(members, (0, padding), mode="edge"))
        real.append(np.arange(len(members) + padding) < len(members))
        start.append(start[-1] + len(units[-1]))
    if not units:
        return classes[:0], np.zeros(0, dtype=np.bool_), np.array(start)
    return np.concatenate(units), np.concatenate(real), np.array(start)


def exit_table(
    exits: NDArray[np.int64], units: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """List the exits (output line, number of neurons) of every unit's class, unit by unit.

    Parameters
    ----------
    exits
        Rows of class, output line and number of neurons, (n, 3).
    units
        The class of each unit; -1 for a unit without exits.

    Returns
    -------
    start, table
        int32 (units + 1,), where the exits of each unit start; int32 (m, 2), the exits.

    """
    mine = [exits[exits[:, 0] == c, 1:] for c in units]
    start = np.cumsum([0, *map(len, mine)])
    table = np.concatenate([np.zeros((0, 2), dtype=np.int64), *mine])
    return start.astype(np.int32), np.ascontiguousarray(table, dtype=np.int32)


def exit_spikes(start: NDArray[np.int32], table: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sum the neurons of the exits of every unit of an exit table."""
    total = np.concatenate([[0], np.cumsum(table[:, 1])])
    return np.diff(total[start]).astype(np.int32)


def lines_of_groups(
    start: NDArray[np.int32], table: NDArray[np.int32], group_start: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Return the output line of each group if it has only one, else -1."""
    lines = [np.unique(table[a:b, 0]) for a, b in pairwise(start[group_start].tolist())]
    return np.array([line[0] if len(line) == 1 else -1 for line in lines], dtype=np.int32)


def reduce_groups(
    ufunc: np.ufunc, values: NDArray[Any], group_start: NDArray[np.intp]
) -> NDArray[Any]:
    """Reduce the values of each group."""
    # reduceat would return an element of the next group for an empty group, but every drive has a reader
    return ufunc.reduceat(values, group_start[:-1]) if len(values) else values


def relative_to_threshold(neurons: NDArray[np.int64]) -> NDArray[np.int64]:
    """Subtract the threshold from potential and floor (rows 0 and 3 of 4), so that a neuron fires from 0 on."""
    potential, leak, threshold, floor = neurons
    return np.stack([potential - threshold, leak, threshold, floor - threshold])


def lane_table(
    neurons: NDArray[np.int64], guard: NDArray[np.int64], used: int
) -> NDArray[np.int32]:
    """Lay out the parameters of the hidden lanes, padded to whole vectors.

    Parameters
    ----------
    neurons : int64 (4, hidden)
        Initial potential, leak, threshold and floor of each hidden lane.
    guard : int64 (hidden,)
        Relative to the threshold.
    used
        Number of lanes that are not padding.

    Returns
    -------
    int32 (4, lanes)
        Initial potential, threshold, floor and guard; all but the threshold are relative to it.

    """
    count = -(-used // LANES) * LANES
    lanes = np.zeros((4, count), dtype=np.int32)
    # The kernel steps the other lanes as well: this threshold keeps them small, and they never pass their guard.
    lanes[1], lanes[3] = INT16_MAX, np.iinfo(np.int32).max
    potential, _, threshold, floor = relative_to_threshold(neurons)
    lanes[:, : len(guard)] = np.stack([potential, threshold, floor, guard])
    return lanes


def narrow_lanes(lanes: NDArray[np.int32], hidden: int) -> NDArray[np.int16]:
    """Lay out threshold and floor of hidden lanes in 16 bits, if these hold them and the initial potentials."""
    potential, threshold, floor, _ = lanes[:, :hidden]
    if (np.minimum(potential, floor) < INT16_MIN).any() or (threshold > INT16_MAX).any():
        return np.zeros((0, lanes.shape[1]), dtype=np.int16)
    narrow = np.zeros((3, lanes.shape[1]), dtype=np.int16)
    narrow[:, :hidden] = threshold, floor, np.full(hidden, -1)
    return narrow


def subset_sums(drives: NDArray[np.int64], leak: NDArray[np.int64]) -> NDArray[np.int16]:
    """Sum the drives of every subset of the eight signals of each group."""
    lanes = -(-drives.shape[1] // LANES) * LANES
    subsets = np.arange(256)[:, None] >> np.arange(8) & 1
    sums = np.zeros((SIGNALS // 8, 256, lanes), dtype=np.int64)
    sums[:, :, : drives.shape[1]] = subsets @ drives.reshape(SIGNALS // 8, 8, -1)
    sums[0, :, : len(leak)] += leak
    # Partial sums may wrap here as they do in the kernel: the total is proven to fit, so it is right all the same.
    return sums.astype(np.int16)
