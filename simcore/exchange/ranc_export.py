"""Write core images and their input spikes as JSON of the RANC simulator (see `ranc`)."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import ImageError, InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..image import CoreImage

_INEXPRESSIBLE: Final = ("kappa", "stochastic_weights", "threshold_bits")
"""Fields that must be 0: RANC has nothing like them."""

_INEXPRESSIBLE_LEAKS: Final = ("epsilon", "stochastic_leak")
"""Fields that must be 0 where a neuron has a leak."""


def write_ranc(
    image: CoreImage, spikes: ArrayLike, path: Path, expected: ArrayLike | None = None
) -> None:
    """Write an image and its input spikes as a RANC JSON file, gzip-compressed if the name ends in .gz.

    The cores are placed as in the image's grid, or else row by row in a grid as square as possible; the bus is below
    the first column.  Input lines become packets to (core, axon), so their numbers are not kept.

    Parameters
    ----------
    image
        A valid image whose neurons the format can all express.
    spikes
        0/1 (ticks, input lines).
    expected
        Output spikes to store for `--check`, (ticks, output lines), or None.

    Raises
    ------
    ImageError
        The format cannot express the image; the text names core, neuron and field.
    InputError
        The spikes have another shape.
    OSError
        The file cannot be written.

    """
    image.validate()
    _check_expressible(image)
    raster = np.asarray(spikes, dtype=np.bool_)
    if raster.ndim != 2 or raster.shape[1] < image.input_lines:
        raise InputError(f"spikes: shape {raster.shape}, expected (ticks, {image.input_lines})")
    grid = _square(image.cores) if image.grid is None else image.grid
    width, height = (grid.max(axis=0) + 1).tolist()
    bus = [int(grid[:, 0].min()), height]  # a place that no core has
    lines = max(1, image.output_lines)
    network = {
        "packets": _packets(image, raster, grid),
        "output_bus": {"coordinates": bus, "num_outputs": lines},
        "cores": [_core(image, c, grid, bus) for c in range(image.cores)],
    }
    config = _config(width, height + 1)
    document = {"config": config, "network": network, "ticks": len(raster)}
    if expected is not None:
        # 0 or 1, however many neurons spike on a line
        shown = (np.asarray(expected) > 0).astype(int)[: len(raster) - 1]
        # The bus prints a spike of tick t in row t + 1.
        rows = [[0] * lines, *shown.tolist()]
        document["output"] = [" ".join(map(str, row)) for row in rows[: len(raster)]]
    data = json.dumps(document, separators=(",", ":")).encode()
    # mtime=0: equal networks give equal bytes.
    Path(path).write_bytes(gzip.compress(data, mtime=0) if Path(path).suffix == ".gz" else data)


def _config(width: int, height: int) -> dict[str, int]:
    """Return RANC's settings for a grid of so many cores."""
    return {
        "num_neurons": limits.NEURONS,
        "num_axons": limits.AXONS,
        "num_cores_x": width,
        "num_cores_y": height,
        "num_weights": limits.AXON_TYPES,
        "max_tick_offset": limits.SCHEDULER_SLOTS,
        "neuron_block_trace_verbosity": 0,
        "core_controller_trace_verbosity": 0,
        "scheduler_trace_verbosity": 0,
        "neuron_reset_type": 0,
    }


def _square(cores: int) -> NDArray[np.int32]:
    """Return places for cores, row by row in a grid as square as possible, int32 (cores, 2)."""
    # isqrt(cores - 1) + 1 is the square root rounded up, in integers
    y, x = np.divmod(np.arange(cores, dtype=np.int32), math.isqrt(cores - 1) + 1)
    return np.stack([x, y], axis=1)


