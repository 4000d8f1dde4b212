"""Read networks and spikes of the RANC simulator (University of Arizona): its JSON, plain or gzip-compressed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import ImageError, InputError
from ..image import CoreImage, blank
from ..limits import GRID_MAX, MAX_LINES
from .documents import check_keys, read_document
from .spikes import check_cells

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_DOCUMENT: Final = {"config", "network", "ticks", "output"}
_NETWORK: Final = {"packets", "output_bus", "cores"}
_BUS: Final = {"coordinates", "num_outputs"}
_CORE: Final = {"axons", "connections", "coordinates", "neurons"}
_PACKET: Final = {"destination_core", "destination_axon", "destination_tick"}
_ONLY: Final = {"neuron_reset_type": 0, "num_weights": 4, "max_tick_offset": 16}
"""Settings that change what a network does, each with the only value that matches TrueNorth."""

_CONFIG: Final = {
    *("num_neurons", "num_axons", "num_cores_x", "num_cores_y", "neuron_block_trace_verbosity"),
    *("core_controller_trace_verbosity", "scheduler_trace_verbosity", *_ONLY),
}
_NUMBERS: Final = {
    "leak": (-limits.LEAK_MAX, limits.LEAK_MAX),
    "positive_threshold": (0, limits.THRESHOLD_MAX),
    "negative_threshold": (-limits.THRESHOLD_MAX, 0),  # signed in this format
    "reset_potential": (-limits.RESET_MAX, limits.RESET_MAX),
    "reset_mode": (0, 1),
    "current_potential": (limits.POTENTIAL_MIN, limits.POTENTIAL_MAX),
    "destination_axon": (0, MAX_LINES - 1),
    "destination_tick": (limits.DELAY_MIN - 1, limits.DELAY_MAX - 1),
}
_LISTS: Final = {
    "weights": (limits.AXON_TYPES, limits.WEIGHT_MAX),
    "destination_core_offset": (2, limits.HOPS_MAX),
}
"""Length and largest magnitude of the lists of a neuron."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RancNetwork:
    """A network of the RANC simulator with the spikes of its file.

    Attributes
    ----------
    image : CoreImage
        The cores, in the order of the file; one input line for each (core, axon) that a packet names.
    spikes : uint8 (ticks, input lines)
        Input spikes.
    expected : uint8 (ticks - 1, output lines) or None
        Output spikes by the tick in which the neurons fired, where the file has them; those of the last tick are in
        no file.

    """

    image: CoreImage
    spikes: NDArray[np.uint8]
    expected: NDArray[np.uint8] | None


def read_ranc(path: Path) -> RancNetwork:
    """Read a RANC JSON file: the simulator's own input file, or one with `config`, `network`, `ticks` and `output`.

    Raises
    ------
    ImageError
        The file cannot be read, is not in the format, or has a value that the chip cannot hold; the text names file
        and field.

    """
    data = read_document(path)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise ImageError(f"{path}: not a JSON document: {e}") from None
    try:
        return _network(document)
    except (ImageError, InputError) as e:
        raise ImageError(f"{path}: {e}") from None
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError) as e:
        # What hostile JSON of other shapes can raise; a check for each place would be longer than the reader.
        why = f"field {e} is missing" if isinstance(e, KeyError) else f"{type(e).__name__} {e}"
        raise ImageError(f"{path}: not a RANC network: {why}") from None


