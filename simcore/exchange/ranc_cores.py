"""Read the cores of a network of the RANC simulator into the arrays of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import ImageError
from ..limits import MAX_LINES
from .documents import check_keys
from .ranc_places import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .ranc_places import Surroundings

LATE: Final = limits.SCHEDULER_SLOTS - 1
"""The `destination_tick` whose slot is that of the current tick: RANC takes it, and drops the spike."""

_NUMBERS: Final = {
    "leak": (-limits.LEAK_MAX, limits.LEAK_MAX),
    "positive_threshold": (0, limits.THRESHOLD_MAX),
    "negative_threshold": (-limits.THRESHOLD_MAX, 0),  # signed in this format
    "reset_potential": (-limits.RESET_MAX, limits.RESET_MAX),
    "reset_mode": (0, 1),
    "current_potential": (limits.POTENTIAL_MIN, limits.POTENTIAL_MAX),
    "destination_axon": (0, MAX_LINES - 1),
    "destination_tick": (0, LATE),
}
_LISTS: Final = {
    "weights": (limits.AXON_TYPES, limits.WEIGHT_MAX),
    "destination_core_offset": (2, limits.HOPS_MAX),
}
"""Length and largest magnitude of the lists of a neuron."""


def read_crossbar(arrays: dict[str, Any], c: int, core: Mapping[str, Any]) -> None:
    """Write a core's axon types and synapses into the image's arrays."""
    types, rows = core["axons"], core["connections"]
    if len({len(row) for row in rows}) > 1:
        raise ImageError(f"core {c}: the rows of connections have different lengths")
    connections = np.array(rows)
    if connections.ndim != 2 or connections.dtype.kind not in "iub":
        raise ImageError(f"core {c}: connections are not a table of 0 and 1")
    neurons, axons = connections.shape
    if axons > limits.AXONS or neurons > limits.NEURONS:
        raise ImageError(f"core {c}: {axons} axons x {neurons} neurons, limit 256 x 256")
    if len(types) != axons or len(core["neurons"]) != neurons:
        raise ImageError(
            f"core {c}: {len(types)} axons and {len(core['neurons'])} neurons,"
            f" but connections of {axons} x {neurons}"
        )
    if not np.isin(connections, (0, 1)).all():
        raise ImageError(f"core {c}: connections have values other than 0 and 1")
    for i, kind in enumerate(types):
        whole(kind, 0, limits.AXON_TYPES - 1, f"core {c}, axon {i}: type")
    arrays["axon_type"][c, :axons] = types
    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[:axons, :neurons] = connections.T  # the file has neurons x axons
    arrays["crossbar"][c] = np.packbits(synapses, axis=1, bitorder="little")


def read_neurons(
    arrays: dict[str, Any], c: int, core: Mapping[str, Any], around: Surroundings
) -> list[str]:
    """Write a core's neurons into the image's arrays; return those whose spikes RANC drops, by core and number.

    A target at the place of the bus becomes an output line, one at an empty place of the grid becomes nothing.
    """
    x, y = core["coordinates"]
    late = []
    for j, neuron in enumerate(core["neurons"]):
        where = f"core {c}, neuron {j}"
        _check_neuron(neuron, where)
        arrays["weights"][c, j] = neuron["weights"]
        arrays["leak"][c, j] = neuron["leak"]
        arrays["threshold"][c, j] = neuron["positive_threshold"]
        arrays["neg_threshold"][c, j] = -neuron["negative_threshold"]
        arrays["reset"][c, j] = neuron["reset_potential"]
        arrays["reset_mode"][c, j] = neuron["reset_mode"]
        arrays["potential"][c, j] = neuron["current_potential"]
        # destination_tick 0 is the tick after the one in which the neuron fired.
        arrays["delay"][c, j] = min(neuron["destination_tick"] + 1, limits.DELAY_MAX)
        dx, dy = neuron["destination_core_offset"]
        place, axon = (x + dx, y + dy), neuron["destination_axon"]
        to_bus = place == around.bus
        most = (around.lines if to_bus else around.axons) - 1
        if to_bus:  # the bus ignores the tick
            target: int | None = limits.TARGET_OUTPUT
        else:
            target = around.check_place(place, where, "no core or bus at its target")
        whole(axon, 0, most, f"{where}: destination_axon")
        if not to_bus and neuron["destination_tick"] == LATE:
            late.append(where)
            target = None
        if target is not None:
            arrays["target_core"][c, j], arrays["target_axon"][c, j] = target, axon
    return late


def _check_neuron(neuron: Mapping[str, Any], where: str) -> None:
    """Raise if a field of a neuron is unknown, missing or outside its limits."""
    check_keys(neuron, {*_NUMBERS, *_LISTS}, where)
    if missing := sorted({*_NUMBERS, *_LISTS} - neuron.keys()):
        raise ImageError(f"{where}: field {missing[0]} is missing")
    for name, (low, high) in _NUMBERS.items():
        whole(neuron[name], low, high, f"{where}: {name}")
    for name, (length, most) in _LISTS.items():
        values = neuron[name]
        if not isinstance(values, list) or len(values) != length:
            raise ImageError(f"{where}: {name} {values!r:.40}, expected {length} numbers")
        for k, value in enumerate(values):
            whole(value, -most, most, f"{where}: {name}[{k}]")
