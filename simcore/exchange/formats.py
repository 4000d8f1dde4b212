"""Open, run and convert networks of every format that simcore reads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from .. import limits
from ..chip.simulator import Outcome, Simulator, pack_lines
from ..errors import InputError, SimcoreError
from ..image import CoreImage
from ..published import CORE_FILE, is_reference, model_files
from .ibm import read_ibm
from .ibm_export import ibm_text
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

Format = Literal["image", "ranc", "ibm", "nir"]
Source = Literal["image", "model", "ranc", "ibm"]

SUFFIXES: Final[dict[str, Format]] = {
    ".safetensors": "image",
    ".gz": "ranc",
    ".nir": "nir",
    ".h5": "nir",
}
"""Formats that a name's suffix settles; `.json` may be RANC's or IBM's."""

_SNIFFED: Final = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network from a file, with what there is to run it on.

    Attributes
    ----------
    image : CoreImage
        The cores.
    format : str
        Where it comes from: a file (image, ranc or ibm) or a published model.
    spikes : uint8 (ticks, input lines) or None
        Input spikes, where the file or a spike file gave them.
    expected : uint8 (ticks - 1, output lines) or None
        Output spikes that the file itself carries (RANC).

    """

    image: CoreImage
    format: Source
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
        The network; `.json` files are told apart by their content. What names no file may be a model's reference.
    spikes
        A spike file, in place of the spikes of a RANC file: `.txt` holds `tick line`, anything else is IBM's sfti.
        An IBM model gets input lines for the axons that this file names, in their order, and no others.
    ticks
        Length of the run; None: that of a RANC file, or 15 ticks (the longest delay) after the last input spike.
    registry
        Directory of the registry to look models up in; None: the bundled one.

    Raises
    ------
    SimcoreError
        A file that cannot be read, or spikes that do not fit the network.

    """
    kind = _sniff(path)
    if kind == "ranc":
        ranc = read_ranc(path)
        if spikes is None:
            length = len(ranc.spikes) if ticks is None else ticks
            return Network(
                image=ranc.image,
                format=kind,
                spikes=_fit(ranc.spikes, length),
                expected=None if ranc.expected is None else ranc.expected[: max(0, length)],
            )
        image = ranc.image
    else:
        image = _read(path, kind, registry)
    if spikes is None:
        silent = None if ticks is None else empty_raster(ticks, image.input_lines)
        return Network(image=image, format=kind, spikes=silent)
    if spikes.suffix == ".txt":
        events = read_text(spikes)
        raster = line_raster(events, _length(events, ticks), image.input_lines)
    else:
        events = read_events(spikes)
        if kind == "ibm":
            image = _driven(image, events)
        raster = axon_raster(image, events, _length(events, ticks))
    return Network(image=image, format=kind, spikes=raster)


def run_network(network: Network, what: str) -> Outcome:
    """Run a network once on its input spikes, and record every output spike.

    Raises
    ------
    InputError
        There are no input spikes, or the record of the output would be too large.

    """
    if network.spikes is None:
        raise InputError(f"{what}: carries no input spikes, and no spike file or ticks are given")
    check_cells(len(network.spikes), network.image.output_lines, "output lines")
    ticks = len(network.spikes)
    return Simulator(network.image).run(pack_lines(network.spikes), [0, ticks], record=True)


