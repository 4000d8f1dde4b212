"""Read and write the model files of IBM's TrueNorth tools: JSON with comments and run-length lists.

The format is not public; `docs/exchange.md` states which readings are confirmed by known files and which are ours.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import ImageError
from ..image import CoreImage, blank
from ..limits import MAX_LINES
from .documents import check_keys, read_document
from .spikes import OFF_CHIP, output_line, output_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BOOLEANS: Final = ("b0", "b1", "b2", "b3", "c_lambda", "epsilon", "kappa")
"""Fields of a neuron type that are true or false."""

RANGES: Final = {
    **{f"s{g}": (0, limits.WEIGHT_MAX) for g in range(limits.AXON_TYPES)},
    "lambda": (0, limits.LEAK_MAX),
    "alpha": (0, limits.THRESHOLD_MAX),
    "beta": (0, limits.THRESHOLD_MAX),
    "TM": (0, limits.THRESHOLD_BITS_MAX),
    "gamma": (0, 2),
    "VR": (0, limits.RESET_MAX.bit_length()),
    "V": (limits.POTENTIAL_MIN, limits.POTENTIAL_MAX),
}
"""Limits of the integer fields of a neuron type."""

SIGNS: Final = ("sigma0", "sigma1", "sigma2", "sigma3", "sigma_lambda", "sigma_VR")
"""Fields of a neuron type that are 1 or -1."""

NO_TYPE: Final = 0
"""Entry of `types` for a neuron that is not in use."""

UNUSED: Final = (-1, 0)
"""(destCore, destAxon) by which IBM's tools write the target of a neuron that is not in use."""

UNCONNECTED: Final = (-2, -1)
"""(destCore, destAxon) by which IBM's tools write that a neuron in use has no target."""

_NOWHERE: Final = {UNUSED[0], UNCONNECTED[0]}

# Strings come first, so that comment marks inside them do not count.  With \Z, an unterminated string or comment
# matches to the end of the text; failing there would scan the rest again from every later mark.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|/\*.*?(?:\*/|\Z)|//[^\n]*', re.DOTALL)
_RUN = re.compile(r"(-?\d{1,10})x(\d{1,5})")
_RANGE = re.compile(r"(-?\d{1,10})(?::(-?\d{1,10}))?:(-?\d{1,10})")
_TYPE_NAME = re.compile(r"N([0-9A-Fa-f]{8})")
_FIXED: Final = {
    "neuronclass": "NeuronGeneral",
    "crossbarSize": limits.AXONS,
    "crossbarclass": "CrossbarBinary",
    "networking": "INTRA",
}
_TOP: Final = {"model", "crossbarTypes", "neuronTypes", "core"}
_MODEL: Final = {"coreCount", "buildKey64", "useCrossbarPrototypes", *_FIXED}
_CORE: Final = {"metadata", "id", "timeScaleExponent", "rngSeed", "neurons", "crossbar"}
_LISTS: Final = {"dendrites", "types", "destCores", "destAxons", "destDelays"}


def read_ibm(path: Path) -> CoreImage:
    """Read a model file of IBM's tools.

    The format names inputs by core and axon, so each axon becomes a separate input line, 256 core + axon.  Output
    line l is axon l % 256 of core -32 - l // 256 in the format.

    Raises
    ------
    ImageError
        The file cannot be read, is not in the format, or has a value that the chip cannot hold; the text names file
        and field.

    """
    try:
        text = read_document(path).decode()
    except UnicodeDecodeError:
        raise ImageError(f"{path}: not UTF-8 text") from None
    try:
        return _image(_parse(text))
    except ImageError as e:
        raise ImageError(f"{path}: {e}") from None
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError) as e:
        # What hostile JSON of other shapes can raise; a check for each place would be longer than the reader.
        why = f"field {e} is missing" if isinstance(e, KeyError) else f"{type(e).__name__} {e}"
        raise ImageError(f"{path}: not an IBM model: {why}") from None


