"""Read networks and spikes of the RANC simulator (University of Arizona): its JSON, plain or gzip-compressed."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import ImageError, InputError
from ..image import CoreImage, blank
from .documents import check_keys, read_document
from .ranc_cores import LATE, read_crossbar, read_neurons
from .ranc_places import Surroundings, pair, surroundings, whole
from .ranc_resets import differs, reset_at_threshold
from .spikes import check_cells

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_DOCUMENT: Final = {"config", "network", "ticks", "output"}
_NETWORK: Final = {"packets", "output_bus", "cores"}
_PACKET: Final = {"destination_core", "destination_axon", "destination_tick"}
_SETTINGS: Final = {
    "neuron_reset_type": (0, 1),
    "num_weights": (limits.AXON_TYPES, limits.AXON_TYPES),
    "max_tick_offset": (limits.SCHEDULER_SLOTS, limits.SCHEDULER_SLOTS),
    "num_neurons": (0, None),
    "num_axons": (0, None),
    "num_cores_x": (0, None),
    "num_cores_y": (0, None),
}
"""Settings that change what a network does, with the values that the chip can do."""

_CONFIG: Final = {
    *("neuron_block_trace_verbosity", "core_controller_trace_verbosity"),
    *("scheduler_trace_verbosity", *_SETTINGS),
}


class LossyImport(UserWarning):
    """An import dropped something, as the simulator of the format does, or assumed something; the text says what."""


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

    Warns
    -----
    LossyImport
        For spikes that RANC drops, which are dropped here as well.

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
    config = document.get("config", {})
    _check_config(config)
    network = document["network"]
    check_keys(network, _NETWORK, "network")
    around = surroundings(network, config)
    arrays = blank(len(around.places))
    late: list[str] = []
    for c, core in enumerate(network["cores"]):
        read_crossbar(arrays, c, core)
        late += read_neurons(arrays, c, core, around)
    _warn_of_late("neuron", "drive nothing", late)
    _read_resets(arrays, config)
    packets = network["packets"]
    ticks = whole(document.get("ticks", len(packets)), 0, None, "ticks")
    arrays["inputs"], spikes = _read_packets(packets, around, ticks)
    arrays["grid"] = np.array(list(around.places), dtype=np.int32)
    leaving = np.nonzero(arrays["target_core"] == limits.TARGET_OUTPUT)
    rows = np.stack([*leaving, arrays["target_axon"][leaving]], axis=1)
    arrays["outputs"] = rows.astype(np.int32)
    image = CoreImage(**arrays).validate()
    expected = None
    if "output" in document:
        expected = _read_output(document["output"], ticks, around.lines, image.output_lines)
    return RancNetwork(image=image, spikes=spikes, expected=expected)


def _check_config(config: Mapping[str, Any]) -> None:
    """Raise if a setting is unknown, or would make RANC compute anything but a TrueNorth core."""
    check_keys(config, _CONFIG, "config")
    for name, (low, high) in _SETTINGS.items():
        found = config.get(name, low)
        if low == high and found != low:
            raise ImageError(f"config: {name} {found!r}, only {low} is supported")
        whole(found, low, high, f"config: {name}")


def _read_resets(arrays: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Apply the type of RANC's reset at the negative threshold; warn if the file does not state it and it matters."""
    if config.get("neuron_reset_type") == 1:
        reset_at_threshold(arrays)
    elif "neuron_reset_type" not in config:
        # a generator: the search ends at the first core that has such a neuron
        found = ((c, differs(arrays, c)) for c in range(len(arrays["seed"])))
        first = next(((c, int(np.argmax(which))) for c, which in found if which.any()), None)
        if first is not None:
            _warn(
                "the file has no config with neuron_reset_type, taken as 0: with 1 core"
                f" {first[0]}, neuron {first[1]} may fire otherwise"
            )


def _read_packets(
    packets: list[list[Mapping[str, Any]]], around: Surroundings, ticks: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Read the input spikes; return the image's `inputs`, and the spikes uint8 (ticks, input lines)."""
    lines: dict[tuple[int, int], int] = {}
    events: list[tuple[int, int]] = []
    dropped: list[str] = []
    for t, row in enumerate(packets):
        for packet in row:
            where = f"packet at tick {t}"
            check_keys(packet, _PACKET, where)
            place = pair(packet["destination_core"], f"{where}: destination_core")
            if place == around.bus:
                raise ImageError(f"{where}: {list(place)} is the output bus; no core can do that")
            core = around.check_place(place, where, "no core at")
            axon = whole(
                packet["destination_axon"], 0, around.axons - 1, f"{where}: destination_axon"
            )
            late = whole(packet["destination_tick"], 0, LATE, f"{where}: destination_tick")
            if late == LATE:
                dropped.append(where)
            elif core is not None:
                line = lines.setdefault((core, axon), len(lines))
                events.append((t + late, line))
    _warn_of_late("packet", "are dropped", dropped)
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


def _warn_of_late(what: str, happens: str, late: list[str]) -> None:
    """Warn of packets or neurons whose spikes RANC drops; `late` names these."""
    if late:
        _warn(
            f"{what}s with destination_tick {LATE} {happens}, as in RANC: {len(late)} of them,"
            f" the first: {late[0]}"
        )


def _warn(what: str) -> None:
    warnings.warn(LossyImport(what), stacklevel=3)
