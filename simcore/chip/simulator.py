"""Run core images: check the inputs, and run a batch on the chip kernel, on one or several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import limits
from ..errors import InputError
from ..records import counted
from ._dispatch import kernel
from .outcome import Outcome
from .reference import simulate as simulate_reference
from .tables import aligned, aligned_empty, chip_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from ..image import CoreImage


Share = TypeVar("Share")
Result = TypeVar("Result")


class Simulator:
    """A core image prepared for running; safe to use from several threads at once.

    Parameters
    ----------
    image
        Any valid image.
    kernel_name
        "base", "avx2", "avx512" or "reference" (plain NumPy, slow, the definition); None: the fastest on this CPU.

    Raises
    ------
    ImageError
        The image is not valid.
    SimcoreError
        This CPU or this build has no such kernel.

    """

    def __init__(self, image: CoreImage, kernel_name: str | None = None) -> None:
        self.image = image.validate()
        self.lines = max(image.input_lines, image.coding.lines if image.coding else 0)
        self.kernel_name = "reference"
        self._runner: Any = None
        if kernel_name == "reference":
            return
        module = kernel(kernel_name)
        self.kernel_name = module.__name__.rpartition("_")[2]
        self._runner = module.ChipRunner(**chip_tables(image, self.lines))

    def __repr__(self) -> str:
        cores, lines = counted(self.image.cores, "core"), counted(self.lines, "input line")
        return f"<Simulator: {cores}, {lines}, kernel {self.kernel_name}>"

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
            int64 (runs,): count output spikes in this many last ticks of each run; None: in all ticks.
        record
            Also return every output spike with its tick.
        threads
            Threads that share the runs; if there are fewer runs than threads, they share the cores of each run.  The
            outcome does not depend on their number.

        Raises
        ------
        InputError
            A shape does not fit the image, or a spike is on a line that the image does not have.

        """
        raster, starts, counted = self._checked(raster, starts, counted)
        runs, cores = len(starts) - 1, self.image.cores
        outcome = Outcome.zeros(runs, self.image.output_lines, len(raster) if record else None)
        if self._runner is None:
            simulate_reference(self.image, raster, starts, counted, outcome)
        # Threads that share cores wait for each other in every tick, so they share runs if there are enough of them.
        elif runs < min(threads, cores):
            together = min(threads, cores)
            workspace = _workspace(cores, together)
            in_threads(
                lambda thread: self._run_cores(
                    raster, starts, counted, outcome, workspace, thread, together
                ),
                list(range(together)),
            )
        else:
            in_threads(
                lambda share: self._run_share(raster, starts, counted, outcome, *share),
                shares(runs, threads),
            )
        return outcome

    def _checked(
        self, raster: ArrayLike, starts: ArrayLike, counted: ArrayLike | None
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
        """Convert the arguments of `run` to the arrays that the kernel reads, and check them."""
        words = max(1, -(-self.lines // 64))
        bits = np.ascontiguousarray(raster, dtype=np.uint64)
        if bits.ndim != 2 or bits.shape[1] != words:
            raise InputError(f"raster: shape {bits.shape}, expected (ticks, {words})")
        # The largest last word has a bit beyond the last line exactly if any of them has.
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

    def _run_share(
        self,
        raster: NDArray[np.uint64],
        starts: NDArray[np.int64],
        counted: NDArray[np.int64],
        outcome: Outcome,
        first: int,
        last: int,
    ) -> None:
        """Run the runs first..last-1 on one thread, into their rows of the outcome."""
        a, b = starts[first], starts[last]
        share = Outcome(
            counts=outcome.counts[first:last],
            spikes=outcome.spikes[first:last],
            synaptic_events=outcome.synaptic_events[first:last],
            raster=None if outcome.raster is None else outcome.raster[a:b],
        )
        begin = starts[first : last + 1] - a
        workspace = _workspace(self.image.cores, 1)
        self._run_cores(raster[a:b], begin, counted[first:last], share, workspace, 0, 1)

    def _run_cores(
        self,
        raster: NDArray[np.uint64],
        starts: NDArray[np.int64],
        counted: NDArray[np.int64],
        outcome: Outcome,
        workspace: dict[str, NDArray[Any]],
        thread: int,
        threads: int,
    ) -> None:
        """Run all runs as thread number `thread` of the `threads` that share the cores."""
        self._runner.run(
            raster=raster,
            starts=starts,
            counted=counted,
            counts=outcome.counts,
            spikes=outcome.spikes,
            synaptic_events=outcome.synaptic_events,
            out_raster=outcome.raster,
            **workspace,
            thread=thread,
            threads=threads,
        )


def _workspace(cores: int, threads: int) -> dict[str, NDArray[Any]]:
    """Allocate the memory that the threads of one batch share, by the names of `ChipRunner.run`'s arguments.

    It takes 1,794 bytes for each core, of which 1,024 are touched only where potentials need more than 16 bits, and
    512 for each core and thread.
    """
    schedulers = (threads, limits.SCHEDULER_SLOTS, cores, limits.AXONS // 64)
    # Tally and barrier must be zero; the kernel resets everything else before each run.
    return {
        "V": aligned_empty((cores, limits.NEURONS), np.int16),
        "wide_V": aligned_empty((cores, limits.NEURONS), np.int32),
        "flags": aligned_empty((2, cores), np.uint8),
        "tally": aligned(np.zeros((cores, limits.NEURONS), dtype=np.uint8)),
        "schedulers": aligned_empty(schedulers, np.uint64),
        "barrier": aligned(np.zeros(24, dtype=np.int64)),
    }


def shares(items: int, threads: int) -> list[tuple[int, int]]:
    """Cut items into equal shares (first, last + 1), one for each thread."""
    n = max(1, min(threads, items))
    return [(items * i // n, items * (i + 1) // n) for i in range(n)]


def in_threads(work: Callable[[Share], Result], parts: list[Share]) -> list[Result]:
    """Call `work` on every part, each in its own thread; return the results in order."""
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(len(parts)) as pool:
        return [done.result() for done in [pool.submit(work, part) for part in parts]]


def pack_lines(spikes: ArrayLike) -> NDArray[np.uint64]:
    """Pack input spikes (ticks, lines) of 0/1 into the raster that `Simulator.run` reads."""
    bits = np.asarray(spikes, dtype=np.bool_)
    words = max(1, -(-bits.shape[1] // 64))
    padded = np.zeros((len(bits), words * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)