def convert(network: Network, path: Path, to: Format | None = None) -> list[Path]:
    """Write a network in another format; its input spikes go into the file, or beside it (`.sfti`, `.txt`).

    Parameters
    ----------
    network
        What to write.
    path
        Where to write it.
    to
        The format; None: by the suffix of the name.

    Returns
    -------
    list of Path
        Files written.

    Warns
    -----
    LossyExport
        What was left out because it says nothing about the cores themselves, or, for NIR, because NIR cannot say it.

    Raises
    ------
    SimcoreError
        Something in the cores or spikes that the format cannot say; nothing is written then.
    OSError
        A file cannot be written.

    """
    kind = to or SUFFIXES.get(path.suffix)
    if kind is None:
        raise SimcoreError(
            f"{path}: the name does not settle the format; say image, ranc, ibm or nir"
        )
    image, spikes = network.image, network.spikes
    if kind in {"ranc", "ibm"}:
        image = _bare(image, keep_grid=kind == "ranc")
    if kind == "ranc":
        given = empty_raster(0, image.input_lines) if spikes is None else spikes
        write_ranc(image, given, path, network.expected)
        return [path]
    if network.expected is not None:
        _warn("the output spikes that the file carries for comparison")
    written = [path]
    if kind == "ibm":
        text = ibm_text(image)
        beside = path.with_suffix(".sfti")
        if spikes is not None:
            write_events(beside, axon_events(image, spikes))
            written.append(beside)
        path.write_text(text, encoding="ascii")
    elif kind == "image":
        image.save(path)
        if spikes is not None:
            written.append(path.with_suffix(".txt"))
            write_text(written[-1], spikes)
    else:
        write_nir(image, path)
        if spikes is not None:
            _warn("the input spikes")
    return written


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


def _read(path: Path, kind: Source, registry: Path | None) -> CoreImage:
    if kind == "ibm":
        return read_ibm(path)
    if kind == "image":
        return CoreImage.load(path)
    try:
        files = model_files(str(path), registry, [CORE_FILE])
    except LookupError as e:
        raise InputError(f"{path}: no such file, and {e.args[0]}") from None
    return CoreImage.from_bytes(files[CORE_FILE], what=str(path))


def _sniff(path: Path) -> Source:
    if is_reference(str(path)) and not path.exists():
        return "model"
    if path.suffix == ".gz":
        return "ranc"
    if path.suffix != ".json":
        return "image"
    try:
        with path.open("rb") as file:
            head = file.read(_SNIFFED)
            # IBM's files open with their libraries; RANC's have no such keys.
            return "ibm" if b'"crossbarTypes"' in head or b'"neuronTypes"' in head else "ranc"
    except OSError as e:
        raise InputError(f"{path}: {e.strerror or e}") from None


def _length(events: NDArray[np.int64], ticks: int | None) -> int:
    if ticks is not None:
        return ticks
    return int(events[:, 0].max()) + 1 + limits.DELAY_MAX if len(events) else 0


def _fit(spikes: NDArray[np.uint8], ticks: int) -> NDArray[np.uint8]:
    """Cut spikes off, or add ticks without any."""
    fitted = empty_raster(ticks, spikes.shape[1])
    common = min(ticks, len(spikes))
    fitted[:common] = spikes[:common]
    return fitted


def _driven(image: CoreImage, events: NDArray[np.int64]) -> CoreImage:
    """Keep input lines only for the axons that spikes name: a chip has a million axons."""
    places = np.unique(events[:, 1:], axis=0)
    for core, axon in places.tolist():
        if not 0 <= core < image.cores:
            raise InputError(
                f"input spike at core {core}, axon {axon}: limits core 0..{image.cores - 1}"
            )
    lines = np.arange(len(places))[:, None]
    inputs = np.concatenate([lines, places], axis=1).astype(np.int32)
    return replace(image, inputs=inputs)


def _bare(image: CoreImage, *, keep_grid: bool) -> CoreImage:
    """Take off what tells the host, not the cores, what to do."""
    if image.grid is not None and not keep_grid:
        _warn("the grid: where the cores are placed")
        image = replace(image, grid=None)
    if len(image.inputs):
        _warn("the numbers of the input lines: the format names inputs by core and axon")
    if image.coding is None:
        return image
    _warn("the coding: how questions are presented, and what the host makes of the answer")
    return replace(image, coding=None, head_weights=None, head_bias=None)


def _warn(what: str) -> None:
    warnings.warn(LossyExport(f"left out: {what}"), stacklevel=3)