def _network(document: Mapping[str, Any]) -> RancNetwork:
    """Make the network of a parsed document."""
    if not isinstance(document, dict):
        raise ImageError("not a RANC network: not a JSON object")
    if "network" not in document and "cores" in document:
        document = {"network": document}
    check_keys(document, _DOCUMENT, "file")
    _check_config(document.get("config", {}))
    network = document["network"]
    check_keys(network, _NETWORK, "network")
    places = _places(network["cores"])
    bus, width = _bus(network["output_bus"], places)
    arrays = blank(len(places))
    for c, core in enumerate(network["cores"]):
        _read_crossbar(arrays, c, core)
        _read_neurons(arrays, c, core, places, bus, width)
    packets = network["packets"]
    ticks = _whole(document.get("ticks", len(packets)), 0, None, "ticks")
    arrays["inputs"], spikes = _read_packets(packets, places, ticks)
    arrays["grid"] = np.array(list(places), dtype=np.int32)
    leaving = np.nonzero(arrays["target_core"] == limits.TARGET_OUTPUT)
    rows = np.stack([*leaving, arrays["target_axon"][leaving]], axis=1)
    arrays["outputs"] = rows.astype(np.int32)
    image = CoreImage(**arrays).validate()
    expected = None
    if "output" in document:
        expected = _read_output(document["output"], ticks, width, image.output_lines)
    return RancNetwork(image=image, spikes=spikes, expected=expected)


def _check_config(config: Mapping[str, Any]) -> None:
    """Raise if a setting is unknown, or would make RANC compute anything but a TrueNorth core."""
    check_keys(config, _CONFIG, "config")
    for name, value in _ONLY.items():
        if (found := config.get(name, value)) != value:
            raise ImageError(f"config: {name} {found!r}, only {value} is supported")


def _bus(
    bus: Mapping[str, Any], places: Mapping[tuple[int, int], int]
) -> tuple[tuple[int, int], int]:
    """Return the place of the output bus, which no core may have, and the number of its lines."""
    check_keys(bus, _BUS, "output_bus")
    width = _whole(bus["num_outputs"], 0, MAX_LINES, "output_bus: num_outputs")
    at = _pair(bus["coordinates"], "output_bus: coordinates")
    if at in places:
        raise ImageError(f"output_bus: coordinates {list(at)} are those of core {places[at]}")
    return at, width


def _places(cores: list[Mapping[str, Any]]) -> dict[tuple[int, int], int]:
    """Return the number of the core at each place; check all cores before anything is allocated for them."""
    if not 1 <= len(cores) <= limits.MAX_CORES:
        raise ImageError(f"{len(cores)} cores, limits 1..{limits.MAX_CORES}")
    places: dict[tuple[int, int], int] = {}
    for c, core in enumerate(cores):
        check_keys(core, _CORE, f"core {c}")
        if missing := sorted(_CORE - core.keys()):
            raise ImageError(f"core {c}: field {missing[0]} is missing")
        place = _pair(core["coordinates"], f"core {c}: coordinates")
        if places.setdefault(place, c) != c:
            raise ImageError(
                f"core {c}: coordinates {list(place)} are those of core {places[place]}"
            )
    return places


def _read_crossbar(arrays: dict[str, Any], c: int, core: Mapping[str, Any]) -> None:
    """Write a core's axon types and synapses into the image's arrays."""
    types, connections = core["axons"], np.array(core["connections"])
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
        _whole(kind, 0, limits.AXON_TYPES - 1, f"core {c}, axon {i}: type")
    arrays["axon_type"][c, :axons] = types
    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[:axons, :neurons] = connections.T  # the file has neurons x axons
    arrays["crossbar"][c] = np.packbits(synapses, axis=1, bitorder="little")


def _read_neurons(
    arrays: dict[str, Any],
    c: int,
    core: Mapping[str, Any],
    places: Mapping[tuple[int, int], int],
    bus: tuple[int, int],
    lines: int,
) -> None:
    """Write a core's neurons into the image's arrays; a target at the place of the bus becomes an output line."""
    x, y = core["coordinates"]
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
        arrays["delay"][c, j] = neuron["destination_tick"] + 1
        dx, dy = neuron["destination_core_offset"]
        target = (x + dx, y + dy)
        if target != bus and target not in places:
            raise ImageError(f"{where}: no core or bus at its target {list(target)}")
        most = (lines if target == bus else limits.AXONS) - 1
        _whole(neuron["destination_axon"], 0, most, f"{where}: destination_axon")
        arrays["target_axon"][c, j] = neuron["destination_axon"]
        arrays["target_core"][c, j] = limits.TARGET_OUTPUT if target == bus else places[target]


