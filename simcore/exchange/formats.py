"""Open, run and convert networks of every format that simcore reads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from .. import limits
from ..chip.simulator import Simulator, pack_lines
from ..errors import InputError, SimcoreError
from ..image import CoreImage
from ..published import CORE_FILE, is_reference, model_files
from .ibm import read_ibm
from .ibm_export import ibm_text
from .kinds import network_format
from .nir_export import LossyExport, write_nir
from .ranc import read_ranc
from .ranc_export import write_ranc
from .spikes import (
    axon_events,
    axon_raster,
    check_cells,
    empty_raster,
    line_raster,
    read_events,
    read_text,
    write_events,
    write_outputs,
    write_text,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..chip.outcome import Outcome

Format = Literal["image", "ranc", "ibm", "nir"]
"""Formats that can be written."""

Origin = Literal["image", "model", "ranc", "ibm"]
"""Where a network can be read from: a file of a format, or a published model."""

SUFFIXES: Final[dict[str, Format]] = {
    ".safetensors": "image",
    ".gz": "ranc",
    ".nir": "nir",
    ".h5": "nir",
}
"""Formats that follow from the suffix of a file to be written; `.json` may be RANC's or IBM's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network from a file, with the spikes to run it on.

    Attributes
    ----------
    image : CoreImage
        The cores.
    format : str
        Where it was read from: a file (image, ranc or ibm) or a published model (model).
    spikes : uint8 (ticks, input lines) or None
        Input spikes, if the file or a spike file has them.
    expected : uint8 (ticks - 1, output lines) or None
        Output spikes to compare with, if the file has them (RANC).

    """

    image: CoreImage
    format: Origin
    spikes: NDArray[np.uint8] | None = None
    expected: NDArray[np.uint8] | None = None


def open_network(
    path: Path,
    spikes: Path | None = None,
    ticks: int | None = None,
    registry: Path | None = None,
) -> Network:
    """Read a core image, a published model, a RANC network or an IBM model, with its input spikes.

    Parameters
    ----------
    path
        The network.  The content of a file decides its format.  A name with `:` or `@` that is not a file is the
        reference of a published model.
    spikes
        A spike file, which replaces the spikes of a RANC file: `.txt` has lines `tick line`, any other suffix is IBM's
        sfti.  An IBM model gets one input line for each axon that this file names, ordered by core and axon.
    ticks
        Length of the run in ticks; None: that of a RANC file, or 15 ticks (the longest delay) after the last input
        spike.
    registry
        Directory of the registry that has the model; None: the bundled registry.

    Raises
    ------
    SimcoreError
        A file cannot be read, or the spikes do not fit the network.

    """
    origin = _origin(path)
    network = _read(path, origin, registry)
    if spikes is None:
        return _cut(network, ticks)
    image = network.image
    if spikes.suffix == ".txt":
        events = read_text(spikes)
        raster = line_raster(events, _length(events, ticks), image.input_lines)
    else:
        events = read_events(spikes)
        if origin == "ibm":
            image = _driven(image, events)
        raster = axon_raster(image, events, _length(events, ticks))
    return Network(image=image, format=origin, spikes=raster)


def run_network(network: Network, what: str) -> Outcome:
    """Run a network once on its input spikes and record every output spike.

    Raises
    ------
    InputError
        The network has no input spikes, or the record of the output would be too large; `what` names the network in
        the text.

    """
    if network.spikes is None:
        raise InputError(
            f"{what}: has no input spikes; give a spike file (--spikes) or a number of ticks (--ticks)"
        )
    # The record has ticks x output lines: a short file can ask for a huge one.
    check_cells(len(network.spikes), network.image.output_lines, "output lines")
    ticks = len(network.spikes)
    return Simulator(network.image).run(pack_lines(network.spikes), [0, ticks], record=True)


def write_network(network: Network, path: Path, to: Format | None = None) -> list[Path]:
    """Write a network in a format; its input spikes go into the same file, or one next to it (`.sfti`, `.txt`).

    Parameters
    ----------
    network
        The network to write.
    path
        The file to write.
    to
        The format; None: the one that the suffix of `path` stands for.

    Returns
    -------
    list of Path
        The files written.

    Warns
    -----
    LossyExport
        For everything left out: because it concerns the host and not the cores, or, in NIR, because NIR cannot
        express it.

    Raises
    ------
    SimcoreError
        The suffix does not determine the format, or the format cannot express the cores or the spikes; then nothing
        is written.
    OSError
        A file cannot be written.

    """
    kind = to or SUFFIXES.get(path.suffix)
    if kind is None:
        raise SimcoreError(
            f"{path}: the suffix does not determine the format; choose image, ranc, ibm or nir (--to)"
        )
    if kind == "ranc":
        return _write_ranc(network, path)
    if network.expected is not None:
        _warn("the output spikes that the file has for comparison")
    if kind == "ibm":
        return _write_ibm(network, path)
    if kind == "image":
        return _write_image(network, path)
    write_nir(network.image, path)
    if network.spikes is not None:
        _warn("the input spikes")
    return [path]


def write_spikes(path: Path, raster: NDArray[Any]) -> None:
    """Write output spikes (ticks, output lines): `.txt` as `tick line`, anything else as IBM's sfci.

    Raises
    ------
    OSError
        The file cannot be written.

    """
    if path.suffix == ".txt":
        write_text(path, raster)
    else:
        write_outputs(path, raster)


def _read(path: Path, origin: Origin, registry: Path | None) -> Network:
    """Read a network as its file has it."""
    if origin == "ranc":
        ranc = read_ranc(path)
        return Network(image=ranc.image, format=origin, spikes=ranc.spikes, expected=ranc.expected)
    if origin == "ibm":
        return Network(image=read_ibm(path), format=origin)
    if origin == "image":
        return Network(image=CoreImage.load(path), format=origin)
    try:
        files = model_files(str(path), registry, [CORE_FILE])
    except LookupError as e:
        raise InputError(f"{path}: no such file, and {e.args[0]}") from None
    return Network(image=CoreImage.from_bytes(files[CORE_FILE], what=str(path)), format=origin)


def _origin(path: Path) -> Origin:
    """Determine the origin of a network from the form of its name, or from its content."""
    return "model" if is_reference(str(path)) and not path.exists() else network_format(path)


def _cut(network: Network, ticks: int | None) -> Network:
    """Cut the spikes of a network's file to `ticks`, or pad them with empty ticks; None leaves them unchanged."""
    if ticks is None:
        return network
    spikes = empty_raster(ticks, network.image.input_lines)
    if network.spikes is not None:
        common = min(ticks, len(network.spikes))
        spikes[:common] = network.spikes[:common]
    expected = None if network.expected is None else network.expected[: max(0, ticks)]
    return replace(network, spikes=spikes, expected=expected)


