"""Inspect a core image: count what it has, compare it with the chip's limits, and draw a crossbar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..image import CoreImage

BRAILLE: Final = 0x2800
"""Unicode's Braille character without dots; each bit of `_DOTS` adds one of its 2 x 4 dots."""

_DOTS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_MARGIN: Final = 8
"""Columns to the left of the dots in a picture."""

_DYNAMICS: Final = (
    *("weights", "leak", "threshold", "neg_threshold", "reset", "reset_mode", "kappa"),
    *("epsilon", "potential"),
)
"""Fields that decide what a neuron does, apart from its synapses; its target does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """The use of one limit of the chip.

    Attributes
    ----------
    what : str
        The quantity that is limited.
    used : int
        Its largest value, or its count, in the image.
    limit : int
        The chip's limit of it.

    """

    what: str
    used: int
    limit: int

    @property
    def percent(self) -> float:
        """Use in percent of the limit."""
        return 100 * self.used / self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """The counts of an image.

    Attributes
    ----------
    cores, axons, neurons, synapses : int
        Cores; axons with a synapse; neurons with a target; crossbar bits set.
    copies : int
        Neurons that fire exactly as another neuron of their core does, and differ only in their target.
    stochastic : int
        Neurons with a stochastic mode; none of them is a copy, because each draws its own random numbers.
    input_lines, output_lines : int
        Input and output lines.
    use : tuple of Use
        Use of each limit of the chip.

    """

    cores: int
    axons: int
    neurons: int
    synapses: int
    copies: int
    stochastic: int
    input_lines: int
    output_lines: int
    use: tuple[Use, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the inspection as a JSON object."""
        counts = {name: getattr(self, name) for name in self.__slots__ if name != "use"}
        use = {u.what: {"used": u.used, "limit": u.limit} for u in self.use}
        return counts | {"use": use}


def inspect(image: CoreImage) -> Inspection:
    """Count the cores, axons, neurons, synapses and lines of a valid image, and its use of the chip's limits."""
    used = image.target_core != limits.TARGET_NONE
    axons: NDArray[np.bool_] = np.any(image.crossbar, axis=2)
    fan_in = np.zeros((image.cores, limits.NEURONS), dtype=np.int64)
    synapses = copies = 0
    noisy = (image.stochastic_weights | image.stochastic_leak | image.threshold_bits) != 0
    for c in range(image.cores):
        crossbar = _synapses(image, c)
        fan_in[c] = crossbar.sum(axis=0)
        synapses += int(crossbar.sum())
        copies += _copies(image, c, crossbar, used[c] & ~noisy[c])
    return Inspection(
        cores=image.cores,
        axons=int(axons.sum()),
        neurons=int(used.sum()),
        synapses=synapses,
        copies=copies,
        stochastic=int((used & noisy).sum()),
        input_lines=image.input_lines,
        output_lines=image.output_lines,
        use=_use(image, used, axons, fan_in),
    )