def expand(items: Sequence[int | str], what: str, length: int = limits.NEURONS) -> list[int]:
    """Expand a run-length list: 7, "1x128" (128 ones), "0:255" (a range), "231:4:255" (a range with its step).

    Raises
    ------
    ImageError
        An item has another form, or there are more than `length` values.

    """
    values: list[int] = []
    for item in items:
        if type(item) is int:
            values.append(item)
        elif isinstance(item, str) and (run := _RUN.fullmatch(item)):
            # One value beyond the limit is enough to be refused below; "0x99999" must not cost memory first.
            values += [int(run[1])] * min(int(run[2]), length + 1)
        elif isinstance(item, str) and (span := _RANGE.fullmatch(item)):
            values += _span(int(span[1]), int(span[2] or 1), int(span[3]), what, length)
        else:
            raise ImageError(f"{what}: {item!r} is not a number, run or range")
        if len(values) > length:
            raise ImageError(f"{what}: more than {length} values")
    return values


def _span(first: int, step: int, last: int, what: str, length: int) -> list[int]:
    """Expand a range whose last value is included, to at most `length` + 1 values, which `expand` refuses."""
    if step == 0:
        raise ImageError(f"{what}: a range with step 0")
    return list(range(first, last + (1 if step > 0 else -1), step)[: length + 1])


def _parse(text: str) -> dict[str, Any]:
    """Parse JSON with comments; the values of the repeated key `core` become one list."""
    # _TOKEN matches strings as well, so that /* and // inside a string are left alone.
    plain = _TOKEN.sub(lambda m: m[0] if m[0][0] == '"' else " ", text)
    try:
        document = json.loads(plain, object_pairs_hook=_object)
    except (ValueError, RecursionError) as e:
        raise ImageError(f"not a JSON document: {e}") from None
    if not isinstance(document, dict):
        raise ImageError("not a JSON object")
    check_keys(document, _TOP, "model file")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; raise if a key other than `core` is repeated."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key == "core":
            found.setdefault(key, []).append(value)
        elif key in found:
            raise ImageError(f"duplicate key {key}")
        else:
            found[key] = value
    return found


def _image(document: Mapping[str, Any]) -> CoreImage:
    """Make the image of a parsed model file."""
    cores = document["core"]
    _check_model(document["model"], len(cores))
    types = _neuron_types(document["neuronTypes"])
    crossbars = _crossbar_types(document.get("crossbarTypes", []))
    if sorted(core["id"] for core in cores) != list(range(len(cores))):
        raise ImageError(f"cores: the ids are not 0..{len(cores) - 1}, each once")
    arrays = blank(len(cores))
    for core in cores:
        _read_core(arrays, core, types, crossbars)
    core_of, axon_of = np.divmod(np.arange(len(cores) * limits.AXONS), limits.AXONS)
    line = core_of * limits.AXONS + axon_of
    arrays["inputs"] = np.stack([line, core_of, axon_of], axis=1).astype(np.int32)
    c, j = np.nonzero(arrays["target_core"] == limits.TARGET_OUTPUT)
    arrays["outputs"] = np.stack([c, j, arrays["target_axon"][c, j]], axis=1).astype(np.int32)
    return CoreImage(**arrays).validate()


def _check_model(model: Mapping[str, Any], cores: int) -> None:
    """Raise if the model's settings are not those of TrueNorth, or do not fit a file with so many cores."""
    check_keys(model, _MODEL, "model")
    for name, value in _FIXED.items():
        if model.get(name, value) != value:
            raise ImageError(f"model: {name} {model[name]!r}, only {value} is supported")
    if model["coreCount"] != cores:
        raise ImageError(f"model: coreCount {model['coreCount']}, but the file has {cores} cores")
    if not 1 <= cores <= MAX_LINES // limits.AXONS:
        raise ImageError(f"model: {cores} cores, limits 1..{MAX_LINES // limits.AXONS}")


def _crossbar_types(
    entries: Sequence[Mapping[str, Any]],
) -> dict[str, tuple[list[int], NDArray[np.uint8]]]:
    """Read the library of crossbars that cores share; return axon types and synapses by name."""
    crossbars: dict[str, tuple[list[int], NDArray[np.uint8]]] = {}
    for entry in entries:
        check_keys(entry, {"name", "crossbar"}, "crossbarTypes")
        if entry["name"] in crossbars:
            raise ImageError(f"crossbarTypes: duplicate name {entry['name']}")
        crossbars[entry["name"]] = _crossbar(entry["crossbar"], entry["name"])
    return crossbars