def _length(events: NDArray[np.int64], ticks: int | None) -> int:
    """Return the length of a run in ticks: as given, or until the last spike can have arrived everywhere."""
    if ticks is not None:
        return ticks
    return int(events[:, 0].max()) + 1 + limits.DELAY_MAX if len(events) else 0


def _driven(image: CoreImage, events: NDArray[np.int64]) -> CoreImage:
    """Return the image with input lines only for the axons that spikes name: a chip has a million axons."""
    places = np.unique(events[:, 1:], axis=0)
    for core, axon in places.tolist():
        if not 0 <= core < image.cores:
            raise InputError(
                f"input spike at core {core}, axon {axon}: limits core 0..{image.cores - 1}"
            )
    lines = np.arange(len(places))[:, None]
    # `places` is sorted by core and axon, so the numbers of the lines follow from the set of axons alone
    inputs = np.concatenate([lines, places], axis=1).astype(np.int32)
    return replace(image, inputs=inputs)


def _write_image(network: Network, path: Path) -> list[Path]:
    """Write a core image, and its input spikes as plain text next to it."""
    network.image.save(path)
    if network.spikes is None:
        return [path]
    beside = path.with_suffix(".txt")
    write_text(beside, network.spikes)
    return [path, beside]


def _write_ranc(network: Network, path: Path) -> list[Path]:
    """Write a RANC network with its input and output spikes in one file."""
    image = _cores_only(network.image, keep_grid=True)
    spikes = empty_raster(0, image.input_lines) if network.spikes is None else network.spikes
    write_ranc(image, spikes, path, network.expected)
    return [path]


def _write_ibm(network: Network, path: Path) -> list[Path]:
    """Write an IBM model, and its input spikes as sfti next to it."""
    image, written = _cores_only(network.image, keep_grid=False), [path]
    text = ibm_text(image)  # before the spikes are written: it may be refused
    if network.spikes is not None:
        written.append(path.with_suffix(".sfti"))
        write_events(written[-1], axon_events(image, network.spikes))
    path.write_text(text, encoding="ascii")
    return written


def _cores_only(image: CoreImage, *, keep_grid: bool) -> CoreImage:
    """Return an image without the fields that only the host uses, and warn of each one dropped."""
    if image.grid is not None and not keep_grid:
        _warn("the grid: where the cores are placed")
        image = replace(image, grid=None)
    if len(image.inputs):
        _warn("the numbers of the input lines: the format names inputs by core and axon")
    if image.coding is None:
        return image
    _warn("the coding: how questions are presented, and what the host makes of the answer")
    return replace(image, coding=None, head=None)


def _warn(what: str) -> None:
    warnings.warn(LossyExport(f"left out: {what}"), stacklevel=3)
