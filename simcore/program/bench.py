"""Measure how fast this machine runs a network, for each kernel and number of threads."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..chip._dispatch import kernels
from ..chip.simulator import Simulator, pack_lines
from ..encoder import Encoder
from ..image import CoreImage, blank
from ..questions import QuestionCore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..coding import Coding

COLUMNS: Final = "kernel          threads  runs       ticks/s   syn. events/s  x real time"
"""Head of the table of measurements."""

TICKS: Final = 2000
"""Ticks of the generated workload."""

ACTIVE: Final = 51
"""Axons that spike in every tick of the generated workload, one in five."""

_FEWEST: Final = 3
"""Fewest repetitions of a measurement."""

_QUESTIONS: Final = 2048
"""Random questions per thread in one measurement of the derived-network kernel."""

_WORDS: Final = 10
"""Words of each random question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The speed of one kernel with one number of threads.

    Attributes
    ----------
    kernel : str
        The kernel's name.
    program : bool
        True: a classifier answered random questions on the derived-network kernel; False: the chip kernel ran spikes.
    threads : int
        Number of threads.
    runs : int
        Runs, or questions, in one repetition.
    ticks_per_s, events_per_s : float
        Ticks and synaptic events of all runs per second, median of the repetitions.
    real_time : float
        Ticks per second divided by the 1,000 of the chip.
    repetitions : int
        Number of repetitions.

    """

    kernel: str
    program: bool
    threads: int
    runs: int
    ticks_per_s: float
    events_per_s: float
    real_time: float
    repetitions: int

    def as_json(self) -> dict[str, Any]:
        """Return the measurement as a JSON object."""
        return asdict(self)

    def as_text(self) -> str:
        """Return the measurement as a line of the table under `COLUMNS`."""
        kind = f"{self.kernel}{', derived' * self.program}"
        return (
            f"{kind:16}{self.threads:7}{self.runs:6}{self.ticks_per_s:14,.0f}"
            f"{self.events_per_s:16.3g}{self.real_time:13,.2f}"
        )


def dense_core(seed: int = 7, ticks: int = TICKS) -> tuple[CoreImage, NDArray[np.uint8]]:
    """Return a core whose synapses are all set, and random input spikes for it.

    256 axons x 256 neurons with all synapses set, axon types uniform, weights -8..8, leak -3..3, thresholds +-60; 51
    random axons spike in every tick.

    Returns
    -------
    CoreImage, uint8 (ticks, 256)
        The core and its input spikes.

    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = blank(1)
    arrays["crossbar"][:] = 255
    arrays["axon_type"][0] = rng.integers(0, limits.AXON_TYPES, limits.AXONS)
    arrays["weights"][0] = rng.integers(-8, 9, (limits.NEURONS, limits.AXON_TYPES))
    arrays["leak"][0] = rng.integers(-3, 4, limits.NEURONS)
    arrays["threshold"][:] = 60
    arrays["neg_threshold"][:] = 60
    arrays["target_core"][:] = limits.TARGET_OUTPUT
    arrays["target_axon"][0] = np.arange(limits.NEURONS)
    axons = np.arange(limits.AXONS, dtype=np.int32)
    arrays["inputs"] = np.stack([axons, np.zeros_like(axons), axons], axis=1)
    arrays["outputs"] = np.stack([np.zeros_like(axons), axons, axons], axis=1)
    spikes = np.zeros((ticks, limits.AXONS), dtype=np.uint8)
    for row in spikes:
        row[rng.choice(limits.AXONS, ACTIVE, replace=False)] = 1
    return CoreImage(**arrays), spikes


def random_spikes(lines: int, ticks: int, rate: float, seed: int = 7) -> NDArray[np.uint8]:
    """Return input spikes, uint8 (ticks, lines): each line spikes in each tick with probability `rate`."""
    return (np.random.default_rng(seed).random((ticks, lines)) < rate).astype(np.uint8)