def _neuron_types(entries: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Read the library of neuron types; return the image's fields by the number in the type's name."""
    types: dict[int, dict[str, Any]] = {}
    for entry in entries:
        name = entry["name"]
        number = _TYPE_NAME.fullmatch(name)
        if number is None:
            raise ImageError(f"neuronTypes: name {name!r}, expected N and 8 hexadecimal digits")
        if int(number[1], 16) in types:
            raise ImageError(f"neuronTypes: duplicate name {name}")
        types[int(number[1], 16)] = _neuron_type(entry, f"neuron type {name}")
    return types


def _neuron_type(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check a neuron type; return it as fields of the image."""
    _check_neuron_type(entry, where)
    groups = range(limits.AXON_TYPES)
    return {
        "weights": [entry[f"sigma{g}"] * entry[f"s{g}"] for g in groups],
        "stochastic_weights": sum(int(entry[f"b{g}"]) << g for g in groups),
        "leak": entry["sigma_lambda"] * entry["lambda"],
        "stochastic_leak": int(entry["c_lambda"]),
        "epsilon": int(entry["epsilon"]),
        "threshold": entry["alpha"],
        "neg_threshold": entry["beta"],
        "threshold_bits": entry["TM"],
        "reset_mode": entry["gamma"],
        "kappa": int(entry["kappa"]),
        "reset": entry["sigma_VR"] * (2 ** entry["VR"] - 1),
        "potential": entry["V"],
    }


def _check_neuron_type(entry: Mapping[str, Any], where: str) -> None:
    """Raise if a field is unknown, missing, of another type or outside its limits; the text names it."""
    fields = {*BOOLEANS, *RANGES, *SIGNS}
    check_keys(entry, {"name", "class", *fields}, where)
    if entry.get("class", "NeuronGeneral") != "NeuronGeneral":
        raise ImageError(f"{where}: class {entry['class']!r}, only NeuronGeneral is supported")
    for name in sorted(fields):
        value = entry.get(name)
        low, high = RANGES.get(name, (0, 1) if name in BOOLEANS else (-1, 1))
        # By type, not isinstance: True must not pass as 1 for a number.
        whole = type(value) is int or (name in BOOLEANS and type(value) is bool)
        if value is None or not whole or not low <= value <= high or (name in SIGNS and not value):
            expected = "expected 1 or -1" if name in SIGNS else f"limits {low}..{high}"
            raise ImageError(f"{where}: {name} {value!r}, {expected}")


def _crossbar(crossbar: Mapping[str, Any], name: str) -> tuple[list[int], NDArray[np.uint8]]:
    """Read axon types and synapses; return them with the synapses packed as in `CoreImage.crossbar`."""
    check_keys(crossbar, {"rows"}, f"crossbar {name}")
    rows = crossbar["rows"]
    if len(rows) != limits.AXONS:
        raise ImageError(f"crossbar {name}: {len(rows)} rows, expected {limits.AXONS}")
    types, synapses = [], []
    for i, row in enumerate(rows):
        check_keys(row, {"type", "synapses"}, f"crossbar {name}, row {i}")
        if row["type"] not in {"S0", "S1", "S2", "S3"}:
            raise ImageError(f"crossbar {name}, row {i}: type {row['type']!r}, limits S0..S3")
        if not re.fullmatch(r"[0-9A-Fa-f]{2}( [0-9A-Fa-f]{2}){31}", row["synapses"]):
            raise ImageError(f"crossbar {name}, row {i}: synapses are not 32 hexadecimal bytes")
        types.append(int(row["type"][1]))
        synapses.append(list(bytes.fromhex(row["synapses"])))
    # In a hex byte of the file the first neuron is the most significant bit, in ours the least significant.
    bits = np.unpackbits(np.array(synapses, dtype=np.uint8), axis=1, bitorder="big")
    return types, np.packbits(bits, axis=1, bitorder="little")


def _read_core(
    arrays: dict[str, Any],
    core: Mapping[str, Any],
    types: Mapping[int, Mapping[str, Any]],
    crossbars: Mapping[str, tuple[list[int], NDArray[np.uint8]]],
) -> None:
    """Write one core of the file into the image's arrays."""
    c = core["id"]
    where = f"core {c}"
    check_keys(core, _CORE, where)
    if core.get("timeScaleExponent", 0) != 0:
        raise ImageError(
            f"{where}: timeScaleExponent {core['timeScaleExponent']!r}, only 0 is supported"
        )
    seed = core["rngSeed"]
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ImageError(f"{where}: rngSeed {seed!r}, limits 0..{2**32 - 1}")
    arrays["seed"][c] = seed
    crossbar = core["crossbar"]
    if "rows" in crossbar:
        axon_types, synapses = _crossbar(crossbar, f"of core {c}")
    elif crossbar.get("name") in crossbars:
        axon_types, synapses = crossbars[crossbar["name"]]
    else:
        raise ImageError(f"{where}: crossbar {crossbar.get('name')!r} is not in crossbarTypes")
    arrays["axon_type"][c] = axon_types
    arrays["crossbar"][c] = synapses
    _read_neurons(arrays, c, core["neurons"], types)


def _read_neurons(
    arrays: dict[str, Any],
    c: int,
    neurons: Mapping[str, Any],
    types: Mapping[int, Mapping[str, Any]],
) -> None:
    """Write a core's neurons, given by run-length lists, into the image's arrays."""
    where = f"core {c}"
    for j, number, target, axon, delay in _neuron_rows(neurons, where):
        fields = types.get(number, {})
        if not fields and (number != NO_TYPE or target not in _NOWHERE):
            raise ImageError(f"{where}, neuron {j}: type {number} is not in neuronTypes")
        for name, value in fields.items():
            arrays[name][c, j] = value
        _check_target(f"{where}, neuron {j}", len(arrays["seed"]), target, axon, delay)
        arrays["delay"][c, j] = delay
        if target in _NOWHERE:
            continue  # as in a blank image, whatever the axon is
        off_chip = target <= OFF_CHIP
        arrays["target_core"][c, j] = limits.TARGET_OUTPUT if off_chip else target
        arrays["target_axon"][c, j] = output_line(target, axon) if off_chip else axon


def _neuron_rows(
    neurons: Mapping[str, Any], where: str
) -> Iterator[tuple[int, int, int, int, int]]:
    """Expand a core's lists; yield (crossbar column, type, destCore, destAxon, destDelay) of each neuron."""
    if not isinstance(neurons, dict):
        raise ImageError(f"{where}: neurons is not an object of run-length lists")
    check_keys(neurons, _LISTS, where)
    columns = {name: expand(items, f"{where}, {name}") for name, items in neurons.items()}
    dendrites = columns.pop("dendrites", list(range(limits.NEURONS)))
    for name, values in columns.items():
        if len(values) != len(dendrites):
            raise ImageError(f"{where}: {len(values)} {name}, but {len(dendrites)} dendrites")
    if len(set(dendrites)) != len(dendrites) or not set(dendrites) <= set(range(limits.NEURONS)):
        raise ImageError(f"{where}: dendrites are not distinct numbers 0..{limits.NEURONS - 1}")
    lists = (columns[name] for name in ("types", "destCores", "destAxons", "destDelays"))
    return zip(dendrites, *lists, strict=True)


def _check_target(where: str, cores: int, target: int, axon: int, delay: int) -> None:
    """Raise if a neuron's destination is outside the format's or the chip's limits."""
    nowhere = target in _NOWHERE
    if OFF_CHIP < target < 0 and not nowhere:
        raise ImageError(
            f"{where}: destCore {target}, expected a core, -1 or -2 (nowhere)"
            f" or {OFF_CHIP} and below (off the chip)"
        )
    lowest, _ = output_place(MAX_LINES - 1)
    for name, value, low, high in (
        ("destCore", target, lowest, cores - 1),
        ("destAxon", axon, -1 if nowhere else 0, limits.AXONS - 1),
        ("destDelay", delay, limits.DELAY_MIN, limits.DELAY_MAX),
    ):
        if not low <= value <= high:
            raise ImageError(f"{where}: {name} {value}, limits {low}..{high}")
