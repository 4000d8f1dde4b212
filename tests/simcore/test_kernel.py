"""Every chip kernel equals the reference bit for bit, and the reference follows the equations."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import EDGE_DRIVES, edge_images, images, neuron, rasters
from sim_support import assert_equal

from spikewatch.simcore import CoreImage, InputError, SimcoreError, Simulator, blank, pack_lines
from spikewatch.simcore.chip._dispatch import kernels
from spikewatch.simcore.chip._random import core_keys, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVERY_KERNEL = ["reference", *kernels()]


class TestKernelIsReference:
    @settings(max_examples=80, deadline=None)
    @given(data=st.data())
    def test_every_output_and_count_is_equal_on_any_number_of_threads(
        self, data: st.DataObject
    ) -> None:
        """Over the whole range of every parameter: 1 to 9 cores, all modes, stochastic or not, delays 1 to 15."""
        image = data.draw(images())
        raster, starts = data.draw(rasters(image.input_lines))
        counted = np.minimum(np.diff(starts), 15)
        wanted = Simulator(image, "reference").run(raster, starts, counted=counted, record=True)
        for name in kernels():
            simulator = Simulator(image, name)
            for threads in (1, 2, 3):
                got = simulator.run(raster, starts, counted=counted, record=True, threads=threads)
                assert_equal(wanted, got)

    @pytest.mark.parametrize("name", kernels())
    @pytest.mark.parametrize("drive", EDGE_DRIVES)
    @settings(max_examples=15, deadline=None)
    @given(data=st.data())
    def test_it_is_equal_at_the_bounds_of_narrow_potentials(
        self, drive: tuple[int, int, int], name: str, data: st.DataObject
    ) -> None:
        image = data.draw(edge_images(drive))
        # Line 0 first, while all potentials are the initial ones of the image.
        ticks = [[0], *data.draw(st.lists(st.sampled_from([[], [0], [1], [0, 1]]), max_size=6))]
        raster = pack_lines(lines_of(ticks, 2))
        starts = [0, len(ticks)]
        wanted = Simulator(image, "reference").run(raster, starts, record=True)
        assert_equal(wanted, Simulator(image, name).run(raster, starts, record=True))

    @pytest.mark.parametrize("name", kernels())
    @pytest.mark.parametrize("cores", [17, 66])
    def test_it_is_equal_where_threads_take_cores_in_turn(self, name: str, cores: int) -> None:
        """17 cores are more than a thread takes at a time, 66 more than those whose tables stay in the cache."""
        image, raster = sparse_chip(cores)
        starts = [0, len(raster)]
        wanted = Simulator(image, "reference").run(raster, starts, record=True)
        assert wanted.spikes.all()
        simulator = Simulator(image, name)
        for threads in (1, 2, 3):
            assert_equal(wanted, simulator.run(raster, starts, record=True, threads=threads))

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_a_run_gives_the_same_alone_and_in_a_batch_of_any_size(
        self, data: st.DataObject
    ) -> None:
        image = data.draw(images())
        raster, starts = data.draw(rasters(image.input_lines))
        for name in kernels():
            simulator = Simulator(image, name)
            whole = simulator.run(raster, starts, record=True)
            assert whole.raster is not None
            for i, (a, b) in enumerate(pairwise(starts)):
                alone = simulator.run(raster[a:b], [0, b - a], record=True, threads=2)
                np.testing.assert_array_equal(whole.counts[i], alone.counts[0])
                np.testing.assert_array_equal(whole.spikes[i], alone.spikes[0])
                np.testing.assert_array_equal(whole.synaptic_events[i], alone.synaptic_events[0])
                np.testing.assert_array_equal(whole.raster[a:b], alone.raster)

    def test_all_axons_at_full_weight_do_not_overflow_the_kernels_narrow_sums(self) -> None:
        image = all_axons(neuron(s0=255, threshold=256 * 255, reset_mode=1))
        for name in EVERY_KERNEL:
            outcome = Simulator(image, name).run([[1]], [0, 1], record=True)
            assert outcome.counts.tolist() == [[1]]
            assert outcome.synaptic_events.tolist() == [256]

    def test_the_fastest_kernel_of_this_cpu_is_loaded(self) -> None:
        assert Simulator(neuron()).kernel_name == kernels()[0]

    @pytest.mark.parametrize("name", EVERY_KERNEL)
    def test_a_kernel_that_is_named_is_loaded(self, name: str) -> None:
        assert Simulator(neuron(), name).kernel_name == name

    @pytest.mark.parametrize("module", ["limits.py", "chip/constants.py"])
    def test_the_numbers_of_the_kernels_are_read_without_any_package(self, module: str) -> None:
        """setup.py reads these modules where only the build requirements are installed."""
        path = Path(__file__).parents[2] / "simcore" / module
        code = f"import runpy; print(sum(type(n) is int for n in runpy.run_path({str(path)!r}).values()))"
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
        )
        assert (child.returncode, child.stderr) == (0, "")
        assert int(child.stdout) >= 10

    def test_unknown_kernel_is_an_error(self) -> None:
        with pytest.raises(SimcoreError, match="^kernel 'gpu': this CPU runs "):
            Simulator(neuron(), "gpu")


def all_axons(image: CoreImage) -> CoreImage:
    """Let input line 0 drive the neuron through all 256 axons of type 0."""
    crossbar = np.zeros_like(image.crossbar)
    crossbar[0, :, 0] = 1
    inputs = np.array([[0, 0, a] for a in range(256)], dtype=np.int32)
    return replace(
        image, crossbar=crossbar, axon_type=np.zeros_like(image.axon_type), inputs=inputs
    )


def sparse_chip(cores: int) -> tuple[CoreImage, NDArray[np.uint64]]:
    """Make cores of every kind that send spikes to each other, and 8 ticks of input."""
    rng = np.random.default_rng(cores)
    shape = (cores, 256)
    arrays = blank(cores)
    arrays["crossbar"] = rng.integers(0, 256, (cores, 256, 32), dtype=np.uint8)
    arrays["axon_type"] = rng.integers(0, 4, shape, dtype=np.uint8)
    arrays["weights"] = rng.integers(-9, 10, (*shape, 4), dtype=np.int16)
    arrays["weights"][::5] *= 28  # beyond one byte
    arrays["leak"] = rng.integers(0, 3, shape, dtype=np.int16)
    arrays["threshold"] = rng.integers(5, 40, shape, dtype=np.int32)
    arrays["neg_threshold"] = rng.integers(0, 40, shape, dtype=np.int32)
    arrays["kappa"][:] = 1
    arrays["reset_mode"][:] = 1
    arrays["reset_mode"][::3] = 0
    arrays["epsilon"][::4, ::2] = 1
    arrays["stochastic_leak"][::7, 0] = 1
    arrays["potential"] = rng.integers(-40, 40, shape, dtype=np.int32)
    arrays["potential"][::6, 3] = 2**17
    arrays["target_core"] = rng.integers(0, cores, shape, dtype=np.int32)
    arrays["target_axon"] = rng.integers(0, 256, shape, dtype=np.int32)
    arrays["delay"] = rng.integers(1, 4, shape, dtype=np.uint8)
    arrays["target_core"][:, :5] = -2
    arrays["target_axon"][:, :5] = np.arange(5)
    arrays["outputs"] = np.array([[c, j, j] for c in range(cores) for j in range(5)], np.int32)
    arrays["inputs"] = np.array([[c, c, 9] for c in range(cores)], dtype=np.int32)
    return CoreImage(**arrays), pack_lines(rng.random((8, cores)) < 0.5)


def lines_of(ticks: list[list[int]], lines: int) -> NDArray[np.uint8]:
    """Make a table (ticks, lines) of 0/1 from the lines that spike at each tick."""
    table = np.zeros((len(ticks), lines), dtype=np.uint8)
    for t, active in enumerate(ticks):
        table[t, active] = 1
    return table


def spikes_of(image: CoreImage, lines: list[list[int]], name: str) -> list[int]:
    """Run ticks, given as the lines that spike; return the spikes on output line 0."""
    raster = pack_lines(lines_of(lines, 4))
    outcome = Simulator(image, name).run(raster, [0, len(lines)], record=True)
    assert outcome.raster is not None
    return outcome.raster[:, 0].tolist()


# (core, tick, neuron, draw) of seeds 0 and 2**32 - 1, computed with Python's integers from the formula
PINNED = {
    (0, 0, 0, 0): 0x48218226FF3CD4BF,
    (0, 1, 2, 3): 0x6B74F2A659B96022,
    (1, 999, 255, 257): 0x50AC09F2DF9D8543,
}

# Worked by hand from the equations; V is the potential after each tick.
EDGE_CASES = {
    "fires at V = alpha": (neuron(s0=5, threshold=5), [[0]], [1]),
    "does not fire below alpha": (neuron(s0=4, threshold=5), [[0]], [0]),
    "weights of all spiking types add up": (
        neuron(s0=-8, s1=4, s2=2, s3=1, threshold=7),
        [[1, 2, 3], [0, 1, 2, 3]],
        [1, 0],
    ),
    "absolute reset goes to R": (
        neuron(s0=9, threshold=5, reset=3, reset_mode=0, leak=1),  # V: 3, 4, 3
        [[0], [], []],
        [1, 0, 1],
    ),
    "linear reset subtracts alpha": (
        neuron(s0=9, threshold=5, reset_mode=1, leak=1),  # V: 5, 1, 2
        [[0], [], []],
        [1, 1, 0],
    ),
    "no reset keeps V": (neuron(s0=9, threshold=5, reset_mode=2), [[0], [], []], [1, 1, 1]),
    "V = -beta is not below it": (
        neuron(s0=-5, s1=5, threshold=1, neg_threshold=5, reset=9, reset_mode=0),  # V: -5, 0
        [[0], [1]],
        [0, 0],
    ),
    "below -beta absolute reset goes to -R": (
        neuron(s0=-6, threshold=1, neg_threshold=5, reset=-1, reset_mode=0),  # V: 1
        [[0], []],
        [0, 1],
    ),
    "below -beta linear reset adds beta": (
        neuron(s0=-6, s1=2, threshold=1, neg_threshold=5, reset_mode=1),  # V: -1, 1
        [[0], [1]],
        [0, 1],
    ),
    "kappa saturates at -beta": (
        neuron(s0=-99, s1=6, threshold=1, neg_threshold=5, kappa=1),  # V: -5, 1
        [[0], [1]],
        [0, 1],
    ),
    "leak reversal decays towards zero from below": (
        neuron(potential=-2, leak=-1, epsilon=1, s0=1, threshold=1, neg_threshold=9),  # V: -1, 0, 0
        [[], [], [0], [0]],  # then +1 leaks to 0, and so again
        [0, 0, 0, 0],
    ),
    "leak reversal stops at zero": (
        neuron(potential=2, leak=-5, epsilon=1, s0=6, threshold=1),  # V: 0, then 6 - 5 = 1
        [[], [0]],
        [0, 1],
    ),
    "leak reversal leaves V = 0 alone": (
        neuron(leak=9, epsilon=1, threshold=1),
        [[], []],
        [0, 0],
    ),
}


@pytest.mark.parametrize("name", EVERY_KERNEL)
@pytest.mark.parametrize("case", EDGE_CASES)
def test_edge_rule(case: str, name: str) -> None:
    image, lines, wanted = EDGE_CASES[case]
    assert wanted == spikes_of(image, lines, name)


@pytest.mark.parametrize("name", EVERY_KERNEL)
def test_the_membrane_saturates_at_its_20_bits(name: str) -> None:
    """After 300 ticks of drive at the ceiling, it still descends from 2**19 - 1."""
    image = all_axons(
        neuron(potential=2**19 - 1, leak=255, s0=-255, threshold=2**18 - 1, reset_mode=2)
    )
    # each tick of all axons takes 256 * 255 - 255 = 65,025: the fifth ends below the threshold
    wanted = [1] * 300 + [1, 1, 1, 1, 0]
    assert wanted == spikes_of(image, [[]] * 300 + [[0]] * 5, name)


@pytest.mark.parametrize("name", EVERY_KERNEL)
@pytest.mark.parametrize("delay", [1, 2, 14, 15])
def test_a_spike_arrives_after_its_delay(name: str, delay: int) -> None:
    """Neuron 0 fires onto axon 9, which drives neuron 1 on the output line."""
    base = neuron(s0=1, threshold=1)
    changed = ("target_core", "target_axon", "delay", "threshold", "weights", "crossbar")
    arrays = {field: getattr(base, field).copy() for field in changed}
    arrays["target_core"][0, :2] = [0, -2]
    arrays["target_axon"][0, :2] = [9, 0]
    arrays["delay"][0, 0] = delay
    arrays["crossbar"][0, 9, 0] = 0b10
    arrays["weights"][0, 1, 0] = 1
    arrays["threshold"][0, 1] = 1
    image = replace(base, **arrays, outputs=np.array([[0, 1, 0]], dtype=np.int32))
    wanted = [0] * 20
    wanted[3 + delay] = 1
    assert wanted == spikes_of(image, [[], [], [], [0]] + [[]] * 16, name)


class TestStochasticModes:
    """Random numbers have the stated probabilities, and are the same on every run and machine."""

    TICKS = 20_000

    @pytest.mark.parametrize("name", kernels())
    @pytest.mark.parametrize(
        ("fields", "rate"),
        [
            ({"s0": 100, "stochastic_weights": 1, "threshold": 1}, 101 / 256),
            ({"leak": 63, "stochastic_leak": 1, "threshold": 1}, 64 / 256),
            # V stays 8, against 1 + a number of 0..15
            ({"potential": 8, "threshold_bits": 4, "threshold": 1, "reset_mode": 2}, 8 / 16),
        ],
    )
    def test_rates(self, name: str, fields: dict[str, int], rate: float) -> None:
        outcome = Simulator(neuron(**fields), name).run(np.ones((self.TICKS, 1)), [0, self.TICKS])
        spread = (rate * (1 - rate) / self.TICKS) ** 0.5
        assert outcome.counts[0, 0] / self.TICKS == pytest.approx(rate, abs=5 * spread)

    def test_every_run_of_a_batch_draws_the_same_numbers(self) -> None:
        image = neuron(s0=100, stochastic_weights=1, threshold=1)
        outcome = Simulator(image).run(
            np.ones((300, 1)), [0, 100, 200, 300], record=True, threads=2
        )
        assert outcome.raster is not None
        first, second, third = outcome.raster.reshape(3, 100)
        assert 0 < first.sum() < 100
        assert first.tolist() == second.tolist() == third.tolist()

    def test_another_seed_draws_other_numbers(self) -> None:
        image = neuron(s0=100, stochastic_weights=1, threshold=1)
        other = replace(image, seed=np.array([7], dtype=np.uint32))
        a, b = (
            Simulator(i).run(np.ones((100, 1)), [0, 100], record=True).raster
            for i in (image, other)
        )
        assert a is not None
        assert b is not None
        assert a.tolist() != b.tolist()

    def test_the_numbers_are_pinned(self) -> None:
        """They must never change: published images with stochastic modes would answer differently."""
        keys = core_keys(np.array([0, 4294967295], dtype=np.uint32))
        drawn = [int(draw(keys[i : i + 1], t, j, k)[0]) for i, t, j, k in PINNED]
        assert list(PINNED.values()) == drawn


class TestInputs:
    def test_a_line_beyond_the_image_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"^raster: a spike beyond input line 3$"):
            Simulator(neuron()).run([[16]], [0, 1])

    @pytest.mark.parametrize("starts", [[1, 2], [0, 2, 1, 2], [0, 1], [], [0, 3]])
    def test_starts_that_do_not_fit_are_refused(self, starts: list[int]) -> None:
        with pytest.raises(InputError, match="^starts: "):
            Simulator(neuron()).run([[1], [1]], starts)

    def test_a_raster_of_another_width_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"^raster: shape \(1, 2\), expected \(ticks, 1\)$"):
            Simulator(neuron()).run([[1, 1]], [0, 1])


@pytest.mark.parametrize("name", kernels())
@pytest.mark.parametrize("floor", [2**14 - 1, 2**14, 2**15 - 1, 2**15, 40_000])
def test_potentials_that_sink_below_16_bits_do_not_come_up_again(name: str, floor: int) -> None:
    """All neurons of a plain core lose 255 a tick down to their floor; a 16-bit overflow would make them fire."""
    image = neuron(s0=1, threshold=5)
    plain = replace(
        image,
        leak=np.full_like(image.leak, -255),
        neg_threshold=np.full_like(image.neg_threshold, floor),
        reset_mode=np.ones_like(image.reset_mode),
        kappa=np.ones_like(image.kappa),
    )
    raster = np.ones((400, 1), dtype=np.uint64)
    wanted = Simulator(plain, "reference").run(raster, [0, 400], record=True)
    assert_equal(wanted, Simulator(plain, name).run(raster, [0, 400], record=True))
