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
from .image_checks import (
    HEAD,
    LENGTHS,
    OPTIONAL,
    TENSORS,
    check_arrays,
    check_grid,
    check_lines,
    check_routes,
)
from .records import counted
from .tensors import pack, read, unpack, write_atomically

U8 = NDArray[np.uint8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]

FORMAT: Final = "core-image"
VERSION: Final = 1


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
        check_arrays(self._tensors())
        check_routes(self.target_core, self.target_axon)
        if self.grid is not None:
            check_grid(self.grid, self.target_core)
        check_lines(self.inputs, self.outputs, self.target_core, self.target_axon)
        self._check_coding()
        return self

    def _tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by the names that they have in a file, without the optional ones that are None."""
        head = {}
        if self.head is not None:
            head = {"head_weights": self.head.weights, "head_bias": self.head.bias}
        arrays: dict[str, Any] = {
            name: head.get(name) if name in HEAD else getattr(self, name) for name in TENSORS
        }
        return {n: array for n, array in arrays.items() if array is not None or n not in OPTIONAL}

    def _check_coding(self) -> None:
        """Check that coding, head and lines fit each other."""
        coding = self.coding
        if coding is not None and coding.lines < self.input_lines:
            raise ImageError(
                f"inputs: line {self.input_lines - 1}, but the coding uses {coding.lines} lines"
            )
        # "max" needs the count of each line in every step, so the chip kernel must record all output spikes.
        readout = None if coding is None else coding.readout
        if readout == "max" and self.output_lines > limits.LARGEST_LINES:
            raise ImageError(
                f"coding: readout max of {self.output_lines} output lines, limit {limits.LARGEST_LINES}"
            )
        if self.head is not None:
            # several neurons may drive a line, and each can add a spike to its count at every tick
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
            fields=TENSORS,
            limits=LENGTHS,
            error=ImageError,
        )
        found = {name: tensors.pop(name) for name in HEAD if name in tensors}
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
    for name, field in TENSORS.items():
        if field.optional:
            continue
        shape = [{"cores": cores}.get(n, 0) if isinstance(n, str) else n for n in field.shape]
        arrays[name] = np.zeros(shape, dtype=field.dtype)
    arrays["threshold"][:] = limits.THRESHOLD_MAX
    arrays["neg_threshold"][:] = limits.THRESHOLD_MAX
    arrays["delay"][:] = limits.DELAY_MIN
    arrays["target_core"][:] = limits.TARGET_NONE
    return arrays
