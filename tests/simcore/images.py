"""Random images over the whole parameter range, and single neurons made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from spikewatch.simcore import CoreImage, blank, limits, pack_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray


_PARAMETERS = (
    *("weights", "leak", "threshold", "neg_threshold", "reset", "reset_mode", "kappa", "epsilon"),
    *("stochastic_weights", "stochastic_leak", "threshold_bits", "potential"),
)

RANGES = {
    # the whole range of every field: few neurons fire
    "full": {
        "weights": limits.WEIGHT_MAX,
        "leak": limits.LEAK_MAX,
        "threshold": limits.THRESHOLD_MAX,
        "reset": limits.RESET_MAX,
        "potential": limits.POTENTIAL_MAX,
    },
    # full weights and low thresholds: most neurons fire, or are reset at their negative threshold
    "lively": {
        "weights": limits.WEIGHT_MAX,
        "leak": limits.LEAK_MAX,
        "threshold": 200,
        "reset": 300,
        "potential": limits.POTENTIAL_MAX,
    },
    # small numbers in all fields, so that the kernel can sum in bytes
    "small": {"weights": 3, "leak": 2, "threshold": 40, "reset": 20, "potential": 60},
}


@st.composite
def images(draw: st.DrawFn, most_cores: int = 9) -> CoreImage:
    """Draw an image of 1 to 9 cores.

    Numbers come from one of the three RANGES, or for each neuron from one of them at random.  Modes are the same on the
    whole chip or differ by neuron.  Cores are all different, or all have the parameters of the first.
    """
    n = draw(st.integers(1, most_cores))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = draw(st.sampled_from([*([kind] for kind in RANGES), list(RANGES)]))
    uniform, repeated, noisy = (draw(st.booleans()) for _ in range(3))
    density = draw(st.sampled_from([0.02, 0.2, 1.0]))
    shape = (n, limits.NEURONS)
    kind = rng.integers(0, len(kinds), shape)

    def within(name: str, *more: int, least: int = -1) -> NDArray[np.int64]:
        most = np.array([RANGES[k][name] for k in kinds])[kind].reshape(*shape, *([1] * len(more)))
        low = most * least - (least < 0 and name == "potential")
        return rng.integers(low, most + 1, (*shape, *more))

    def mode(choices: int) -> NDArray[np.uint8]:
        drawn = rng.integers(0, choices, (1, 1) if uniform else shape, dtype=np.uint8)
        return np.broadcast_to(drawn, shape).copy()

    arrays: dict[str, Any] = blank(n)
    synapses = rng.random((n, limits.AXONS, limits.NEURONS)) < density
    arrays["crossbar"] = np.packbits(synapses, axis=2, bitorder="little")
    arrays["axon_type"] = rng.integers(0, 4, shape, dtype=np.uint8)
    arrays["weights"] = within("weights", 4).astype(np.int16)
    arrays["leak"] = within("leak").astype(np.int16)
    arrays["threshold"] = within("threshold", least=0).astype(np.int32)
    arrays["neg_threshold"] = within("threshold", least=0).astype(np.int32)
    arrays["reset"] = within("reset").astype(np.int32)
    arrays["potential"] = within("potential").astype(np.int32)
    arrays |= {"reset_mode": mode(3), "kappa": mode(2), "epsilon": mode(2)}
    if noisy:
        arrays["stochastic_weights"] = mode(16)
        arrays["stochastic_leak"] = mode(2)
        arrays["threshold_bits"] = mode(16)
        arrays["seed"] = rng.integers(0, 2**32, n, dtype=np.uint32)
    if repeated:
        for name in _PARAMETERS:
            arrays[name][:] = arrays[name][:1].copy()
    arrays["target_core"] = rng.integers(-2, n, shape, dtype=np.int32)
    arrays["target_axon"] = rng.integers(0, limits.AXONS, shape, dtype=np.int32)
    arrays["target_axon"][arrays["target_core"] == -1] = 0
    leaving = arrays["target_core"] == -2
    arrays["target_axon"][leaving] %= 40
    core, neuron = np.nonzero(leaving)
    lines = arrays["target_axon"][core, neuron]
    arrays["outputs"] = np.stack([core, neuron, lines], axis=1).astype(np.int32)
    arrays["delay"] = rng.integers(1, 16, shape, dtype=np.uint8)
    lines = draw(st.sampled_from([1, 64, 100]))
    size = 300 * n
    inputs = np.stack(
        [rng.integers(0, lines, size), rng.integers(0, n, size), rng.integers(0, 256, size)], axis=1
    )
    arrays["inputs"] = np.unique(inputs, axis=0).astype(np.int32)
    return CoreImage(**arrays)


@st.composite
def rasters(draw: st.DrawFn, lines: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Draw a batch of runs: some are empty, others longer than the 16 slots of the scheduler."""
    ticks = draw(st.lists(st.sampled_from([0, 1, 17, 40]), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rate = draw(st.sampled_from([0.0, 0.1, 0.9]))
    starts = np.concatenate([[0], np.cumsum(ticks)]).astype(np.int64)
    return pack_lines(rng.random((int(starts[-1]), lines)) < rate), starts


# Values around the bounds of 16-bit potentials (2**14 and 2**15) and of sums in a byte (127).
EDGE_POTENTIALS = (0, 1, -1, 2**14 - 1, 2**14, -(2**14), -(2**14) - 1, 2**15)
EDGE_THRESHOLDS = (0, 1, 127, 2**14 - 1, 2**14, 2**15 - 3, 2**15 - 2, 2**15 - 1, 2**15, 2**15 + 1)
EDGE_RESETS = (0, 1, -1, 2**14 - 1, 2**14, 2**15 - 1, 2**15, -(2**14), -(2**15) + 1, -(2**15))
# (weight, axons, leak) of a tick; 16-bit arithmetic is exact while weights and leak together are at most 2**14 - 1
EDGE_DRIVES = (
    (129, 127, 0),
    (128, 128, 0),
    (252, 64, 255),
    (255, 64, 255),
    (127, 1, 1),
    (128, 1, 1),
    (6, 20, 0),
    (6, 21, 0),
    (6, 22, 0),
    (0, 1, 255),
    (255, 128, 255),
)


@st.composite
def edge_images(draw: st.DrawFn, drive: tuple[int, int, int]) -> CoreImage:
    """Draw a core whose 256 neurons are at the bounds within which potentials and sums fit 8 or 16 bits.

    Input line 0 drives axons of type 0 as `drive`, one of EDGE_DRIVES, states; line 1 drives an axon of type 1.  Every
    neuron has an output line of its own.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (1, limits.NEURONS)
    arrays: dict[str, Any] = blank(1)
    arrays["crossbar"][:] = 255
    arrays["axon_type"][0, 128:] = 1
    # All neurons have the same weights and leak, because the largest ones decide for the whole core.
    weight, axons, leak = drive
    other = draw(st.sampled_from([0, 1, -1, 127, -128]))
    sign = draw(st.sampled_from([1, -1]))
    arrays["weights"][0, :, :2] = [sign * weight, other]
    arrays["leak"][:] = sign * leak
    near = draw(st.booleans())
    potentials = (-(2**14), 0, 2**14 - 1) if near else EDGE_POTENTIALS
    resets = EDGE_RESETS[:4] if near else EDGE_RESETS
    for field, values in [
        ("potential", potentials),
        ("threshold", EDGE_THRESHOLDS),
        ("neg_threshold", EDGE_THRESHOLDS),
        ("reset", resets),
    ]:
        arrays[field][:] = rng.choice(values, shape)
    modes, reversals = draw(st.sampled_from([(1, 0), (3, 0), (3, 1)]))
    arrays["reset_mode"][:] = 1 if modes == 1 else rng.integers(0, 3, shape)
    arrays["kappa"][:] = 1 if modes == 1 else rng.integers(0, 2, shape)
    arrays["epsilon"][:] = rng.integers(0, 2, shape) if reversals else 0
    inputs = [[0, 0, a] for a in range(axons)] + [[1, 0, 128]]
    arrays["inputs"] = np.array(inputs, dtype=np.int32)
    arrays["target_core"][:] = limits.TARGET_OUTPUT
    arrays["target_axon"][0] = np.arange(limits.NEURONS)
    arrays["outputs"] = np.array([[0, j, j] for j in range(limits.NEURONS)], dtype=np.int32)
    return CoreImage(**arrays)


def neuron(**fields: int) -> CoreImage:
    """Make one neuron on output line 0, driven by input lines 0..3 through axons of type 0..3.

    Keywords set fields of the neuron; `s0`..`s3` set its weights.
    """
    arrays: dict[str, Any] = blank(1)
    arrays["crossbar"][0, :4, 0] = 1
    arrays["axon_type"][0, :4] = np.arange(4)
    arrays["inputs"] = np.array([[i, 0, i] for i in range(4)], dtype=np.int32)
    arrays["outputs"] = np.array([[0, 0, 0]], dtype=np.int32)
    arrays["target_core"][0, 0] = -2
    for i in range(4):
        arrays["weights"][0, 0, i] = fields.pop(f"s{i}", 0)
    for name, value in fields.items():
        arrays[name][0, 0] = value
    return CoreImage(**arrays)
