"""The core image: everything that the chip needs to run a network, as one value and as one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from . import limits
from .coding import Coding, read_coding
from .errors import ImageError
from .head import HostHead
from .records import counted
from .tensors import Field, check_shape, pack, read, unpack, write_atomically

__all__ = ["GRID_MAX", "MAX_LINES", "Coding", "CoreImage", "blank"]

U8 = NDArray[np.uint8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]

FORMAT: Final = "core-image"
VERSION: Final = 1
MAX_LINES: Final = 2**20
"""Most input or output lines of an image: our own bound, one line for each axon of a chip (4096 x 256)."""

MAX_CLASSES: Final = 2**12
"""Most classes of a head: our own bound."""

GRID_MAX: Final = 2**16 - 1
"""Highest x and y of a core in a grid: our own bound, 1,024 chips of 64 x 64 cores along each side."""

_C, _N, _A = "cores", limits.NEURONS, limits.AXONS
_TENSORS: Final = {
    "crossbar": Field(dtype="uint8", shape=(_C, _A, _N // 8)),
    "axon_type": Field(dtype="uint8", shape=(_C, _A)),
    "weights": Field(dtype="int16", shape=(_C, _N, limits.AXON_TYPES)),
    "leak": Field(dtype="int16", shape=(_C, _N)),
    "threshold": Field(dtype="int32", shape=(_C, _N)),
    "neg_threshold": Field(dtype="int32", shape=(_C, _N)),
    "reset": Field(dtype="int32", shape=(_C, _N)),
    "reset_mode": Field(dtype="uint8", shape=(_C, _N)),
    "kappa": Field(dtype="uint8", shape=(_C, _N)),
    "epsilon": Field(dtype="uint8", shape=(_C, _N)),
    "stochastic_weights": Field(dtype="uint8", shape=(_C, _N)),
    "stochastic_leak": Field(dtype="uint8", shape=(_C, _N)),
    "threshold_bits": Field(dtype="uint8", shape=(_C, _N)),
    "seed": Field(dtype="uint32", shape=(_C,)),
    "potential": Field(dtype="int32", shape=(_C, _N)),
    "target_core": Field(dtype="int32", shape=(_C, _N)),
    "target_axon": Field(dtype="int32", shape=(_C, _N)),
    "delay": Field(dtype="uint8", shape=(_C, _N)),
    "inputs": Field(dtype="int32", shape=("input connections", 3)),
    "outputs": Field(dtype="int32", shape=("output connections", 3)),
    "grid": Field(dtype="int32", shape=(_C, 2), optional=True),
    "head_weights": Field(dtype="int32", shape=("classes", "output lines"), optional=True),
    "head_bias": Field(dtype="int32", shape=("classes",), optional=True),
}
_HEAD: Final = ("head_weights", "head_bias")
"""The tensors of the head: `CoreImage.head` is one value, a file holds two arrays."""

_LENGTHS: Final = {
    _C: limits.MAX_CORES,
    "input connections": limits.MAX_CORES * _A,
    "output connections": limits.MAX_CORES * _N,
    "classes": MAX_CLASSES,
    "output lines": MAX_LINES,
}
_RANGES: Final = {
    "axon_type": (0, limits.AXON_TYPES - 1),
    "weights": (-limits.WEIGHT_MAX, limits.WEIGHT_MAX),
    "leak": (-limits.LEAK_MAX, limits.LEAK_MAX),
    "threshold": (0, limits.THRESHOLD_MAX),
    "neg_threshold": (0, limits.THRESHOLD_MAX),
    "reset": (-limits.RESET_MAX, limits.RESET_MAX),
    "reset_mode": (0, 2),
    "kappa": (0, 1),
    "epsilon": (0, 1),
    "stochastic_weights": (0, 2**limits.AXON_TYPES - 1),
    "stochastic_leak": (0, 1),
    "threshold_bits": (0, limits.THRESHOLD_BITS_MAX),
    "potential": (limits.POTENTIAL_MIN, limits.POTENTIAL_MAX),
    "delay": (limits.DELAY_MIN, limits.DELAY_MAX),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class CoreImage:
    """Everything the chip needs: crossbars, neuron parameters, routes and lines of one or many cores.

    Arrays are C-contiguous.  Symbols in brackets are those of Cassidy et al. 2013 (see `docs/neuron.md`).

    Attributes
    ----------
    crossbar : uint8 (cores, 256, 32)
        Synapses [w]: bit j % 8 (least significant first) of byte j // 8 in row i connects axon i to neuron j.
    axon_type : uint8 (cores, 256)
        Type 0..3 of each axon [G].
    weights : int16 (cores, 256, 4)
        Weight of each neuron for each axon type, -255..255 [s].
    leak : int16 (cores, 256)
        Added at every tick, -255..255 [lambda].
    threshold, neg_threshold : int32 (cores, 256)
        Positive and negative threshold, 0..2**18-1 [alpha, beta].
    reset : int32 (cores, 256)
        Potential after a spike in reset mode 0, -(2**19-1)..2**19-1 [R].
    reset_mode : uint8 (cores, 256)
        0 absolute, 1 linear, 2 no reset [gamma].
    kappa : uint8 (cores, 256)
        What happens below -neg_threshold: 1, the potential saturates there; 0, it is reset [kappa].
    epsilon : uint8 (cores, 256)
        1: the leak has the sign of the potential (leak reversal) [epsilon].
    stochastic_weights : uint8 (cores, 256)
        Bit g: the weight for axons of type g is stochastic: it adds its sign with probability about abs(s) / 256 [b].
    stochastic_leak : uint8 (cores, 256)
        1: the leak is stochastic in the same way [c].
    threshold_bits : uint8 (cores, 256)
        0..15: a number drawn from 0..2**threshold_bits - 1 is added to the thresholds at every tick [TM].
    seed : uint32 (cores,)
        Seed of each core's random numbers (see `_random.py`).
    potential : int32 (cores, 256)
        Initial membrane potential, signed 20 bits [V].
    target_core : int32 (cores, 256)
        Core that the neuron's spikes go to; -1: none, -2: an output line.
    target_axon : int32 (cores, 256)
        Axon 0..255 of that core, or the output line; 0 for a neuron without a target.
    delay : uint8 (cores, 256)
        Ticks until a spike arrives at its axon, 1..15.
    inputs : int32 (n, 3)
        (line, core, axon): a spike on an input line reaches that axon in the same tick.
    outputs : int32 (n, 3)
        (core, neuron, line): one row for each neuron with target -2; several neurons may share a line.
    grid : int32 (cores, 2) or None
        Position (x, y) of each core, 0..65535 each; None: not placed.  In a grid, a neuron reaches cores within +-255
        in x and in y.
    head : HostHead or None
        How the host turns the spikes on the output lines into scores; None: every output line is a class.
    coding : Coding or None
        How questions are presented; None for a network that is not a classifier.

    """

    crossbar: U8
    axon_type: U8
    weights: I16
    leak: I16
    threshold: I32
    neg_threshold: I32
    reset: I32
    reset_mode: U8
    kappa: U8
    epsilon: U8
    stochastic_weights: U8
    stochastic_leak: U8
    threshold_bits: U8
    seed: NDArray[np.uint32]
    potential: I32
    target_core: I32
    target_axon: I32
    delay: U8
    inputs: I32
    outputs: I32
    grid: I32 | None = None
    head: HostHead | None = None
    coding: Coding | None = None

    def __repr__(self) -> str:
        parts = [
            counted(self.cores, "core"),
            counted(self.input_lines, "input line"),
            counted(self.output_lines, "output line"),
        ]
        if self.coding is not None:
            parts.append(counted(self.classes, "class"))
        return f"<CoreImage: {', '.join(parts)}>"

    @property
    def cores(self) -> int:
        """Number of cores."""
        return int(self.crossbar.shape[0])

    @property
    def input_lines(self) -> int:
        """Number of input lines: one more than the highest one used."""
        return int(self.inputs[:, 0].max()) + 1 if len(self.inputs) else 0

    @property
    def output_lines(self) -> int:
        """Number of output lines: one more than the highest one used."""
        return int(self.outputs[:, 2].max()) + 1 if len(self.outputs) else 0

    @property
    def classes(self) -> int:
        """Number of classes of a classifier: those of its head, or its output lines."""
        return self.output_lines if self.head is None else len(self.head.bias)

    def synapses(self) -> NDArray[np.bool_]:
        """Unpack the crossbar: bool (cores, 256 axons, 256 neurons)."""
        return np.unpackbits(self.crossbar, axis=2, bitorder="little").astype(np.bool_)

    def validate(self) -> Self:
        """Check every shape, type and limit, and that every route and line leads to an existing target.

        Returns
        -------
        CoreImage
            The image itself.

        Raises
        ------
        ImageError
            One line that names core, neuron or axon, field, value and limit.

        """
        lengths: dict[str, int] = {}
        for name, array in self._tensors().items():
            _check_array(name, array, _TENSORS[name], lengths)
        if self.cores == 0:
            raise ImageError("core image: 0 cores, limits 1..65536")
        for name, (low, high) in _RANGES.items():
            _check_range(name, getattr(self, name), low, high)
        self._check_routes()
        self._check_grid()
        self._check_lines()
        self._check_readout()
        return self

    def _tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by the names that they have in a file, without those that are None."""
        head = {}
        if self.head is not None:
            head = {"head_weights": self.head.weights, "head_bias": self.head.bias}
        arrays = {n: head.get(n) if n in _HEAD else getattr(self, n) for n in _TENSORS}
        return {name: array for name, array in arrays.items() if array is not None}

    def _check_routes(self) -> None:
        """Check that every target is a core and axon of the image, an output line, or none."""
        _check_range("target_core", self.target_core, limits.TARGET_OUTPUT, self.cores - 1)
        high = np.where(
            self.target_core == limits.TARGET_OUTPUT,
            MAX_LINES - 1,
            np.where(self.target_core == limits.TARGET_NONE, 0, limits.AXONS - 1),
        )
        bad = (self.target_axon < 0) | (self.target_axon > high)
        if bad.any():
            core, neuron = np.argwhere(bad)[0]
            raise ImageError(
                f"core {core}, neuron {neuron}: target_axon {self.target_axon[core, neuron]},"
                f" limits 0..{high[core, neuron]} for target_core {self.target_core[core, neuron]}"
            )

    def _check_grid(self) -> None:
        """Check that cores have positions of their own, and that every target is within reach."""
        if self.grid is None:
            return
        bad = (self.grid < 0) | (self.grid > GRID_MAX)
        if bad.any():
            core, axis = np.argwhere(bad)[0]
            raise ImageError(
                f"core {core}: grid {'xy'[axis]} is {self.grid[core, axis]}, limits 0..{GRID_MAX}"
            )
        order = np.lexsort(self.grid.T)
        same = (np.diff(self.grid[order], axis=0) == 0).all(axis=1)
        if same.any():
            first, second = sorted(order[np.argmax(same) :][:2].tolist())
            x, y = self.grid[second].tolist()
            raise ImageError(f"core {second}: grid is {x}, {y}, the position of core {first}")
        core, neuron = np.nonzero(self.target_core >= 0)
        hops = self.grid[self.target_core[core, neuron]] - self.grid[core]
        far = np.argwhere(np.abs(hops) > limits.HOPS_MAX)
        if len(far):
            row, axis = far[0]
            c, j = core[row], neuron[row]
            raise ImageError(
                f"core {c}, neuron {j}: target_core {self.target_core[c, j]} is {hops[row, axis]} hops away"
                f" in {'xy'[axis]}, limits {-limits.HOPS_MAX}..{limits.HOPS_MAX}"
            )

    def _check_lines(self) -> None:
        """Check that `inputs` and `outputs` name existing cores, axons and neurons, and agree with the targets."""
        for name, table, bounds in (
            ("inputs", self.inputs, (MAX_LINES, self.cores, limits.AXONS)),
            ("outputs", self.outputs, (self.cores, limits.NEURONS, MAX_LINES)),
        ):
            bad = (table < 0) | (table >= np.array(bounds))
            if bad.any():
                row, column = np.argwhere(bad)[0]
                what = {"inputs": ("line", "core", "axon"), "outputs": ("core", "neuron", "line")}
                raise ImageError(
                    f"{name}, row {row}: {what[name][column]} {table[row, column]},"
                    f" limits 0..{bounds[column] - 1}"
                )
        if len(np.unique(self.inputs, axis=0)) != len(self.inputs):
            raise ImageError("inputs: two rows have the same line, core and axon")
        declared = np.zeros((self.cores, limits.NEURONS), dtype=np.int32)
        np.add.at(declared, (self.outputs[:, 0], self.outputs[:, 1]), 1)
        wrong = declared != (self.target_core == limits.TARGET_OUTPUT)
        if wrong.any():
            core, neuron = np.argwhere(wrong)[0]
            raise ImageError(
                f"core {core}, neuron {neuron}: target_core {self.target_core[core, neuron]}"
                f" but {declared[core, neuron]} rows in outputs, expected one row for each neuron with target -2"
            )
        lines = self.target_axon[self.outputs[:, 0], self.outputs[:, 1]]
        if (lines != self.outputs[:, 2]).any():
            row = int(np.argmax(lines != self.outputs[:, 2]))
            raise ImageError(
                f"outputs, row {row}: line {self.outputs[row, 2]} but the neuron's target_axon is {lines[row]}"
            )
        if self.coding is not None and self.coding.lines < self.input_lines:
            raise ImageError(
                f"inputs: line {self.input_lines - 1}, but the coding uses {self.coding.lines} lines"
            )

    def _check_readout(self) -> None:
        """Check the bounds of the readout "max", and the head."""
        coding = self.coding
        readout = None if coding is None else coding.readout
        if readout == "max" and self.output_lines > limits.LARGEST_LINES:
            raise ImageError(
                f"coding: readout max of {self.output_lines} output lines, limit {limits.LARGEST_LINES}"
            )
        if self.head is not None:
            neurons = np.bincount(self.outputs[:, 2], minlength=self.output_lines)
            self.head.check(coding, neurons)

    def to_bytes(self) -> bytes:
        """Serialise as one safetensors file; equal images give equal bytes.

        Raises
        ------
        ImageError
            The image is not valid.

        """
        self.validate()
        coding = None if self.coding is None else asdict(self.coding)
        metadata = {"format": FORMAT, "version": VERSION, "coding": coding}
        return pack(self._tensors(), metadata)

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str = "core image") -> Self:
        """Parse and validate the bytes of a core image; runs no code from them, and checks every size first.

        Parameters
        ----------
        data
            The whole file.
        what
            Name of the image in error texts.

        Raises
        ------
        ImageError
            The bytes are not a valid core image.

        """
        tensors, metadata = unpack(
            data,
            what=what,
            format_name=FORMAT,
            version=VERSION,
            fields=_TENSORS,
            limits=_LENGTHS,
            error=ImageError,
        )
        found = {name: tensors.pop(name) for name in _HEAD if name in tensors}
        if len(found) == 1:
            raise ImageError(f"{what}: head: one of head_weights and head_bias is missing")
        head = HostHead(weights=found["head_weights"], bias=found["head_bias"]) if found else None
        try:
            coding = read_coding(metadata.get("coding"))
            return cls(**tensors, head=head, coding=coding).validate()
        except ImageError as e:
            raise ImageError(f"{what}: {e}") from None

    def save(self, path: Path | str) -> None:
        """Write the image to a file (see `to_bytes`); a crash leaves the old file or the new one, never a part.

        Raises
        ------
        ImageError
            The image is not valid.
        OSError
            The file cannot be written; then the old file, if any, is unchanged.

        """
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read and validate an image file (see `from_bytes`).

        Raises
        ------
        ImageError
            The file cannot be read, or is not a valid core image.

        """
        return cls.from_bytes(read(Path(path), what=str(path), error=ImageError), what=str(path))


def blank(cores: int) -> dict[str, Any]:
    """Make the arrays of an image without any connection, for a builder to fill in.

    A blank neuron has no synapse, no leak, the highest threshold and no target, so it never fires.

    Parameters
    ----------
    cores
        Number of cores, 1..65536.

    Returns
    -------
    dict
        Writable arrays by field name, for `CoreImage(**arrays, coding=...)`.

    """
    arrays = {}
    for name, field in _TENSORS.items():
        if field.optional:
            continue
        shape = [{_C: cores}.get(n, 0) if isinstance(n, str) else n for n in field.shape]
        arrays[name] = np.zeros(shape, dtype=field.dtype)
    arrays["threshold"][:] = limits.THRESHOLD_MAX
    arrays["neg_threshold"][:] = limits.THRESHOLD_MAX
    arrays["delay"][:] = limits.DELAY_MIN
    arrays["target_core"][:] = limits.TARGET_NONE
    return arrays


def _check_array(name: str, array: Any, field: Field, lengths: dict[str, int]) -> None:
    """Check element type, shape and memory layout of one array."""
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(field.dtype):
        found = getattr(array, "dtype", type(array).__name__)
        raise ImageError(f"{name}: element type {found}, expected {field.dtype}")
    check_shape(name, array.shape, field, lengths, _LENGTHS, ImageError)
    if not array.flags.c_contiguous:
        raise ImageError(f"{name}: not C-contiguous")


def _check_range(name: str, array: NDArray[Any], low: int, high: int) -> None:
    """Check that all values of an array (cores, 256, ...) are in low..high."""
    bad = (array < low) | (array > high)
    if bad.any():
        core, unit, *rest = np.argwhere(bad)[0]
        unit_name = "axon" if name == "axon_type" else "neuron"
        index = f"[{rest[0]}]" if rest else ""
        value = array[(core, unit, *rest)]
        raise ImageError(
            f"core {core}, {unit_name} {unit}: {name}{index} is {value}, limits {low}..{high}"
        )
