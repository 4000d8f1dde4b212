"""Look into a core image: what it holds, how much of each limit it uses, and a picture of a crossbar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import limits
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .image import CoreImage

SHADES: Final = " ░▒▓█"
"""Cells of a picture by the share of synapses in them: none, then quarters."""

_DYNAMICS: Final = (
    *("weights", "leak", "threshold", "neg_threshold", "reset", "reset_mode", "kappa"),
    *("epsilon", "potential"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """How much of one limit is used."""

    what: str
    used: int
    limit: int

    @property
    def percent(self) -> float:
        """Share of the limit in percent."""
        return 100 * self.used / self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What an image holds.

    Attributes
    ----------
    cores, axons, neurons, synapses : int
        Cores; axons with a synapse; neurons with a target; crossbar bits set.
    copies : int
        Neurons that do exactly what another one of their core does, and only send their spikes elsewhere.
    stochastic : int
        Neurons with a stochastic mode; none of them is a copy, each has its own random numbers.
    input_lines, output_lines : int
        Lines.
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
        """Give the same as a JSON object."""
        counts = {name: getattr(self, name) for name in self.__slots__ if name != "use"}
        use = {u.what: {"used": u.used, "limit": u.limit} for u in self.use}
        return counts | {"use": use}


def inspect(image: CoreImage) -> Inspection:
    """Count what a valid image holds."""
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


def picture(image: CoreImage, core: int, columns: int = 80, rows: int = 40) -> str:
    """Draw a crossbar in text: axons down, neurons across, a cell as dark as the share of its synapses.

    Parameters
    ----------
    image
        A valid image.
    core
        The core to draw.
    columns, rows
        Room in the terminal; the picture takes the largest power of two that fits, at most 256.

    Raises
    ------
    InputError
        There is no such core.

    """
    if not 0 <= core < image.cores:
        raise InputError(f"core {core}: limits 0..{image.cores - 1}")
    across = _fitting(columns - 10, limits.NEURONS)
    down = _fitting(rows - 4, limits.AXONS)
    wide, tall = limits.NEURONS // across, limits.AXONS // down
    crossbar = _synapses(image, core).astype(np.int64)
    share = crossbar.reshape(down, tall, across, wide).mean(axis=(1, 3))
    shade = np.ceil(share * (len(SHADES) - 1)).astype(int)
    lines = [
        f"core {core}: {int(crossbar.sum())} synapses;"
        f" a cell is {tall} axons x {wide} neurons: {SHADES[1]} to {SHADES[-1]}, blank for none",
        f"   axon +{'-' * across}+",
    ]
    for i, cells in enumerate(shade):
        lines.append(f"{i * tall:7} |{''.join(SHADES[n] for n in cells)}|")
    lines.append(f"        +{' neurons 0..255 ' if across > 16 else '':-^{across}}+")
    return "\n".join(lines)


def _synapses(image: CoreImage, c: int) -> NDArray[np.uint8]:
    """Unpack one crossbar (a whole chip's would take 256 MB)."""
    return np.unpackbits(image.crossbar[c], axis=1, bitorder="little")


def _copies(
    image: CoreImage, c: int, crossbar: NDArray[np.uint8], candidates: NDArray[np.bool_]
) -> int:
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
    def most(values: NDArray[Any]) -> int:
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
            ("delay", most(image.delay), limits.DELAY_MAX),
        )
    )


def _fitting(room: int, most: int) -> int:
    """Give the largest power of two within `room` and `most`, at least 8."""
    return max(8, min(most, 1 << max(0, room.bit_length() - 1)))
