"""One dense core, tick by tick: kernels against NumPy.

256 axons x 256 neurons, all synapses set, axon types uniform, weights -8..8, leak -3..3, thresholds +-60, 51 axons
active per tick, 2000 ticks, seed 7.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables import show
from spikewatch.simcore import CoreImage, Simulator, blank, pack_lines
from spikewatch.simcore._dispatch import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TICKS = 2000
ROUNDS = 7


def workload() -> tuple[CoreImage, NDArray[np.uint8]]:
    """Make the core and its input spikes, uint8 (ticks, 256)."""
    rng = np.random.default_rng(7)
    arrays: dict[str, Any] = blank(1)
    arrays["crossbar"][:] = 255
    arrays["axon_type"][0] = rng.integers(0, 4, 256)
    arrays["weights"][0] = rng.integers(-8, 9, (256, 4))
    arrays["leak"][0] = rng.integers(-3, 4, 256)
    arrays["threshold"][:] = 60
    arrays["neg_threshold"][:] = 60
    arrays["target_core"][:] = -2
    arrays["target_axon"][0] = np.arange(256)
    arrays["inputs"] = np.array([[a, 0, a] for a in range(256)], dtype=np.int32)
    arrays["outputs"] = np.array([[0, j, j] for j in range(256)], dtype=np.int32)
    spikes = np.zeros((TICKS, 256), dtype=np.uint8)
    for row in spikes:
        row[rng.choice(256, 51, replace=False)] = 1
    return CoreImage(**arrays), spikes


def numpy_per_tick(image: CoreImage, spikes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Run the workload as plain NumPy would: one float32 matrix-vector product per tick (exact here)."""
    weight = image.weights[0].T[image.axon_type[0]].astype(np.float32)
    leak = image.leak[0].astype(np.float32)
    V = np.zeros(256, dtype=np.float32)
    counts = np.zeros(256, dtype=np.int64)
    for row in spikes.astype(np.float32):
        V += row @ weight
        V += leak
        fired = V >= 60
        low = V < -60
        V[fired | low] = 0
        counts += fired
    return counts


def timed(run: Callable[[], Any]) -> float:
    """Time one call, in seconds."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main() -> None:
    """Print the table; the ways take turns, so that noise hits all of them."""
    image, spikes = workload()
    raster = pack_lines(spikes)
    simulators = {name: Simulator(image, name) for name in kernels()}
    wanted = numpy_per_tick(image, spikes)
    ways: dict[str, Callable[[], Any]] = {
        "NumPy, one product per tick": lambda: numpy_per_tick(image, spikes)
    }
    for name, simulator in simulators.items():
        assert (simulator.run(raster, [0, TICKS]).counts[0] == wanted).all()
        ways[f"kernel {name}"] = lambda s=simulator: s.run(raster, [0, TICKS])
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            seconds[way].append(timed(run))
    base = statistics.median(seconds["NumPy, one product per tick"])
    rows = []
    for way, times in seconds.items():
        median = statistics.median(times)
        rows.append(
            [way, f"{TICKS / median:,.0f}", f"{TICKS / min(times):,.0f}", f"{base / median:.1f}"]
        )
    show("One dense core, one thread", ["way", "ticks/s, median", "best", "x NumPy"], rows)
