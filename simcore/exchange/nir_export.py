"""Write networks in NIR, the Neuromorphic Intermediate Representation (package `nir`, extra `[nir]`).

NIR describes networks of real numbers in continuous time.  A warning lists what it cannot express of a core image.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import SimcoreError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..image import CoreImage

MAX_WEIGHTS: Final = 2**27
"""Most weights of all matrices of a graph (512 MB): NIR's matrices are dense."""

_ALWAYS: Final = (
    "bit widths: NIR has no quantisation, the numbers are floats here",
    "integer semantics: 20-bit saturation, and order within a tick (synapses, leak, fire, reset)",
    "time: one unit is one tick",
    "crossbar and axon types: weights are written out as matrices",
)


class LossyExport(UserWarning):
    """An export left something out; the text lists it, one item on each line."""


def to_nir(image: CoreImage) -> Any:
    """Return a NIR graph of an image.

    `input` leads through `core_c_in` (Affine: weights of the input lines, with the leak as bias) to `core_c` (IF,
    256 neurons), from there through `core_c_out` (Linear, 0/1) to `output`, and through `core_c_delay` (Delay, ticks)
    and `core_c_to_d` (Linear) to the cores it feeds.  NIR fires at v > v_threshold and the chip at V >= alpha, so
    v_threshold is alpha - 1/2, which is the same for integers.

    Returns
    -------
    nir.NIRGraph
        The graph.

    Warns
    -----
    LossyExport
        Always; the text lists what NIR cannot express.

    Raises
    ------
    SimcoreError
        The package `nir` is not installed or older than 1.0.6, or the matrices would exceed `MAX_WEIGHTS`.

    """
    nir = _package()
    image.validate()
    pairs = _pairs(image)
    lines, outputs = max(1, image.input_lines), max(1, image.output_lines)
    feeding = {c for c, _ in pairs}
    # Every node leads somewhere and `output` has a source, because nir adds an Output or Input to those that have none.
    leaving = sorted({*image.outputs[:, 0].tolist(), *(set(range(image.cores)) - feeding)}) or [0]
    size = limits.NEURONS * (
        image.cores * lines + len(pairs) * limits.NEURONS + len(leaving) * outputs
    )
    if size > MAX_WEIGHTS:
        raise SimcoreError(f"NIR: {size} weights in dense matrices, limit {MAX_WEIGHTS}")
    warnings.warn(LossyExport("NIR cannot express\n" + "\n".join(losses(image))), stacklevel=2)
    nodes = {
        "input": nir.Input(input_type={"input": np.array([lines])}),
        "output": nir.Output(output_type={"output": np.array([outputs])}),
    }
    edges = []
    for c in range(image.cores):
        neurons = f"core_{c}"
        nodes[f"{neurons}_in"] = nir.Affine(
            weight=_from_lines(image, c, lines), bias=image.leak[c].astype(np.float32)
        )
        nodes[neurons] = _neurons(nir, image, c)
        edges += [("input", f"{neurons}_in"), (f"{neurons}_in", neurons)]
    for c in sorted(feeding):
        nodes[f"core_{c}_delay"] = nir.Delay(delay=image.delay[c].astype(np.float32))
        edges.append((f"core_{c}", f"core_{c}_delay"))
    for c, d in pairs:
        name = f"core_{c}_to_{d}"
        nodes[name] = nir.Linear(weight=_between(image, c, d))
        edges += [(f"core_{c}_delay", name), (name, f"core_{d}")]
    for c in leaving:
        name = f"core_{c}_out"
        nodes[name] = nir.Linear(weight=_to_outputs(image, c, outputs))
        # An output spike leaves in the tick in which the neuron fires, without its axonal delay.
        edges += [(f"core_{c}", name), (name, "output")]
    return nir.NIRGraph(nodes=nodes, edges=edges)


def write_nir(image: CoreImage, path: Path) -> None:
    """Write an image as a NIR file (HDF5); see `to_nir` for the graph, the warning and the errors."""
    _package().write(path, to_nir(image))


