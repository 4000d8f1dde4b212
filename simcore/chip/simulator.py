"""Run core images: checked inputs, prepared tables, and a batch of runs on the kernel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from .. import limits
from ..errors import InputError
from ._dispatch import kernel
from ._random import core_keys
from .reference import simulate as simulate_reference
from .tables import (
    WORD_ORDER,
    aligned,
    aligned_empty,
    axon_types,
    byte_weights,
    core_kinds,
    first_potentials,
    fixed_weights,
    line_copies,
    line_table,
    narrow_table,
    neuron_table,
    noise_table,
    prototypes,
    room_table,
    route_table,
    target_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from ..image import CoreImage


Share = TypeVar("Share")
Result = TypeVar("Result")


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

    Raises
    ------
    ImageError
        The image is not valid.
    SimcoreError
        There is no such kernel.

    """

    def __init__(self, image: CoreImage, kernel_name: str | None = None) -> None:
        self.image = image.validate()
        self.lines = max(image.input_lines, image.coding.lines if image.coding else 0)
        self._kernel: Any = None
        if kernel_name == "reference":
            return
        self._kernel = kernel(kernel_name)
        self._tables = _tables(image, self.lines)

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
            Threads to spread the runs over, or the cores where there are fewer runs; the outcome does not depend on
            it.

        Raises
        ------
        InputError
            Shapes or lines that do not fit the image.

        """
        raster, starts, counted = self._checked(raster, starts, counted)
        runs, cores = len(starts) - 1, self.image.cores
        outcome = Outcome.zeros(runs, self.image.output_lines, len(raster) if record else None)
        if self._kernel is None:
            simulate_reference(self.image, raster, starts, counted, outcome)
        elif runs < min(threads, cores):
            together = min(threads, cores)
            space = _Space(cores, together)
            in_threads(
                lambda thread: self._run_cores(
                    raster, starts, counted, outcome, space, thread, together
                ),
                list(range(together)),
            )
        else:
            in_threads(
                lambda share: self._run_piece(raster, starts, counted, outcome, *share),
                shares(runs, threads),
            )
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
        cores = self.image.cores
        self._run_cores(raster[a:b], begin, counted[first:last], piece, _Space(cores, 1), 0, 1)

    def _run_cores(
        self,
        raster: NDArray[np.uint64],
        starts: NDArray[np.int64],
        counted: NDArray[np.int64],
        outcome: Outcome,
        space: _Space,
        thread: int,
        threads: int,
    ) -> None:
        """Be one of the threads that share the cores in all runs."""
        recorded = outcome.raster
        self._kernel.simulate(
            *self._tables,
            raster,
            starts,
            counted,
            *outcome.arrays,
            np.empty((0, 0), dtype=np.uint16) if recorded is None else recorded,
            recorded is not None,
            *space.arrays,
            thread,
            threads,
        )


class _Space:
    """The work space of one batch: potentials, spikes on their way, cores at rest, and the threads' meeting point.

    Bounded by cores and threads alone: 1,794 bytes for each core, of which 1,024 are touched only where potentials need
    more than 16 bits, and 512 for each core and thread.
    """

    def __init__(self, cores: int, threads: int) -> None:
        schedulers = (threads, limits.SCHEDULER_SLOTS, cores, limits.AXONS // 64)
        self.arrays = (
            aligned_empty((cores, limits.NEURONS), np.int16),
            aligned_empty((cores, limits.NEURONS), np.int32),
            aligned_empty((2, cores), np.uint8),
            aligned(np.zeros((cores, limits.NEURONS), dtype=np.uint8)),
            aligned_empty(schedulers, np.uint64),
            aligned(np.zeros(24, dtype=np.int64)),
        )


def shares(items: int, threads: int) -> list[tuple[int, int]]:
    """Cut items into equal shares (first, last), one for each thread."""
    n = max(1, min(threads, items))
    return [(items * i // n, items * (i + 1) // n) for i in range(n)]


def in_threads(work: Callable[[Share], Result], parts: list[Share]) -> list[Result]:
    """Do the work of every part, each in a thread of its own; return what each returned."""
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(len(parts)) as pool:
        return [done.result() for done in [pool.submit(work, part) for part in parts]]


def pack_lines(spikes: ArrayLike) -> NDArray[np.uint64]:
    """Pack input spikes (ticks, lines) of 0/1 into the raster that `Simulator.run` takes."""
    bits = np.asarray(spikes, dtype=np.bool_)
    words = max(1, -(-bits.shape[1] // 64))
    padded = np.zeros((len(bits), words * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def _tables(image: CoreImage, lines: int) -> tuple[NDArray[Any], ...]:
    """Prepare what the kernel reads: weight rows, neuron parameters, routes, axons of each input line."""
    index, distinct = prototypes(image)
    neurons = neuron_table(distinct)
    tables = (
        image.crossbar,
        axon_types(image),
        index,
        byte_weights(distinct),
        fixed_weights(distinct)[..., WORD_ORDER],
        room_table(distinct),
        core_kinds(distinct),
        neurons,
        narrow_table(neurons),
        noise_table(distinct),
        core_keys(image.seed),
        first_potentials(image),
        route_table(image),
        *target_table(image),
        line_copies(image, lines),
        *line_table(image, lines),
    )
    return tuple(aligned(table) for table in tables)