def picture(image: CoreImage, core: int, columns: int = 80) -> str:
    """Draw a crossbar in dots (Braille characters): axons down, neurons across, up to the last that has a synapse.

    A dot is one synapse if the terminal is wide enough.  Otherwise it is a block of 2 x 2, 4 x 4 or 8 x 8 of them, and
    is drawn where at least as many synapses are set as in the mean block.

    Parameters
    ----------
    image
        A valid image.
    core
        The core to draw.
    columns
        Width of the terminal in characters.

    Raises
    ------
    InputError
        The image has no such core.

    """
    if not 0 <= core < image.cores:
        raise InputError(f"core {core}: limits 0..{image.cores - 1}")
    crossbar = _synapses(image, core).astype(np.int64)
    total = int(crossbar.sum())
    if not total:
        return f"core {core}: no synapses"
    size = 1
    # Characters are 4 dots high and 2 wide: round up to whole characters, for any size of block up to 8.
    axons, neurons = (_reach(crossbar, axis, 8) for axis in (0, 1))
    while size < 8 and neurons // (2 * size) > columns - _MARGIN - 1:
        size *= 2
    axons, neurons = (_reach(crossbar, axis, 4 * size) for axis in (0, 1))
    blocks = crossbar[:axons, :neurons].reshape(axons // size, size, neurons // size, size)
    share = blocks.sum(axis=(1, 3))
    least = max(1, round(float(share.mean())))
    dots = (share >= least).reshape(axons // size // 4, 4, neurons // size // 2, 2)
    cells = (dots * _DOTS[:, None, :]).sum(axis=(1, 3))
    block = "a synapse" if size == 1 else f"{size} x {size} synapses, {least} or more set"
    lines = [
        f"core {core}: {total} synapses; a dot is {block}",
        f"   axon +{f' neurons 0..{neurons - 1} ':-^{cells.shape[1]}}+",
    ]
    for row, codes in enumerate(cells):
        label = f"{row * 4 * size:7}" if row % 4 == 0 else " " * 7
        text = "".join(chr(BRAILLE + code) if code else " " for code in codes)
        lines.append(f"{label} |{text}|")
    lines.append(f"{axons - 1:7} +{'-' * cells.shape[1]}+")
    return "\n".join(lines)


def _reach(crossbar: NDArray[Any], axis: int, unit: int) -> int:
    """Count axons (axis 0) or neurons (axis 1) up to the last with a synapse, rounded up to a multiple of `unit`."""
    last = int(np.nonzero(crossbar)[axis].max())
    return -(-(last + 1) // unit) * unit


def _synapses(image: CoreImage, c: int) -> NDArray[np.uint8]:
    """Return a core's synapses, 0/1 uint8 (256 axons, 256 neurons); those of a whole chip would take 256 MB."""
    return np.unpackbits(image.crossbar[c], axis=1, bitorder="little")


def _copies(
    image: CoreImage, c: int, crossbar: NDArray[np.uint8], candidates: NDArray[np.bool_]
) -> int:
    """Count candidates, bool (256,), that equal an earlier one in synapses and dynamics."""
    # One row for each neuron: its synapses as bits, then its dynamics; equal rows behave equally.
    columns = [np.packbits(crossbar.T, axis=1).astype(np.int32)]
    for name in _DYNAMICS:
        values = getattr(image, name)[c].astype(np.int32)
        columns.append(values.reshape(limits.NEURONS, -1))
    rows = np.concatenate(columns, axis=1)[candidates]
    return len(rows) - len(np.unique(rows, axis=0))


def _use(
    image: CoreImage,
    used: NDArray[np.bool_],
    axons: NDArray[np.bool_],
    fan_in: NDArray[np.int64],
) -> tuple[Use, ...]:
    """Return the use of each limit; parameters count only for neurons in use."""

    def most(values: NDArray[Any]) -> int:
        """Return the largest magnitude."""
        chosen = np.abs(values[used].astype(np.int64))
        return int(chosen.max()) if chosen.size else 0

    return tuple(
        Use(what=what, used=value, limit=limit)
        for what, value, limit in (
            ("cores of a chip", image.cores, limits.CHIP_CORES),
            ("axons, fullest core", int(axons.sum(axis=1).max()), limits.AXONS),
            ("neurons, fullest core", int(used.sum(axis=1).max()), limits.NEURONS),
            ("synapses of a neuron", int(fan_in.max()), limits.AXONS),
            ("weight", most(image.weights), limits.WEIGHT_MAX),
            ("leak", most(image.leak), limits.LEAK_MAX),
            ("threshold", most(image.threshold), limits.THRESHOLD_MAX),
            ("negative threshold", most(image.neg_threshold), limits.THRESHOLD_MAX),
            ("reset", most(image.reset), limits.RESET_MAX),
            ("initial potential", most(image.potential), limits.POTENTIAL_MAX),
            ("threshold bits", most(image.threshold_bits), limits.THRESHOLD_BITS_MAX),
            ("delay", most(image.delay), limits.DELAY_MAX),
            *_hops(image),
        )
    )


def _hops(image: CoreImage) -> list[tuple[str, int, int]]:
    """Return the largest distances to a target in x and y, if the cores are placed in a grid."""
    if image.grid is None:
        return []
    core, neuron = np.nonzero(image.target_core >= 0)
    hops = np.abs(image.grid[image.target_core[core, neuron]] - image.grid[core])
    farthest = hops.max(axis=0, initial=0).tolist()
    return [(f"hops in {axis}", n, limits.HOPS_MAX) for axis, n in zip("xy", farthest, strict=True)]
