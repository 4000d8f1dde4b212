"""Write core images as model files of IBM's TrueNorth tools (see `ibm`)."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import ImageError
from ..image import CoreImage, blank
from .ibm import NO_TYPE, UNCONNECTED, UNUSED
from .spikes import output_place

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEURON: Final = (
    *("weights", "stochastic_weights", "leak", "stochastic_leak", "epsilon", "threshold"),
    *("neg_threshold", "threshold_bits", "reset_mode", "kappa", "reset", "potential"),
)


def write_ibm(image: CoreImage, path: Path) -> None:
    """Write an image as a model file of IBM's tools (see `ibm_text`).

    Raises
    ------
    ImageError
        The format cannot express the image; the text names core, neuron and field.
    OSError
        The file cannot be written.

    """
    Path(path).write_text(ibm_text(image), encoding="ascii")


def ibm_text(image: CoreImage) -> str:
    """Return an image in the format of IBM's model files.

    The file names inputs by core and axon, so the numbers of input lines are not kept (`spikes.axon_events` turns
    spikes on lines into spikes on axons).

    Raises
    ------
    ImageError
        The format cannot express the image; the text names core, neuron and field.

    """
    image.validate()
    if image.coding is not None:
        raise ImageError("coding: IBM's format cannot express it")
    _check_resets(image)
    types, numbers = _types(image)
    crossbars: dict[str, str] = {}
    cores = [_core(image, c, numbers[c], crossbars) for c in range(image.cores)]
    model = {
        "coreCount": image.cores,
        "neuronclass": "NeuronGeneral",
        "crossbarSize": limits.AXONS,
        "crossbarclass": "CrossbarBinary",
        "networking": "INTRA",
        "useCrossbarPrototypes": True,
    }
    # One key `core` for each core, after the libraries: the files of IBM's tools repeat the key in this order.
    parts = [
        f'"model":{_json(model)}',
        '"crossbarTypes":[\n'
        + ",\n".join(
            f'{{"name":"{name}","crossbar":{{"rows":{rows}}}}}' for rows, name in crossbars.items()
        )
        + "\n]",
        '"neuronTypes":[\n' + ",\n".join(types) + "\n]",
        *(f'"core":{core}' for core in cores),
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def compress(values: Sequence[int]) -> list[int | str]:
    """Write a list as runs and ranges; the inverse of `ibm.expand`."""
    items: list[int | str] = []
    at = 0
    while at < len(values):
        # The longest run of equal values from here, and the longest range; ranges of two save nothing.
        same = len(list(next(groupby(values[at:]))[1]))
        rising = 1
        while at + rising < len(values) and values[at + rising] == values[at] + rising:
            rising += 1
        if same > 1:
            items.append(f"{values[at]}x{same}")
        elif rising > 2:
            items.append(f"{values[at]}:{values[at + rising - 1]}")
        else:
            items.append(values[at])
            rising = 1
        at += max(same, rising)
    return items


def _check_resets(image: CoreImage) -> None:
    """Raise if a reset potential is not +-(2^VR - 1), the only values that the format has."""
    expressible = 2 ** np.arange(limits.RESET_MAX.bit_length() + 1) - 1
    bad = ~np.isin(np.abs(image.reset), expressible)
    if bad.any():
        c, j = np.argwhere(bad)[0]
        raise ImageError(
            f"core {c}, neuron {j}: IBM's format cannot express reset {image.reset[c, j]},"
            " only +-(2^VR - 1)"
        )


def _types(image: CoreImage) -> tuple[list[str], list[list[int]]]:
    """Assign distinct neurons numbers from 1; return their types in the format, and every core's numbers.

    A neuron that is blank and has no target is not in use: NO_TYPE.
    """
    empty = blank(1)
    unused = (
        *(tuple(np.atleast_1d(empty[name][0, 0]).tolist()) for name in _NEURON),
        limits.TARGET_NONE,
    )
    known: dict[Any, int] = {}
    numbers = []
    for c in range(image.cores):
        # (256,) fields become columns of width 1, like the weights' of width 4: every value is a tuple
        columns = [np.atleast_2d(getattr(image, name)[c].T).T.tolist() for name in _NEURON]
        row = []
        for j, values in enumerate(zip(*columns, strict=True)):
            key = tuple(map(tuple, values))
            if (*key, image.target_core[c, j]) == unused and image.delay[c, j] == limits.DELAY_MIN:
                row.append(NO_TYPE)
            else:
                row.append(known.setdefault(key, len(known) + 1))
        numbers.append(row)
    return [_json(_type(key, n)) for key, n in known.items()], numbers


def _type(key: tuple[tuple[int, ...], ...], number: int) -> dict[str, Any]:
    """Return a neuron type as the format's object; `key` has the values of the fields _NEURON."""
    values: dict[str, Any] = dict(zip(_NEURON, key, strict=True))
    weights = values.pop("weights")
    one = {name: value[0] for name, value in values.items()}
    groups = range(limits.AXON_TYPES)
    return {
        "name": f"N{number:08X}",
        "class": "NeuronGeneral",
        **{f"sigma{g}": _sign(weights[g]) for g in groups},
        **{f"s{g}": abs(weights[g]) for g in groups},
        **{f"b{g}": bool(one["stochastic_weights"] >> g & 1) for g in groups},
        "sigma_lambda": _sign(one["leak"]),
        "lambda": abs(one["leak"]),
        "c_lambda": bool(one["stochastic_leak"]),
        "epsilon": bool(one["epsilon"]),
        "alpha": one["threshold"],
        "beta": one["neg_threshold"],
        "TM": one["threshold_bits"],
        "gamma": one["reset_mode"],
        "kappa": bool(one["kappa"]),
        "sigma_VR": _sign(one["reset"]),
        "VR": abs(one["reset"]).bit_length(),  # of 2^VR - 1; other resets have been refused
        "V": one["potential"],
    }


def _core(image: CoreImage, c: int, types: list[int], crossbars: dict[str, str]) -> str:
    """Return a core as the format's object, and add its crossbar to `crossbars` (rows to name) unless it is there."""
    bits = np.unpackbits(image.crossbar[c], axis=1, bitorder="little")
    packed = np.packbits(bits, axis=1, bitorder="big")
    rows = [
        {"type": f"S{g}", "synapses": row.tobytes().hex(" ").upper()}
        for g, row in zip(image.axon_type[c].tolist(), packed, strict=True)
    ]
    name = crossbars.setdefault(_json(rows), f"coreProt{len(crossbars) + 1:07}")
    targets = zip(types, image.target_core[c].tolist(), image.target_axon[c].tolist(), strict=True)
    places = [_place(*target) for target in targets]
    neurons = {
        "dendrites": [f"0:{limits.NEURONS - 1}"],
        "types": compress(types),
        "destCores": compress([core for core, _ in places]),
        "destAxons": compress([axon for _, axon in places]),
        "destDelays": compress(image.delay[c].tolist()),
    }
    return _json(
        {
            "id": c,
            "timeScaleExponent": 0,
            "rngSeed": int(image.seed[c]),
            "neurons": neurons,
            "crossbar": {"name": name},
        }
    )


def _place(number: int, core: int, axon: int) -> tuple[int, int]:
    """Return the (destCore, destAxon) of a neuron of a type, as IBM's tools write it."""
    if core == limits.TARGET_OUTPUT:
        return output_place(axon)
    if core == limits.TARGET_NONE:
        return UNUSED if number == NO_TYPE else UNCONNECTED
    return core, axon


def _sign(value: int) -> int:
    return -1 if value < 0 else 1


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
