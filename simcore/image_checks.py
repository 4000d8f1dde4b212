"""The tensors of a core image, their limits, and the checks on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import limits
from .errors import ImageError
from .tensors import Field, check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_C, _N, _A = "cores", limits.NEURONS, limits.AXONS
TENSORS: Final = {
    "crossbar": Field(dtype="uint8", shape=(_C, _A, _N // 8)),
    "axon_type": Field(dtype="uint8", shape=(_C, _A)),
    "weights": Field(dtype="int16", shape=(_C, _N, limits.AXON_TYPES)),
    "leak": Field(dtype="int16", shape=(_C, _N)),
    "threshold": Field(dtype="int32", shape=(_C, _N)),
    "neg_threshold": Field(dtype="int32", shape=(_C, _N)),
    "reset": Field(dtype="int32", shape=(_C, _N)),
    "reset_mode": Field(dtype="uint8", shape=(_C, _N)),
    "kappa": Field(dtype="uint8", shape=(_C, _N)),
    "epsilon": Field(dtype="uint8", shape=(_C, _N)),
    "stochastic_weights": Field(dtype="uint8", shape=(_C, _N)),
    "stochastic_leak": Field(dtype="uint8", shape=(_C, _N)),
    "threshold_bits": Field(dtype="uint8", shape=(_C, _N)),
    "seed": Field(dtype="uint32", shape=(_C,)),
    "potential": Field(dtype="int32", shape=(_C, _N)),
    "target_core": Field(dtype="int32", shape=(_C, _N)),
    "target_axon": Field(dtype="int32", shape=(_C, _N)),
    "delay": Field(dtype="uint8", shape=(_C, _N)),
    "inputs": Field(dtype="int32", shape=("input connections", 3)),
    "outputs": Field(dtype="int32", shape=("output connections", 3)),
    "grid": Field(dtype="int32", shape=(_C, 2), optional=True),
    "head_weights": Field(dtype="int32", shape=("classes", "output lines"), optional=True),
    "head_bias": Field(dtype="int32", shape=("classes",), optional=True),
}
"""The tensors of a core image in a file."""

OPTIONAL: Final = frozenset(name for name, field in TENSORS.items() if field.optional)
"""The tensors that an image can lack."""

HEAD: Final = ("head_weights", "head_bias")
"""The tensors of the head: two in a file, one value in `CoreImage`."""

LENGTHS: Final = {
    _C: limits.MAX_CORES,
    "input connections": limits.MAX_CORES * _A,
    "output connections": limits.MAX_CORES * _N,
    "classes": limits.MAX_CLASSES,
    "output lines": limits.MAX_LINES,
}
"""Largest length of each named dimension."""

_RANGES: Final = {
    "axon_type": (0, limits.AXON_TYPES - 1),
    "weights": (-limits.WEIGHT_MAX, limits.WEIGHT_MAX),
    "leak": (-limits.LEAK_MAX, limits.LEAK_MAX),
    "threshold": (0, limits.THRESHOLD_MAX),
    "neg_threshold": (0, limits.THRESHOLD_MAX),
    "reset": (-limits.RESET_MAX, limits.RESET_MAX),
    "reset_mode": (0, 2),
    "kappa": (0, 1),
    "epsilon": (0, 1),
    "stochastic_weights": (0, 2**limits.AXON_TYPES - 1),
    "stochastic_leak": (0, 1),
    "threshold_bits": (0, limits.THRESHOLD_BITS_MAX),
    "potential": (limits.POTENTIAL_MIN, limits.POTENTIAL_MAX),
    "delay": (limits.DELAY_MIN, limits.DELAY_MAX),
}
"""Lowest and highest value, where they do not depend on the number of cores."""


def check_arrays(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Check element types, shapes and ranges.

    Parameters
    ----------
    tensors
        The tensors of an image by name, optional ones only if it has them.

    Raises
    ------
    ImageError
        One line that names core, neuron or axon, field, value and limit; likewise for the other checks.

    """
    lengths: dict[str, int] = {}
    for name, array in tensors.items():
        _check_array(name, array, TENSORS[name], lengths)
    if lengths[_C] == 0:
        raise ImageError(f"core image: 0 cores, limits 1..{limits.MAX_CORES}")
    for name, (low, high) in _RANGES.items():
        _check_range(name, tensors[name], low, high)


def check_routes(target_core: NDArray[np.int32], target_axon: NDArray[np.int32]) -> None:
    """Check that every target is a core and axon of the image, an output line, or none."""
    _check_range("target_core", target_core, limits.TARGET_OUTPUT, len(target_core) - 1)
    # The range of target_axon depends on the kind of target: an output line, nothing (always 0), or an axon.
    high = np.where(
        target_core == limits.TARGET_OUTPUT,
        limits.MAX_LINES - 1,
        np.where(target_core == limits.TARGET_NONE, 0, limits.AXONS - 1),
    )
    bad = (target_axon < 0) | (target_axon > high)
    if bad.any():
        core, neuron = np.argwhere(bad)[0]
        raise ImageError(
            f"core {core}, neuron {neuron}: target_axon {target_axon[core, neuron]},"
            f" limits 0..{high[core, neuron]} for target_core {target_core[core, neuron]}"
        )


