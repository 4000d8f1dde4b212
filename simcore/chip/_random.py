"""The random numbers of the stochastic modes.

The chip's generator is not public, so this one is ours.  Each number is a hash of the place that uses it, so it does
not depend on evaluation order, threads or batches.  With SplitMix64's finaliser `mix` (Steele, Lea and Flood 2014)
and its constant G = 0x9E3779B97F4A7C15, all modulo 2**64:

    rho(core, t, j, k) = mix(mix(seed[core] + G) + G (2**17 t + 2**9 j + k))

for tick t of the run, neuron j and draw k: 0..255 for the synapse from axon k, 256 for the leak, 257 for the
threshold.  Synapses and leak use the top 8 bits, the threshold the top 15.  `_wide.pxi` repeats the hash in C; the
tests pin its numbers, because published images with stochastic modes depend on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

G: Final = np.uint64(0x9E3779B97F4A7C15)
"""SplitMix64's increment: 2**64 divided by the golden ratio, odd."""


def core_keys(seed: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Hash the seed of each core into its key, uint64 (cores,)."""
    return _mix(seed.astype(np.uint64) + G)


def draw(keys: NDArray[np.uint64], t: int, neuron: ArrayLike, k: ArrayLike) -> NDArray[np.uint64]:
    """Compute rho at tick t for keys, neurons and draws that broadcast against each other, uint64."""
    place = (np.uint64(t) << np.uint64(17)) + (np.asarray(neuron, np.uint64) << np.uint64(9))
    with np.errstate(over="ignore"):
        return _mix(keys + G * (place + np.asarray(k, np.uint64)))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