def losses(image: CoreImage) -> list[str]:
    """List the features of an image that NIR cannot express, one line each, with the number of neurons concerned.

    An image without one of the counted features gives the same spikes by the equations of its graph.
    """
    found = list(_ALWAYS)
    if merging := _merging(image):
        found.append(
            "axons with several sources, whose spikes of one tick merge on the chip and add in NIR:"
            f" {merging} axons"
        )
    counted = {
        "reset_mode 1 (linear), written as a reset to 0": image.reset_mode == 1,
        "reset_mode 2 (none), written as a reset to 0": image.reset_mode == 2,
        "neg_threshold": _falls(image),
        "kappa (saturation at the negative threshold)": image.kappa == 1,
        "epsilon (leak reversal), written as a constant leak": (image.epsilon == 1)
        & (image.leak != 0),
        "stochastic_weights, written as certain": image.stochastic_weights != 0,
        "stochastic_leak, written as certain": image.stochastic_leak != 0,
        "threshold_bits (stochastic threshold)": image.threshold_bits != 0,
        "potential (initial state)": image.potential != 0,
    }
    found += [f"{what}: {int(n.sum())} neurons" for what, n in counted.items() if n.any()]
    if image.grid is not None:
        found.append("grid: where the cores are placed")
    if image.coding is not None:
        found.append("coding: how questions are presented, and what the host makes of the answer")
    return found


def _package() -> Any:
    """Import and return the package `nir`; raise if it is not installed or too old."""
    try:
        nir = importlib.import_module("nir")
        version = importlib.metadata.version("nir")
    except ImportError:
        raise SimcoreError(
            "NIR needs the package nir: install it with `pip install spikewatch[nir]`"
        ) from None
    # The field tells, not the number: it is what the graph needs.
    if "v_reset" not in {field.name for field in fields(nir.IF)}:
        raise SimcoreError(
            f"NIR: the package nir is {version}, at least 1.0.6 is needed (IF with v_reset): pip install 'nir>=1.0.6',"
            " in an environment without packages that want an older one, such as sinabs"
        )
    return nir


def _merging(image: CoreImage) -> int:
    """Return how many axons more than one input line or neuron drives."""
    inside = image.target_core >= 0
    neurons = np.stack([image.target_core[inside], image.target_axon[inside]], axis=1)
    _, sources = np.unique(
        np.concatenate([image.inputs[:, 1:], neurons]), axis=0, return_counts=True
    )
    return int((sources > 1).sum())


def _falls(image: CoreImage) -> NDArray[np.bool_]:
    """Return which neurons can fall below zero: only these need a negative threshold."""
    return (image.leak < 0) | (image.weights < 0).any(axis=2) | (image.potential < 0)


def _pairs(image: CoreImage) -> list[tuple[int, int]]:
    """Return the (core, target core) pairs that are connected."""
    core, neuron = np.nonzero(image.target_core >= 0)
    both = np.stack([core, image.target_core[core, neuron]], axis=1)
    return [(c, d) for c, d in np.unique(both, axis=0).tolist()]


def _neurons(nir: Any, image: CoreImage, c: int) -> Any:
    """Return a core's neurons as a NIR node."""
    # IF is dv/dt = r i: with r = 1 and one tick as the unit of time, v changes by the summed weights of a tick.
    alpha = image.threshold[c].astype(np.float32)
    reset = np.where(image.reset_mode[c] == 0, image.reset[c], 0).astype(np.float32)
    return nir.IF(r=np.ones_like(alpha), v_threshold=alpha - np.float32(0.5), v_reset=reset)


def _weights(image: CoreImage, c: int) -> NDArray[np.int16]:
    """Return the weight of every axon on every neuron of a core, int16 (256 axons, 256 neurons)."""
    synapses = np.unpackbits(image.crossbar[c], axis=1, bitorder="little")
    return np.where(synapses == 1, image.weights[c].T[image.axon_type[c]], np.int16(0))


def _from_lines(image: CoreImage, c: int, lines: int) -> NDArray[np.float32]:
    """Return the summed weights of the axons that each line drives, float32 (256, lines)."""
    # lines x neurons while summing, because add.at adds whole rows; NIR wants neurons x lines
    weight = np.zeros((lines, limits.NEURONS), dtype=np.float32)
    line, core, axon = image.inputs.T
    here = core == c
    # add.at, because a line may drive several axons of a core: += would keep the last one only.
    np.add.at(weight, line[here], _weights(image, c)[axon[here]])
    return np.ascontiguousarray(weight.T)


def _between(image: CoreImage, c: int, d: int) -> NDArray[np.float32]:
    """Return the weight of each neuron of core c on each neuron of core d, float32 (256 of d, 256 of c)."""
    weight = np.zeros((limits.NEURONS, limits.NEURONS), dtype=np.float32)
    source = np.nonzero(image.target_core[c] == d)[0]
    weight[:, source] = _weights(image, d)[image.target_axon[c, source]].T
    return weight


def _to_outputs(image: CoreImage, c: int, outputs: int) -> NDArray[np.float32]:
    """Return which neurons of a core drive each output line, 0/1 float32 (output lines, 256)."""
    weight = np.zeros((outputs, limits.NEURONS), dtype=np.float32)
    core, neuron, line = image.outputs.T
    weight[line[core == c], neuron[core == c]] = 1
    return weight
