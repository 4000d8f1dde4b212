"""Simulate a whole chip, 4096 cores at a mean rate of 20 Hz with 128 synapses on every axon, against real time.

Their leak drives the neurons (a spike every 50 ticks), and they disturb each other: half of every crossbar is set,
weights +-1 and +-2 are balanced, and every neuron sends to a random axon of a random core after 1 to 15 ticks.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from benchmarks.memory import peak_kib
from benchmarks.tables import print_table
from spikewatch.simcore import CoreImage, Simulator, blank

CORES = 4096
TICKS = 500
ROUNDS = 3


def network(cores: int = CORES) -> CoreImage:
    """Return the chip; seed 7."""
    rng = np.random.default_rng(7)
    arrays: dict[str, Any] = blank(cores)
    shape = (cores, 256)
    arrays["crossbar"] = rng.integers(0, 256, (cores, 256, 32), dtype=np.uint8)
    arrays["axon_type"] = rng.integers(0, 4, shape, dtype=np.uint8)
    arrays["weights"][:] = [1, -1, 2, -2]
    arrays["leak"][:] = 1
    arrays["threshold"][:] = 50
    arrays["neg_threshold"][:] = 50
    arrays["kappa"][:] = 1
    arrays["reset_mode"][:] = 1
    arrays["potential"] = rng.integers(0, 50, shape, dtype=np.int32)
    # every axon of the chip is the target of exactly one neuron
    target = rng.permutation(cores * 256).reshape(shape).astype(np.int32)
    arrays["target_core"], arrays["target_axon"] = np.divmod(target, np.int32(256))
    arrays["delay"] = rng.integers(1, 16, shape, dtype=np.uint8)
    return CoreImage(**arrays)


def main() -> None:
    """Print the table."""
    image = network()
    simulator = Simulator(image)
    raster = np.zeros((TICKS, 1), dtype=np.uint64)
    rows = []
    for threads in (1, 2):
        speeds = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            outcome = simulator.run(raster, [0, TICKS], threads=threads)
            speeds.append(TICKS / (time.perf_counter() - begin))
        rate = outcome.spikes[0, 1] / (CORES * 256 * TICKS) * 1000
        per_spike = outcome.synaptic_events[0] / outcome.spikes[0, 1]
        median = statistics.median(speeds)
        rows.append(
            [
                str(threads),
                f"{median:,.0f}",
                f"{max(speeds):,.0f}",
                f"{median / 1000:.2f}",
                f"{rate:.1f}",
                f"{per_spike:.0f}",
            ]
        )
    head = [
        "threads",
        "ticks/s, median",
        "best",
        "x real time",
        "mean rate, Hz",
        "synapses per spike",
    ]
    print_table(f"A chip of {CORES} cores", head, rows)
    print(f"\nPeak memory of the process: {peak_kib() / 1024:,.0f} MiB.")