def check_grid(grid: NDArray[np.int32], target_core: NDArray[np.int32]) -> None:
    """Check that no two cores share a position, and that every target is within reach."""
    bad = (grid < 0) | (grid > limits.GRID_MAX)
    if bad.any():
        core, axis = np.argwhere(bad)[0]
        raise ImageError(
            f"core {core}: grid {'xy'[axis]} is {grid[core, axis]}, limits 0..{limits.GRID_MAX}"
        )
    # Sorted by position, cores that share one are adjacent: no table of all positions is needed.
    order = np.lexsort(grid.T)
    same = (np.diff(grid[order], axis=0) == 0).all(axis=1)
    if same.any():
        first, second = sorted(order[np.argmax(same) :][:2].tolist())
        x, y = grid[second].tolist()
        raise ImageError(f"core {second}: grid is {x}, {y}, the position of core {first}")
    core, neuron = np.nonzero(target_core >= 0)
    hops = grid[target_core[core, neuron]] - grid[core]
    far = np.argwhere(np.abs(hops) > limits.HOPS_MAX)
    if len(far):
        row, axis = far[0]
        c, j = core[row], neuron[row]
        raise ImageError(
            f"core {c}, neuron {j}: target_core {target_core[c, j]} is {hops[row, axis]} hops away"
            f" in {'xy'[axis]}, limits {-limits.HOPS_MAX}..{limits.HOPS_MAX}"
        )


def check_lines(
    inputs: NDArray[np.int32],
    outputs: NDArray[np.int32],
    target_core: NDArray[np.int32],
    target_axon: NDArray[np.int32],
) -> None:
    """Check that `inputs` and `outputs` name existing cores, axons and neurons, and agree with the targets."""
    for name, table, bounds in (
        ("inputs", inputs, (limits.MAX_LINES, len(target_core), limits.AXONS)),
        ("outputs", outputs, (len(target_core), limits.NEURONS, limits.MAX_LINES)),
    ):
        bad = (table < 0) | (table >= np.array(bounds))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            what = {"inputs": ("line", "core", "axon"), "outputs": ("core", "neuron", "line")}
            raise ImageError(
                f"{name}, row {row}: {what[name][column]} {table[row, column]},"
                f" limits 0..{bounds[column] - 1}"
            )
    # A connection that is listed twice would count each of its spikes twice.
    if len(np.unique(inputs, axis=0)) != len(inputs):
        raise ImageError("inputs: two rows have the same line, core and axon")
    declared = np.zeros((len(target_core), limits.NEURONS), dtype=np.int32)
    np.add.at(declared, (outputs[:, 0], outputs[:, 1]), 1)
    wrong = declared != (target_core == limits.TARGET_OUTPUT)
    if wrong.any():
        core, neuron = np.argwhere(wrong)[0]
        raise ImageError(
            f"core {core}, neuron {neuron}: target_core {target_core[core, neuron]}"
            f" but {declared[core, neuron]} rows in outputs, expected one row for each neuron with target -2"
        )
    lines = target_axon[outputs[:, 0], outputs[:, 1]]
    if (lines != outputs[:, 2]).any():
        row = int(np.argmax(lines != outputs[:, 2]))
        raise ImageError(
            f"outputs, row {row}: line {outputs[row, 2]} but the neuron's target_axon is {lines[row]}"
        )


def _check_array(name: str, array: Any, field: Field, lengths: dict[str, int]) -> None:
    """Check element type, shape and memory layout of one array."""
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(field.dtype):
        found = getattr(array, "dtype", type(array).__name__)
        raise ImageError(f"{name}: element type {found}, expected {field.dtype}")
    check_shape(name, array.shape, field, lengths, LENGTHS, ImageError)
    if not array.flags.c_contiguous:
        raise ImageError(f"{name}: not C-contiguous")


def _check_range(name: str, array: NDArray[Any], low: int, high: int) -> None:
    """Check that all values of an array (cores, 256, ...) are in low..high."""
    bad = (array < low) | (array > high)
    if bad.any():
        core, unit, *rest = np.argwhere(bad)[0]
        unit_name = "axon" if name == "axon_type" else "neuron"
        index = f"[{rest[0]}]" if rest else ""
        value = array[(core, unit, *rest)]
        raise ImageError(
            f"core {core}, {unit_name} {unit}: {name}{index} is {value}, limits {low}..{high}"
        )