def _check_expressible(image: CoreImage) -> None:
    """Raise if the format cannot express a neuron or the image's coding."""
    for name in _INEXPRESSIBLE:
        _refuse(image, name, getattr(image, name) != 0)
    for name in _INEXPRESSIBLE_LEAKS:
        # Without a leak they change nothing.
        _refuse(image, name, (getattr(image, name) != 0) & (image.leak != 0))
    _refuse(image, "reset_mode", image.reset_mode == 2)
    nowhere = image.target_core == limits.TARGET_NONE
    _refuse(image, "target_core", nowhere & ~_silent(image))
    if image.coding is not None:
        raise ImageError("coding: RANC's format cannot express it")


def _refuse(image: CoreImage, name: str, bad: NDArray[np.bool_]) -> None:
    """Raise if any neuron is bad, bool (cores, 256), naming the first one and its value of a field."""
    if bad.any():
        c, j = np.argwhere(bad)[0]
        raise ImageError(
            f"core {c}, neuron {j}: RANC's format cannot express {name} {getattr(image, name)[c, j]}"
        )


def _silent(image: CoreImage) -> NDArray[np.bool_]:
    """Return which neurons never fire, bool (cores, 256): no synapse, no upward leak, a start below the threshold."""
    unconnected = ~image.synapses().any(axis=1)
    rises = (image.leak > 0) | (image.potential >= image.threshold)
    # Without synapses only a fall below the negative threshold could lift the potential.
    falls = (image.leak < 0) | (image.potential < -image.neg_threshold)
    return unconnected & ~rises & ~falls


def _packets(
    image: CoreImage, raster: NDArray[np.bool_], grid: NDArray[np.int32]
) -> list[list[dict[str, Any]]]:
    """Return the input spikes as packets, one row for each tick."""
    rows: list[list[dict[str, Any]]] = []
    for spiking in raster:
        reached = image.inputs[spiking[image.inputs[:, 0]], 1:]
        rows.append(
            [
                {
                    "destination_core": grid[c].tolist(),
                    "destination_axon": a,
                    "destination_tick": 0,
                }
                for c, a in np.unique(reached, axis=0).tolist()
            ]
        )
    return rows


def _core(image: CoreImage, c: int, grid: NDArray[np.int32], bus: list[int]) -> dict[str, Any]:
    """Return a core as the format's object."""
    connections = np.unpackbits(image.crossbar[c], axis=1, bitorder="little").T.tolist()
    return {
        "axons": image.axon_type[c].tolist(),
        "connections": connections,
        "coordinates": grid[c].tolist(),
        "neurons": [
            _neuron(image, c, j, _offset(image, c, j, grid, bus)) for j in range(limits.NEURONS)
        ],
    }


def _offset(image: CoreImage, c: int, j: int, grid: NDArray[np.int32], bus: list[int]) -> list[int]:
    """Return how far a neuron's target is from its core in x and y; raise if the chip's mesh does not reach it."""
    target = int(image.target_core[c, j])
    if target == limits.TARGET_NONE:
        return [0, 0]  # a neuron that never fires: any core will do
    x, y = grid[c].tolist()
    tx, ty = bus if target == limits.TARGET_OUTPUT else grid[target].tolist()
    if max(abs(tx - x), abs(ty - y)) > limits.HOPS_MAX:
        raise ImageError(
            f"core {c}, neuron {j}: target_core {target} is {tx - x}, {ty - y} cores away,"
            f" limit {limits.HOPS_MAX}"
        )
    return [tx - x, ty - y]


def _neuron(image: CoreImage, c: int, j: int, offset: list[int]) -> dict[str, Any]:
    """Return a neuron as the format's object."""
    return {
        "weights": image.weights[c, j].tolist(),
        "leak": int(image.leak[c, j]),
        "positive_threshold": int(image.threshold[c, j]),
        "negative_threshold": -int(image.neg_threshold[c, j]),
        "reset_potential": int(image.reset[c, j]),
        "reset_mode": int(image.reset_mode[c, j]),
        "current_potential": int(image.potential[c, j]),
        "destination_core_offset": offset,
        "destination_axon": int(image.target_axon[c, j]),
        "destination_tick": int(image.delay[c, j]) - 1,
    }
