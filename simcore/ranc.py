"""Read networks and spikes of the RANC simulator (University of Arizona): its JSON, plain or gzip'd."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import limits
from .errors import ImageError
from .image import CoreImage, blank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


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
    network = document["network"]
    places = {tuple(core["coordinates"]): c for c, core in enumerate(network["cores"])}
    bus = network["output_bus"]
    arrays = blank(len(places))
    outputs: list[tuple[int, int, int]] = []
    for c, core in enumerate(network["cores"]):
        _read_core(arrays, c, core, places, tuple(bus["coordinates"]), outputs)
    ticks = int(document["ticks"]) if "ticks" in document else len(network["packets"])
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
    connections = np.array(core["connections"], dtype=np.uint8)
    if connections.shape[1] > limits.AXONS or len(connections) > limits.NEURONS:
        raise ImageError(
            f"core {c}: {connections.shape[1]} axons x {len(connections)} neurons, limit 256 x 256"
        )
    arrays["axon_type"][c, : len(types)] = types
    synapses = np.zeros((limits.AXONS, limits.NEURONS), dtype=np.uint8)
    synapses[: connections.shape[1], : len(connections)] = connections.T
    arrays["crossbar"][c] = np.packbits(synapses, axis=1, bitorder="little")
    for j, neuron in enumerate(core["neurons"]):
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
