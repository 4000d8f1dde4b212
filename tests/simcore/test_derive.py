"""The derived-network kernel answers exactly as the chip kernel does, with the counts of the chip."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import neuron
from sim_support import assert_equal
from support import tiny_image, tiny_network

from spikewatch.simcore import (
    Coding,
    CoreImage,
    Encoder,
    HostHead,
    InputError,
    QuestionCore,
    blank,
    limits,
)
from spikewatch.simcore.chip._dispatch import kernels
from spikewatch.simcore.chip.derive import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = 12


@st.composite
def classifiers(draw: st.DrawFn) -> tuple[CoreImage, Encoder]:
    """Draw a one-core classifier of the form that the derived-network kernel runs, over wide ranges of every parameter.

    Hidden units of one or more neurons feed axons of their own; some of their neurons, and other neurons, drive output
    lines.  An input line feeds several axons, none of them an axon of a hidden unit.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lines, hidden = draw(st.integers(1, 20)), draw(st.sampled_from([0, 1, 7, 16, 30, 40]))
    span = draw(st.sampled_from([3, 40, 255]))
    density = draw(st.sampled_from([0.05, 0.5]))
    arrays: dict[str, Any] = blank(1)
    # The unit of each neuron: hidden ones first, then those that only drive output lines.
    unit = np.sort(rng.integers(0, hidden + draw(st.sampled_from([1, 8, 60])), limits.NEURONS))
    axon_source = rng.integers(0, lines + hidden + 1, limits.AXONS)  # the last: none
    kinds = int(unit.max()) + 1
    axon_kind = axon_source if draw(st.booleans()) else np.arange(limits.AXONS)
    synapses = rng.random((limits.AXONS, kinds)) < density
    arrays["crossbar"][0] = np.packbits(synapses[axon_kind][:, unit], axis=1, bitorder="little")
    arrays["axon_type"][0] = rng.integers(0, 4, limits.AXONS)
    drive_of = rng.integers(0, kinds, kinds) if draw(st.booleans()) else np.arange(kinds)
    arrays["weights"][0] = rng.integers(-span, span + 1, (kinds, 4))[drive_of][unit]
    arrays["leak"][0] = rng.integers(-span, span // 2 + 1, kinds)[unit]
    highest = draw(st.sampled_from([2, 500, 40_000]))
    arrays["threshold"][0] = rng.integers(1, highest, kinds)[unit]
    arrays["neg_threshold"][0] = rng.integers(0, 3, kinds)[unit] * draw(
        st.sampled_from([0, 50, 20_000])
    )
    arrays["potential"][0] = rng.integers(-300, 300, kinds)[unit]
    arrays["reset_mode"][:] = 1
    arrays["kappa"][:] = 1
    arrays["delay"][:] = draw(st.integers(1, 15))
    leaves = (rng.random(limits.NEURONS) < 0.2) | (unit >= hidden)
    for j in range(limits.NEURONS):
        mine = np.flatnonzero(axon_source == lines + unit[j])
        if leaves[j]:
            arrays["target_core"][0, j] = -2
            arrays["target_axon"][0, j] = rng.integers(0, 5)
        elif len(mine):
            arrays["target_core"][0, j] = 0
            arrays["target_axon"][0, j] = rng.choice(mine)
    out = np.flatnonzero(arrays["target_core"][0] == -2)
    arrays["outputs"] = np.stack([out * 0, out, arrays["target_axon"][0, out]], axis=1).astype(
        np.int32
    )
    fed = np.flatnonzero(axon_source < lines)
    arrays["inputs"] = np.stack([axon_source[fed], fed * 0, fed], axis=1).astype(np.int32)
    gate = draw(st.sampled_from([-1, lines - 1])) if lines > 1 else -1
    ticks = draw(st.sampled_from([1, 4, 15, 20]))
    coding = Coding(
        ticks_per_step=ticks,
        word_lines=lines - (gate >= 0),
        direction=draw(st.sampled_from(["forward", "reverse"])),
        drain_steps=draw(st.integers(0, 3)),
        gate_line=gate,
        readout=draw(st.sampled_from(["last", "mean", "max"])),
        backward_lines=draw(st.sampled_from([0, (lines - (gate >= 0)) // 2])),
    )
    if draw(st.booleans()) and len(out):
        classes, most = draw(st.integers(1, 4)), draw(st.sampled_from([1, 100]))
        shape = (classes, int(arrays["target_axon"][0, out].max()) + 1)
        arrays["head"] = HostHead(
            weights=rng.integers(-most, most + 1, shape).astype(np.int32),
            bias=rng.integers(-most, most + 1, classes).astype(np.int32),
        )
    codes = rng.integers(0, ticks + 1, (WORDS - 2, coding.word_lines)).astype(np.uint8)
    encoder = Encoder(codes=codes, rows=rng.integers(0, WORDS - 2, WORDS).astype(np.int32))
    return CoreImage(**arrays, coding=coding).validate(), encoder


QUESTIONS = st.lists(
    st.lists(st.integers(0, WORDS - 1), max_size=30).map(lambda q: np.array(q, dtype=np.int64)),
    max_size=4,
)


@pytest.mark.parametrize("name", kernels())
@settings(max_examples=150, deadline=None)
@given(model=classifiers(), questions=QUESTIONS, threads=st.sampled_from([1, 2]))
def test_both_kernels_agree_in_every_count(
    name: str,
    model: tuple[CoreImage, Encoder],
    questions: list[NDArray[np.int64]],
    threads: int,
) -> None:
    core = QuestionCore(*model, name)
    wanted = QuestionCore(*model, name, use_derived_network=False).answer(questions)
    got = core.answer(questions, threads=threads)
    assert_equal(wanted, got)


def test_most_of_the_drawn_classifiers_have_a_derived_network() -> None:
    """The test above would prove nothing if the chip kernel answered on both sides."""
    found = []

    @settings(max_examples=50, deadline=None, database=None)
    @given(model=classifiers())
    def count(model: tuple[CoreImage, Encoder]) -> None:
        found.append(QuestionCore(*model).uses_derived_network)

    count()
    assert np.mean(found) > 0.5


@pytest.mark.parametrize("name", kernels())
@pytest.mark.parametrize("words", [1, 6, 35, 400, 1024])
def test_potentials_beyond_16_bits_and_up_to_the_ceiling_of_20_are_the_chips(
    name: str, words: int
) -> None:
    """A unit that gains 600 a tick passes 16 bits after 55 ticks, and the 20-bit ceiling after 874; then it loses 255.

    How long it keeps firing shows how high its potential was: that of the chip stops at the ceiling.
    """
    arrays: dict[str, Any] = blank(1)
    arrays["crossbar"][0, :4, 0] = 0b1
    arrays["crossbar"][0, 4, 0] = 0b10
    arrays["axon_type"][0, 3] = 1
    arrays["weights"][0, 0] = [200, -255, 0, 0]
    arrays["weights"][0, 1] = [1, 0, 0, 0]
    arrays["leak"][0, 0] = 10
    arrays["threshold"][0, :2] = [10, 1]
    arrays["neg_threshold"][0, :2] = 0
    arrays["reset_mode"][0, :2] = arrays["kappa"][0, :2] = 1
    arrays["target_core"][0, :2] = [0, -2]
    arrays["target_axon"][0, :2] = [4, 0]
    arrays["delay"][:] = 15
    arrays["inputs"] = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2], [1, 0, 3]], dtype=np.int32)
    arrays["outputs"] = np.array([[0, 1, 0]], dtype=np.int32)
    coding = Coding(ticks_per_step=15, word_lines=2, readout="mean")
    image = CoreImage(**arrays, coding=coding)
    encoder = Encoder(
        codes=np.array([[15, 0], [0, 15]], dtype=np.uint8), rows=np.arange(2, dtype=np.int32)
    )
    core = QuestionCore(image, encoder, name)
    assert core.uses_derived_network
    # up by 600 a tick for a share of the words, then down by 255
    questions = [
        np.repeat([0, 1], [up, words - up]) for up in sorted({1, words // 4, words // 2, words})
    ]
    wanted = QuestionCore(image, encoder, name, use_derived_network=False).answer(questions)
    got = core.answer(questions)
    assert_equal(wanted, got)


def test_copies_and_lines_of_a_converted_network_are_found() -> None:
    """There are 8 hidden units of four neurons each, and 6 classes of 16 neurons that differ at most in their leak."""
    network = derive(tiny_image(tiny_network()))
    assert network is not None
    assert (network.hidden, network.drives, network.shift) == (8, 6, 7)
    assert network.spikes_of_lane.tolist() == [4] * 8
    assert int(network.output_spikes.sum()) == 6 * 16
    assert network.line_spikes.tolist() == [4] * 7
    assert network.line_signals.tolist() == [1 << i for i in range(7)]


def test_larger_sums_than_16_bits_are_left_to_the_chip_kernel() -> None:
    """128 axons of weight 255 fit 16 bits; 129 do not, and the chip kernel answers them."""
    for axons in (128, 129):
        image = neuron(s0=255, threshold=axons * 255, reset_mode=1, kappa=1)
        crossbar = np.zeros_like(image.crossbar)
        crossbar[0, :axons, 0] = 1
        inputs = np.array([[a % 2, 0, a] for a in range(axons)], dtype=np.int32)
        full = replace(
            image,
            crossbar=crossbar,
            axon_type=image.axon_type * 0,
            inputs=inputs,
            coding=Coding(ticks_per_step=1, word_lines=2),
        )
        encoder = Encoder(
            codes=np.array([[1, 1]], dtype=np.uint8), rows=np.zeros(1, dtype=np.int32)
        )
        core = QuestionCore(full, encoder)
        assert core.uses_derived_network == (axons == 128)
        answers = core.answer([[0]])
        assert answers.spikes.tolist() == [[axons, 0, 1]]


@pytest.mark.parametrize("field", [{"reset_mode": 0}, {"kappa": 0}, {"epsilon": 1}])
def test_neurons_of_other_modes_are_left_to_the_chip_kernel(field: dict[str, int]) -> None:
    image = neuron(**({"s0": 1, "threshold": 1, "reset_mode": 1, "kappa": 1} | field))
    assert derive(image) is None


def test_spikes_of_a_neuron_that_ends_at_its_floor_are_counted() -> None:
    """Two neurons share a drive: V = alpha fires and ends at the floor; the next block is silent and counts nothing."""
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
    image = CoreImage(**arrays, coding=Coding(ticks_per_step=1, word_lines=1, drain_steps=3))
    encoder = Encoder(codes=np.array([[1]], dtype=np.uint8), rows=np.zeros(1, dtype=np.int32))
    core = QuestionCore(image, encoder)
    assert core.uses_derived_network
    assert core.answer([[0]]).spikes.tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("use_derived_network", [True, False])
@pytest.mark.parametrize("word", [-1, 10])
def test_a_word_that_the_encoder_does_not_know_is_named(
    word: int, use_derived_network: bool
) -> None:
    network = tiny_network()
    core = QuestionCore(
        tiny_image(network), network.encoder(), use_derived_network=use_derived_network
    )
    known = len(network.rows) - 1
    word = word if word < 0 else known + 1
    with pytest.raises(InputError, match=rf"^word id {word}: the encoder knows 0\.\.{known}$"):
        core.answer([[0], [0, word]])


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([0, 2, 1, 3], "starts: question 1 ends before it begins"),
        ([0, 2], "starts: must rise from 0 to the 3 words"),
        ([1, 3], "starts: must rise from 0 to the 3 words"),
    ],
)
def test_starts_that_do_not_rise_over_the_words_are_refused(
    starts: list[int], message: str
) -> None:
    network = tiny_network()
    core = QuestionCore(tiny_image(network), network.encoder())
    with pytest.raises(InputError, match=f"^{message}$"):
        core.answer_flat(np.zeros(3, dtype=np.int64), np.array(starts, dtype=np.int64))
