"""Read and write networks and spikes of the RANC simulator (University of Arizona): its JSON, plain or gzip'd."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import limits
from .errors import ImageError, InputError
from .image import CoreImage, blank
from .spikes import MAX_CELLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

_NEURON_FIELDS: Final = {
    "weights": "weights",
    "leak": "leak",
    "positive_threshold": "threshold",
    "negative_threshold": "neg_threshold",
    "reset_potential": "reset",
    "reset_mode": "reset_mode",
    "current_potential": "potential",
    "destination_core_offset": "target_core",
    "destination_axon": "target_axon",
    "destination_tick": "delay",
}
_CONFIG: Final = {"neuron_reset_type": 0, "num_weights": 4}
_UNSAYABLE: Final = ("kappa", "stochastic_weights", "threshold_bits")
_UNSAYABLE_LEAKS: Final = ("epsilon", "stochastic_leak")


@dataclass(frozen=True, kw_only=True, slots=True)
class RancNetwork:
    """A network of the RANC simulator with the spikes that its file carries.

    Attributes
    ----------
    image : CoreImage
        The cores, in the order of the file; input line = one (core, axon) that a packet names.
    spikes : uint8 (ticks, input lines)
        Input spikes.
    expected : uint8 (ticks - 1, output lines) or None
        Output spikes by the tick in which the neurons fired, where the file carries them; it does not show the
        last tick's.

    """

    image: CoreImage
    spikes: NDArray[np.uint8]
    expected: NDArray[np.uint8] | None


def read_ranc(path: Path) -> RancNetwork:
    """Read a RANC JSON file.

    Raises
    ------
    ImageError
        The file cannot be read, is not in the format, or holds what the chip cannot do; one line naming it.

    """
    try:
        data = Path(path).read_bytes()
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except OSError as e:
        raise ImageError(f"{path}: {e.strerror or e}") from None
    except (ValueError, EOFError, RecursionError, zlib.error) as e:
        raise ImageError(f"{path}: not a JSON document: {e}") from None
    try:
        return _network(document)
    except ImageError as e:
        raise ImageError(f"{path}: {e}") from None
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError) as e:
        raise ImageError(f"{path}: not a RANC network: {type(e).__name__} {e}") from None


def _network(document: Mapping[str, Any]) -> RancNetwork:
    for name, value in _CONFIG.items():
        found = document.get("config", {}).get(name, value)
        if found != value:
            raise ImageError(f"config: {name} {found!r}, only {value} can be simulated")
    network = document["network"]
    places = {tuple(core["coordinates"]): c for c, core in enumerate(network["cores"])}
    bus = network["output_bus"]
    arrays = blank(len(places))
    outputs: list[tuple[int, int, int]] = []
    for c, core in enumerate(network["cores"]):
        _read_core(arrays, c, core, places, tuple(bus["coordinates"]), outputs)
    ticks = document.get("ticks", len(network["packets"]))
    if type(ticks) is not int:
        raise ImageError(f"ticks {ticks!r}, expected a whole number")
    inputs, spikes = _read_packets(network["packets"], places, ticks)
    arrays["inputs"] = inputs
    arrays["outputs"] = np.array(outputs, dtype=np.int32).reshape(-1, 3)
    image = CoreImage(**arrays).validate()
    expected = None
    if "output" in document:
        expected = _read_output(document["output"], ticks, image.output_lines)
    return RancNetwork(image=image, spikes=spikes, expected=expected)


def _read_core(
    arrays: dict[str, Any],
    c: int,
    core: Mapping[str, Any],
    places: Mapping[tuple[int, ...], int],
    bus: tuple[int, ...],
    outputs: list[tuple[int, int, int]],
) -> None:
    types = core["axons"]
    if any(type(kind) is not int for kind in types):
        raise ImageError(f"core {c}: axons other than whole numbers")
    connections = np.array(core["connections"])
    if connections.dtype.kind not in "iub" or not np.isin(connections, (0, 1)).all():
        raise ImageError(f"core {c}: connections other than 0 and 1")
    if connections.shape[1] > limits.AXONS or len(connections) > limits.NEURONS:
        raise ImageError(
            f"core {c}: {connections.shape[1]} axons x {len(connections)} neurons, limit 256 x 256"
        )
    arrays["axon_type"][c, : len(types)] = types
    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[: connections.shape[1], : len(connections)] = connections.T
    arrays["crossbar"][c] = np.packbits(synapses, axis=1, bitorder="little")
    for j, neuron in enumerate(core["neurons"]):
        _check_fields(c, j, neuron)
        if neuron["negative_threshold"] > 0:
            raise ImageError(
                f"core {c}, neuron {j}: negative_threshold {neuron['negative_threshold']}, limit 0"
                " (a lower bound above zero does not exist on TrueNorth)"
            )
        arrays["weights"][c, j] = neuron["weights"]
        arrays["leak"][c, j] = neuron["leak"]
        arrays["threshold"][c, j] = neuron["positive_threshold"]
        arrays["neg_threshold"][c, j] = -neuron["negative_threshold"]
        arrays["reset"][c, j] = neuron["reset_potential"]
        arrays["reset_mode"][c, j] = neuron["reset_mode"]
        arrays["potential"][c, j] = neuron["current_potential"]
        arrays["delay"][c, j] = neuron["destination_tick"] + 1
        dx, dy = neuron["destination_core_offset"]
        x, y = core["coordinates"]
        target = (x + dx, y + dy)
        arrays["target_axon"][c, j] = neuron["destination_axon"]
        if target == bus:
            arrays["target_core"][c, j] = limits.TARGET_OUTPUT
            outputs.append((c, j, neuron["destination_axon"]))
        elif target in places:
            arrays["target_core"][c, j] = places[target]
        else:
            raise ImageError(
                f"core {c}, neuron {j}: its target {list(target)} is neither core nor bus"
            )


def _check_fields(c: int, j: int, neuron: Mapping[str, Any]) -> None:
    unknown = sorted(neuron.keys() - _NEURON_FIELDS.keys())
    if unknown:
        raise ImageError(f"core {c}, neuron {j}: unknown field {unknown[0]}")
    for name, value in neuron.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float):
                raise ImageError(f"core {c}, neuron {j}: {name} is {number}, not an integer")


def _read_packets(
    packets: list[list[Mapping[str, Any]]], places: Mapping[tuple[int, ...], int], ticks: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    lines: dict[tuple[int, int], int] = {}
    events: list[tuple[int, int]] = []
    for t, row in enumerate(packets):
        for packet in row:
            place = tuple(packet["destination_core"])
            if place not in places:
                raise ImageError(f"packet at tick {t}: there is no core at {list(place)}")
            axon = (places[place], packet["destination_axon"])
            events.append((t + packet["destination_tick"], lines.setdefault(axon, len(lines))))
    if ticks < 0 or ticks * max(1, len(lines)) > MAX_CELLS:
        raise ImageError(f"ticks {ticks} x {len(lines)} input lines, limit {MAX_CELLS}")
    spikes = np.zeros((ticks, len(lines)), dtype=np.uint8)
    for t, line in events:
        if 0 <= t < ticks:
            spikes[t, line] = 1
    inputs = np.array([(k, c, a) for (c, a), k in lines.items()], dtype=np.int32).reshape(-1, 3)
    return inputs, spikes


def _read_output(rows: list[str], ticks: int, lines: int) -> NDArray[np.uint8]:
    # The bus prints a spike of tick t in row t + 1, so the spikes of the last tick are printed nowhere.
    shown = [[int(cell) for cell in row.lstrip("\ufeff").split()] for row in rows[1 : ticks + 1]]
    table = np.array(shown, dtype=np.uint8)
    if table[:, lines:].any():
        raise ImageError(f"output: a spike on a line above {lines - 1}, which no neuron drives")
    return table[:, :lines]


def write_ranc(
    image: CoreImage, spikes: ArrayLike, path: Path, expected: ArrayLike | None = None
) -> None:
    """Write an image and its input spikes as a RANC JSON file; gzip'd where the name ends in .gz.

    The cores stand row by row in a grid as square as possible, the bus below its first column.  Input lines become
    packets to (core, axon), so their numbers are not kept.

    Parameters
    ----------
    image
        A valid image in which every neuron can be said in the format.
    spikes
        0/1 (ticks, input lines).
    expected
        (ticks, output lines): output spikes to store for `--check`, or None.

    Raises
    ------
    ImageError
        Something that the format cannot say; one line naming core, neuron and field.
    InputError
        Spikes of another shape.
    OSError
        The file cannot be written.

    """
    image.validate()
    _check_sayable(image)
    raster = np.asarray(spikes, dtype=np.bool_)
    if raster.ndim != 2 or raster.shape[1] < image.input_lines:
        raise InputError(f"spikes: shape {raster.shape}, expected (ticks, {image.input_lines})")
    width = math.isqrt(image.cores - 1) + 1
    height = -(-image.cores // width)
    lines = max(1, image.output_lines)
    network = {
        "packets": _packets(image, raster, width),
        "output_bus": {"coordinates": [0, height], "num_outputs": lines},
        "cores": [_core(image, c, width, height) for c in range(image.cores)],
    }
    config = {
        "num_neurons": limits.NEURONS,
        "num_axons": limits.AXONS,
        "num_cores_x": width,
        "num_cores_y": height + 1,
        "num_weights": limits.AXON_TYPES,
        "max_tick_offset": limits.SCHEDULER_SLOTS,
        "neuron_reset_type": 0,
    }
    document = {"config": config, "network": network, "ticks": len(raster)}
    if expected is not None:
        shown = np.minimum(np.asarray(expected), 1)[: len(raster) - 1]
        # The bus prints a spike of tick t in row t + 1.
        rows = [[0] * lines, *shown.tolist()]
        document["output"] = [" ".join(map(str, row)) for row in rows[: len(raster)]]
    data = json.dumps(document, separators=(",", ":")).encode()
    Path(path).write_bytes(gzip.compress(data, mtime=0) if Path(path).suffix == ".gz" else data)


def _check_sayable(image: CoreImage) -> None:
    """Refuse the first neuron that the format cannot say."""
    for name in _UNSAYABLE:
        _refuse(image, name, getattr(image, name) != 0)
    for name in _UNSAYABLE_LEAKS:
        # Without a leak they change nothing.
        _refuse(image, name, (getattr(image, name) != 0) & (image.leak != 0))
    _refuse(image, "reset_mode", image.reset_mode == 2)
    nowhere = image.target_core == limits.TARGET_NONE
    _refuse(image, "target_core", nowhere & ~_silent(image))
    if image.coding is not None:
        raise ImageError("coding: cannot be said in RANC's format")


def _refuse(image: CoreImage, name: str, bad: NDArray[np.bool_]) -> None:
    if bad.any():
        c, j = np.argwhere(bad)[0]
        raise ImageError(
            f"core {c}, neuron {j}: {name} {getattr(image, name)[c, j]} cannot be said in RANC's format"
        )


def _silent(image: CoreImage) -> NDArray[np.bool_]:
    """Find neurons that never fire: no synapse, no upward leak and a start below the threshold, bool (cores, 256)."""
    unconnected = ~image.synapses().any(axis=1)
    rises = (image.leak > 0) | (image.potential >= image.threshold)
    # Without synapses only a fall below the negative threshold could lift the potential.
    falls = (image.leak < 0) | (image.potential < -image.neg_threshold)
    return unconnected & ~rises & ~falls


def _packets(image: CoreImage, raster: NDArray[np.bool_], width: int) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = []
    for spiking in raster:
        reached = image.inputs[spiking[image.inputs[:, 0]], 1:]
        rows.append(
            [
                {
                    "destination_core": [c % width, c // width],
                    "destination_axon": a,
                    "destination_tick": 0,
                }
                for c, a in np.unique(reached, axis=0).tolist()
            ]
        )
    return rows


def _core(image: CoreImage, c: int, width: int, height: int) -> dict[str, Any]:
    x, y = c % width, c // width
    connections = np.unpackbits(image.crossbar[c], axis=1, bitorder="little").T.tolist()
    neurons = []
    for j in range(limits.NEURONS):
        target = int(image.target_core[c, j])
        tx, ty = (
            (0, height) if target == limits.TARGET_OUTPUT else (target % width, target // width)
        )
        if target == limits.TARGET_NONE:
            tx, ty = x, y
        if max(abs(tx - x), abs(ty - y)) > limits.HOPS_MAX:
            raise ImageError(
                f"core {c}, neuron {j}: target_core {target} is {tx - x}, {ty - y} cores away,"
                f" limit {limits.HOPS_MAX}"
            )
        neurons.append(
            {
                "weights": image.weights[c, j].tolist(),
                "leak": int(image.leak[c, j]),
                "positive_threshold": int(image.threshold[c, j]),
                "negative_threshold": -int(image.neg_threshold[c, j]),
                "reset_potential": int(image.reset[c, j]),
                "reset_mode": int(image.reset_mode[c, j]),
                "current_potential": int(image.potential[c, j]),
                "destination_core_offset": [tx - x, ty - y],
                "destination_axon": int(image.target_axon[c, j]),
                "destination_tick": int(image.delay[c, j]) - 1,
            }
        )
    return {
        "axons": image.axon_type[c].tolist(),
        "connections": connections,
        "coordinates": [x, y],
        "neurons": neurons,
    }