def _check_neuron(neuron: Mapping[str, Any], where: str) -> None:
    """Raise if a field of a neuron is unknown, missing or outside its limits."""
    check_keys(neuron, {*_NUMBERS, *_LISTS}, where)
    if missing := sorted({*_NUMBERS, *_LISTS} - neuron.keys()):
        raise ImageError(f"{where}: field {missing[0]} is missing")
    for name, (low, high) in _NUMBERS.items():
        _whole(neuron[name], low, high, f"{where}: {name}")
    for name, (length, most) in _LISTS.items():
        values = neuron[name]
        if not isinstance(values, list) or len(values) != length:
            raise ImageError(f"{where}: {name} {values!r:.40}, expected {length} numbers")
        for k, value in enumerate(values):
            _whole(value, -most, most, f"{where}: {name}[{k}]")


def _whole(value: Any, low: int, high: int | None, what: str) -> int:
    """Return a value of the file if it is an integer within limits; raise otherwise."""
    if type(value) is not int:
        raise ImageError(f"{what} is {value!r:.40}, not an integer")
    if value < low or (high is not None and value > high):
        raise ImageError(f"{what} is {value!s:.40}, limits {low}..{'' if high is None else high}")
    return value


def _pair(value: Any, what: str) -> tuple[int, int]:
    """Return a place (x, y) in the grid; raise if the value is not one."""
    if not isinstance(value, list) or len(value) != 2:
        raise ImageError(f"{what} {value!r:.40}, expected x and y")
    x, y = (_whole(n, 0, GRID_MAX, what) for n in value)
    return x, y


def _read_packets(
    packets: list[list[Mapping[str, Any]]], places: Mapping[tuple[int, int], int], ticks: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Read the input spikes; return the image's `inputs`, and the spikes uint8 (ticks, input lines)."""
    lines: dict[tuple[int, int], int] = {}
    events: list[tuple[int, int]] = []
    for t, row in enumerate(packets):
        for packet in row:
            where = f"packet at tick {t}"
            check_keys(packet, _PACKET, where)
            place = _pair(packet["destination_core"], f"{where}: destination_core")
            if place not in places:
                raise ImageError(f"{where}: no core at {list(place)}")
            axon = packet["destination_axon"]
            _whole(axon, 0, limits.AXONS - 1, f"{where}: destination_axon")
            late = packet["destination_tick"]
            _whole(late, 0, limits.SCHEDULER_SLOTS - 1, f"{where}: destination_tick")
            line = lines.setdefault((places[place], axon), len(lines))
            events.append((t + late, line))
    # `ticks` is a number in the file, so it does not bound the memory by itself
    check_cells(ticks, len(lines), "input lines")
    spikes = np.zeros((ticks, len(lines)), dtype=np.uint8)
    for t, line in events:
        if t < ticks:
            spikes[t, line] = 1
    inputs = np.array([(k, c, a) for (c, a), k in lines.items()], dtype=np.int32).reshape(-1, 3)
    return inputs, spikes


def _read_output(rows: list[str], ticks: int, width: int, lines: int) -> NDArray[np.uint8]:
    """Read the bus's printed rows, of `width` columns; return output spikes uint8 (ticks - 1, lines)."""
    # The bus prints a spike of tick t in row t + 1, so the spikes of the last tick are not printed.
    shown = [row.lstrip("\ufeff").split() for row in rows[1 : max(1, ticks)]]
    for t, cells in enumerate(shown, 1):
        if len(cells) != width or not set(cells) <= {"0", "1"}:
            raise ImageError(f"output, row {t}: not {width} columns of 0 and 1")
    table = np.array(shown, dtype=np.uint8).reshape(-1, width)
    if table[:, lines:].any():
        raise ImageError(f"output: a spike on a line above {lines - 1}, but no neuron drives one")
    return np.ascontiguousarray(table[:, :lines])