def measure(
    image: CoreImage,
    spikes: ArrayLike,
    *,
    names: Sequence[str] = (),
    threads: Sequence[int] = (1,),
    seconds: float = 1.0,
) -> Iterator[Measurement]:
    """Run a network repeatedly with every kernel and number of threads, and yield a measurement of each.

    Threads share the cores of one run; with fewer cores than threads, each thread takes its own run.  A classifier with
    a derived network (see `chip.derive`) also answers random questions of ten words on it, 2048 for each thread.

    Parameters
    ----------
    image
        Any valid image.
    spikes
        0/1 (ticks, input lines).
    names
        Kernels to measure; empty: all that this CPU runs, fastest first.
    threads
        Numbers of threads to measure.
    seconds
        Least duration of a measurement; it takes at least three runs.

    Raises
    ------
    SimcoreError
        A kernel does not exist or this CPU cannot run it, or the spikes do not fit the image.

    """
    raster = pack_lines(spikes)
    for name in names or kernels():
        questions = (
            None if image.coding is None else QuestionCore(image, _encoder(image.coding), name)
        )
        if questions is not None and questions.uses_derived_network:
            for count in threads:
                yield _answered(questions, name, count, seconds)
        simulator = Simulator(image, name)
        for count in threads:
            yield _run(simulator, name, raster, count, seconds)


def _encoder(coding: Coding) -> Encoder:
    """Return an encoder with a random code for each word of a small vocabulary."""
    rng = np.random.default_rng(7)
    shape = (_QUESTIONS, coding.word_lines)
    codes = rng.integers(0, coding.ticks_per_step + 1, shape, dtype=np.uint8)
    return Encoder(codes=codes, rows=np.arange(_QUESTIONS, dtype=np.int32))


def _answered(core: QuestionCore, name: str, threads: int, seconds: float) -> Measurement:
    """Measure random questions on the derived-network kernel."""
    runs = _QUESTIONS * threads
    ids = np.random.default_rng(7).integers(0, len(core.encoder.rows), runs * _WORDS)
    starts = np.arange(runs + 1, dtype=np.int64) * _WORDS

    def work() -> tuple[int, int]:
        answers = core.answer_flat(ids, starts, threads=threads)
        return int(answers.ticks.sum()), int(answers.synaptic_events.sum())

    return _timed(work, name, seconds, program=True, threads=threads, runs=runs)


def _run(
    simulator: Simulator, name: str, raster: NDArray[np.uint64], threads: int, seconds: float
) -> Measurement:
    """Measure input spikes on the chip kernel."""
    # Threads share the cores of a run; with too few cores, each thread needs a run to be busy.
    runs = 1 if simulator.image.cores >= threads else threads
    batch = np.concatenate([raster] * runs)
    starts = np.arange(runs + 1) * len(raster)

    def work() -> tuple[int, int]:
        outcome = simulator.run(batch, starts, threads=threads)
        return len(batch), int(outcome.synaptic_events.sum())

    return _timed(work, name, seconds, program=False, threads=threads, runs=runs)


def _timed(
    work: Callable[[], tuple[int, int]],
    name: str,
    seconds: float,
    *,
    program: bool,
    threads: int,
    runs: int,
) -> Measurement:
    """Repeat `work`, which returns its ticks and synaptic events, and return the median speed."""
    times: list[float] = []
    ticks = events = 0
    while len(times) < _FEWEST or sum(times) < seconds:
        begin = time.perf_counter()
        ticks, events = work()
        times.append(time.perf_counter() - begin)
    median = float(np.median(times))  # the mean would include interruptions by other programs
    return Measurement(
        kernel=name,
        program=program,
        threads=threads,
        runs=runs,
        ticks_per_s=ticks / median,
        events_per_s=events / median,
        real_time=ticks / median * limits.TICK_MS / 1000,
        repetitions=len(times),
    )
