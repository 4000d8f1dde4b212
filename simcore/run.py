"""Run core images: checked inputs, prepared tables, and a batch of runs on the kernel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import limits
from ._dispatch import kernel
from ._random import core_keys
from .errors import InputError
from .program import derive
from .tables import fixed_rows, neuron_table, noise_table, noisy_cores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .image import CoreImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a batch of n runs gave; counts are those of the chip.

    Attributes
    ----------
    counts : int32 (n, output lines)
        Output spikes per line in the counted ticks of each run.
    spikes : int64 (n, 3)
        Spikes: input (onto axons, from outside), hidden (sent from neurons to axons), output (on output lines).
    synaptic_events : int64 (n,)
        Set crossbar bits in the rows of spiking axons, over all ticks.
    raster : uint16 (ticks of all runs, output lines) or None
        Spikes on each output line at each tick, when asked for.

    """

    counts: NDArray[np.int32]
    spikes: NDArray[np.int64]
    synaptic_events: NDArray[np.int64]
    raster: NDArray[np.uint16] | None = None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Counts, spikes and synaptic events, in the order in which kernels take them."""
        return self.counts, self.spikes, self.synaptic_events

    @classmethod
    def zeros(cls, runs: int, lines: int, ticks: int | None = None) -> Self:
        """Make an empty outcome; with `ticks`, one that records the output raster."""
        return cls(
            counts=np.zeros((runs, lines), dtype=np.int32),
            spikes=np.zeros((runs, 3), dtype=np.int64),
            synaptic_events=np.zeros(runs, dtype=np.int64),
            raster=None if ticks is None else np.zeros((ticks, lines), dtype=np.uint16),
        )


class Simulator:
    """A core image made ready to run; safe to use from several threads at once.

    Parameters
    ----------
    image
        Any valid image.
    kernel_name
        "base", "avx2" or "reference" (plain NumPy, slow, the definition); None: the fastest here.
    use_program
        Run the smaller equal network of `program.derive` where there is one; the outcome is the same.

    Raises
    ------
    ImageError
        The image is not valid.
    SimcoreError
        There is no such kernel.

    """

    def __init__(
        self, image: CoreImage, kernel_name: str | None = None, *, use_program: bool = True
    ) -> None:
        self.image = image.validate()
        self.lines = max(image.input_lines, image.coding.lines if image.coding else 0)
        self._kernel: Any = None
        if kernel_name == "reference":
            return
        self._kernel = kernel(kernel_name)
        self._tables = _tables(image, self.lines)
        self._program = derive(image, self.lines) if use_program else None

    def run(
        self,
        raster: ArrayLike,
        starts: ArrayLike,
        *,
        counted: ArrayLike | None = None,
        record: bool = False,
        threads: int = 1,
    ) -> Outcome:
        """Run a batch; every run starts from the image's initial state.

        Parameters
        ----------
        raster
            uint64 (ticks of all runs, words): bit l % 64 of word l // 64 is a spike on input line l (`pack_lines`).
        starts
            int64 (runs + 1,), rising from 0 to the ticks of all runs.
        counted
            int64 (runs,): count output spikes in the last so many ticks of each run; None: in all.
        record
            Also return every output spike with its tick.
        threads
            Threads to spread the runs over; the outcome does not depend on it.

        Raises
        ------
        InputError
            Shapes or lines that do not fit the image.

        """
        raster, starts, counted = self._checked(raster, starts, counted)
        ticks = len(raster) if record else None
        outcome = Outcome.zeros(len(starts) - 1, self.image.output_lines, ticks)
        chunks = np.linspace(0, len(starts) - 1, max(1, min(threads, len(starts) - 1)) + 1).astype(
            int
        )
        pieces = list(pairwise(chunks.tolist()))
        if len(pieces) == 1:
            self._run_piece(raster, starts, counted, outcome, 0, len(starts) - 1)
            return outcome
        with ThreadPoolExecutor(len(pieces)) as pool:
            for done in [
                pool.submit(self._run_piece, raster, starts, counted, outcome, a, b)
                for a, b in pieces
            ]:
                done.result()
        return outcome

    def _checked(
        self, raster: ArrayLike, starts: ArrayLike, counted: ArrayLike | None
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
        words = max(1, -(-self.lines // 64))
        bits = np.ascontiguousarray(raster, dtype=np.uint64)
        if bits.ndim != 2 or bits.shape[1] != words:
            raise InputError(f"raster: shape {bits.shape}, expected (ticks, {words})")
        unused = words * 64 - self.lines
        if unused and len(bits) and self.lines and int(bits[:, -1].max()) >> (64 - unused):
            raise InputError(f"raster: a spike beyond input line {self.lines - 1}")
        begin = np.ascontiguousarray(starts, dtype=np.int64)
        if begin.ndim != 1 or not len(begin) or begin[0] != 0 or (np.diff(begin) < 0).any():
            raise InputError("starts: must rise from 0")
        if begin[-1] != len(bits):
            raise InputError(f"starts: ends at {begin[-1]}, but the raster has {len(bits)} ticks")
        last = np.diff(begin) if counted is None else np.ascontiguousarray(counted, dtype=np.int64)
        if last.shape != (len(begin) - 1,):
            raise InputError(f"counted: shape {last.shape}, expected ({len(begin) - 1},)")
        return bits, begin, last

    def _run_piece(
        self,
        raster: NDArray[np.uint64],
        starts: NDArray[np.int64],
        counted: NDArray[np.int64],
        outcome: Outcome,
        first: int,
        last: int,
    ) -> None:
        """Run runs first..last-1 into their rows of the outcome."""
        a, b = starts[first], starts[last]
        recorded = None if outcome.raster is None else outcome.raster[a:b]
        piece = Outcome(
            counts=outcome.counts[first:last],
            spikes=outcome.spikes[first:last],
            synaptic_events=outcome.synaptic_events[first:last],
            raster=recorded,
        )
        begin = starts[first : last + 1] - a
        if self._kernel is None:
            from .reference import simulate  # noqa: PLC0415 - reference imports this module's types

            simulate(self.image, raster[a:b], begin, counted[first:last], piece)
            return
        if self._program is not None and recorded is None:
            self._kernel.run_program(
                *self._program.tables, raster[a:b], begin, counted[first:last], *piece.arrays
            )
            return
        cores = self.image.cores
        self._kernel.simulate(
            *self._tables,
            raster[a:b],
            begin,
            counted[first:last],
            np.empty((cores, limits.NEURONS), dtype=np.int32),
            np.empty((limits.SCHEDULER_SLOTS, cores, limits.AXONS // 64), dtype=np.uint64),
            *piece.arrays,
            np.empty((0, 0), dtype=np.uint16) if recorded is None else recorded,
            recorded is not None,
        )


def pack_lines(spikes: ArrayLike) -> NDArray[np.uint64]:
    """Pack input spikes (ticks, lines) of 0/1 into the raster that `Simulator.run` takes."""
    bits = np.asarray(spikes, dtype=np.bool_)
    words = max(1, -(-bits.shape[1] // 64))
    padded = np.zeros((len(bits), words * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def _tables(image: CoreImage, lines: int) -> tuple[NDArray[Any], ...]:
    """Prepare what the kernel reads: weight rows, neuron parameters, routes, axons of each input line."""
    order = np.argsort(image.inputs[:, 0], kind="stable")
    line_start = np.searchsorted(image.inputs[order, 0], np.arange(lines + 1)).astype(np.int32)
    return (
        fixed_rows(image),
        image.synapses().sum(axis=2, dtype=np.uint16),
        neuron_table(image),
        noisy_cores(image),
        noise_table(image),
        core_keys(image.seed),
        image.crossbar,
        image.axon_type,
        image.weights,
        image.potential,
        image.target_core,
        image.target_axon,
        image.delay,
        line_start,
        np.ascontiguousarray(image.inputs[order, 1:]),
    )
