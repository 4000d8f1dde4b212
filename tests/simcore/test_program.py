"""The program kernel answers as the chip kernel does, on a smaller network, with the counts of the chip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from images import neuron, rasters
from support import tiny_image, tiny_network

from spikewatch.simcore import CoreImage, Simulator, blank, limits
from spikewatch.simcore._dispatch import kernels
from spikewatch.simcore.program import derive


@st.composite
def repetitive_images(draw: st.DrawFn) -> CoreImage:
    """Draw one core in the converter's modes, made of few kinds of neurons and axons, placed at random."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = draw(st.sampled_from([1, 3, 20, 200]))
    span = draw(st.sampled_from([30, 255]))
    kind = rng.integers(0, kinds, limits.NEURONS)
    arrays: dict[str, Any] = blank(1)
    line_kind = rng.integers(0, kinds, limits.AXONS)
    synapses = (rng.random((kinds, kinds)) < draw(st.sampled_from([0.1, 0.7])))[line_kind][:, kind]
    arrays["crossbar"][0] = np.packbits(synapses, axis=1, bitorder="little")
    arrays["axon_type"][0] = rng.integers(0, 4, kinds)[line_kind]
    arrays["weights"][0] = rng.integers(-span, span + 1, (kinds, 4))[kind]
    arrays["leak"][0] = rng.integers(-span, span + 1, kinds)[kind]
    arrays["threshold"][0] = rng.integers(1, 500, kinds)[kind]
    arrays["neg_threshold"][0] = rng.integers(0, 3, kinds)[kind] * 50
    arrays["potential"][0] = rng.integers(-300, 300, kinds)[kind]
    arrays["reset_mode"][:] = 1
    arrays["kappa"][:] = 1
    arrays["delay"][0] = rng.integers(1, 16, kinds)[kind]
    target = rng.integers(-2, 1, limits.NEURONS)
    arrays["target_core"][0] = target
    arrays["target_axon"][0] = np.where(
        target == -1, 0, rng.integers(0, limits.AXONS, limits.NEURONS)
    )
    leaving = np.flatnonzero(target == -2)
    arrays["target_axon"][0, leaving] %= 7
    lines = arrays["target_axon"][0, leaving]
    arrays["outputs"] = np.stack([leaving * 0, leaving, lines], axis=1).astype(np.int32)
    inputs = np.stack([line_kind, line_kind * 0, np.arange(limits.AXONS)], axis=1)
    arrays["inputs"] = inputs[rng.random(limits.AXONS) < 0.5].astype(np.int32)
    return CoreImage(**arrays).validate()


@pytest.mark.parametrize("name", kernels())
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_program_and_chip_agree_in_every_count(name: str, data: st.DataObject) -> None:
    image = data.draw(repetitive_images())
    raster, starts = data.draw(rasters(image.input_lines))
    counted = np.minimum(np.diff(starts), 15)
    assume(derive(image, image.input_lines) is not None)  # sums of 256 large weights leave 16 bits
    wanted = Simulator(image, name, use_program=False).run(raster, starts, counted=counted)
    got = Simulator(image, name).run(raster, starts, counted=counted)
    for a, b in zip(wanted.arrays, got.arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_copies_and_lines_of_a_converted_network_are_found() -> None:
    """8 hidden units of four neurons each, and 6 classes of 16 neurons that differ at most in their leak."""
    image = tiny_image(tiny_network())
    program = derive(image, 7)
    assert program is not None
    assert program.neurons.shape[1] <= 8 + 6 * 16 + 1  # and the neurons that are not used
    assert len(program.groups) - 1 == 8 + 6 + 1  # drives
    assert len(program.events) == 6 + 8 + 1  # signals
    assert int(program.output_spikes.sum()) == 6 * 16
    assert program.hidden_spikes.tolist().count(4) == 8
    assert sorted(program.line_spikes.tolist()) == [4] * 7


def test_the_largest_sums_of_16_bits_are_run_and_larger_ones_left_to_the_chip_kernel() -> None:
    """128 axons of weight 255 fit 16 bits; 129 do not, and answer the same through the chip kernel."""
    for axons in (128, 129):
        image = neuron(s0=255, threshold=axons * 255, reset_mode=1, kappa=1)
        crossbar = np.zeros_like(image.crossbar)
        crossbar[0, :axons, 0] = 1
        inputs = np.array([[a % 2, 0, a] for a in range(axons)], dtype=np.int32)
        full = replace(image, crossbar=crossbar, axon_type=image.axon_type * 0, inputs=inputs)
        assert (derive(full, 2) is None) == (axons == 129)
        assert Simulator(full).run([[3]], [0, 1]).counts.tolist() == [[1]]


@pytest.mark.parametrize("field", [{"reset_mode": 0}, {"kappa": 0}, {"epsilon": 1}])
def test_neurons_of_other_modes_are_left_to_the_chip_kernel(field: dict[str, int]) -> None:
    image = neuron(**({"s0": 1, "threshold": 1, "reset_mode": 1, "kappa": 1} | field))
    assert derive(image, 4) is None


def test_a_neuron_that_fires_down_to_its_floor_is_not_taken_for_a_silent_one() -> None:
    """Two neurons of one drive: V = alpha fires and ends at the floor; the next tick is silent, and counts nothing."""
    arrays: dict[str, Any] = blank(1)
    arrays["crossbar"][0, 0, 0] = 0b11
    arrays["weights"][0, :2, 0] = 5
    arrays["threshold"][0, :2] = [5, 4]
    arrays["neg_threshold"][0, :2] = 0
    arrays["reset_mode"][0, :2] = 1
    arrays["kappa"][0, :2] = 1
    arrays["leak"][0, :2] = [0, -1]
    arrays["target_core"][0, :2] = -2
    arrays["inputs"] = np.array([[0, 0, 0]], dtype=np.int32)
    arrays["outputs"] = np.array([[0, 0, 0], [0, 1, 0]], dtype=np.int32)
    image = CoreImage(**arrays)
    assert derive(image, 1) is not None
    assert Simulator(image).run([[1], [0], [0], [0]], [0, 4]).counts.tolist() == [[2]]
