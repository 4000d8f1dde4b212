"""The closed form: ceilings, copies and refits keep what a float network answers, and leave the grid alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_constrain import float_network, grid_network, sentences

from spikewatch.convert.constraining.closed_form import closed_form, copies_that_fit
from spikewatch.convert.constraining.recipe import bring_to_core
from spikewatch.convert.constraining.response_matching import hidden_neurons, match_responses
from spikewatch.convert.constraining.rounding import constrain
from spikewatch.convert.network.elman import flip_saturating_units, repeat_units
from spikewatch.convert.network.hidden_spikes import readout_counts
from spikewatch.simcore import QuestionCore

if TYPE_CHECKING:
    from spikewatch.convert.network.elman import ElmanNetwork


def growing_network() -> ElmanNetwork:
    """Return a ReLU network whose states grow over a sentence, as unbounded ones do."""
    network = float_network(3, activation="Relu")
    return replace(network, U=network.U + 1.2 * np.eye(network.n_hidden))


def remembering_network() -> ElmanNetwork:
    """Return a tanh network whose states are large and persistent, so that errors of its spikes persist too."""
    network = float_network(1, d=24, n=16)
    return replace(network, U=network.U + 0.6 * np.eye(network.n_hidden))


@pytest.mark.parametrize("copies", [2, 3])
def test_a_network_of_repeated_units_is_equivalent(copies: int) -> None:
    network = float_network()
    again = repeat_units(network, copies)
    np.testing.assert_allclose(again.logits(sentences()), network.logits(sentences()), atol=1e-9)
    assert again.n_hidden == copies * network.n_hidden


def test_flipped_units_saturate_low_and_the_network_is_equivalent() -> None:
    network = replace(float_network(d=8, n=6), b=np.array([3.0, -3.0, 3.0, -3.0, 0.0, 3.0]))
    again = flip_saturating_units(network, sentences())
    np.testing.assert_allclose(again.logits(sentences()), network.logits(sentences()), atol=1e-9)
    states = np.concatenate([h for _, _, _, h in again.trace(sentences())])
    assert (states.mean(axis=0)[[0, 1, 2, 3, 5]] < -0.5).all()
    relu = float_network(activation="Relu")
    assert flip_saturating_units(relu, sentences()) is relu
    largest = replace(network, readout="max")
    assert flip_saturating_units(largest, sentences()) is largest


def test_copies_leave_the_words_the_lines_that_they_need() -> None:
    assert copies_that_fit(float_network(d=8, n=10, classes=4)) == 5
    assert copies_that_fit(float_network(d=64, n=16, classes=6)) == 2
    assert copies_that_fit(float_network(d=64, n=40, classes=6)) == 1


@pytest.mark.parametrize("seed", range(2))
def test_a_network_on_the_grid_is_left_as_it_is(seed: int) -> None:
    network = grid_network(seed)
    closed = closed_form(network, sentences())
    assert closed.on_grid
    assert closed.neurons is None
    plain = constrain(network, sentences())
    assert (closed.spiking.levels == plain.levels).all()
    assert (closed.spiking.scale == plain.scale).all()


@pytest.mark.parametrize(
    "network", [remembering_network(), growing_network()], ids=["tanh", "relu"]
)
def test_the_closed_form_answers_more_like_the_float_network_than_plain_rounding(
    network: ElmanNetwork,
) -> None:
    held_out, some = sentences(99), sentences()[:200]
    wanted = network.logits(held_out).argmax(axis=1)
    labels = network.logits(some).argmax(axis=1)
    plain = constrain(network, some)
    closed = closed_form(network, some)
    cores = [
        (match_responses(plain, some, labels).image, plain),
        (match_responses(closed.spiking, some, labels, closed.neurons).image, closed.spiking),
    ]
    before, after = (
        float((QuestionCore(image, n.encoder()).answer(held_out).label == wanted).mean())
        for image, n in cores
    )
    assert after > before + 0.02


@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
def test_the_mean_over_all_words_is_read_on_the_core(activation: str) -> None:
    """The readout neurons add up all words' hidden spikes as the host would."""
    network = replace(float_network(2, activation=activation), readout="mean")
    constrained = constrain(network, sentences())
    assert constrained.n_in + constrained.n_hidden <= 64
    neurons = hidden_neurons(constrained)
    labels = network.logits(sentences()).argmax(axis=1)
    matched = match_responses(constrained, sentences(), labels, neurons)
    coding = matched.image.coding
    assert coding is not None
    assert (coding.readout, coding.gate_line) == ("mean", -1)
    held_out = sentences(99)
    host = constrained.read_out(readout_counts(constrained, neurons, held_out)).argmax(axis=1)
    core = QuestionCore(matched.image, constrained.encoder()).answer(held_out).label
    assert (core == host).mean() > 0.95


@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
def test_the_largest_states_are_read_by_the_host_and_learnt_from_the_mean_by_a_core(
    activation: str,
) -> None:
    network = replace(float_network(2, activation=activation), readout="max")
    held_out = sentences(99)
    wanted = network.logits(held_out).argmax(axis=1)
    agreement = {}
    for head in ("core", "host"):
        placed = bring_to_core(replace(network, head=head), sentences()[:200], "closed-form")
        image = placed.matched.image
        assert image.coding is not None
        assert image.coding.readout == {"core": "mean", "host": "max"}[head]
        answers = QuestionCore(image, placed.network.encoder()).answer(held_out)
        agreement[head] = (answers.label == wanted).mean()
    assert agreement["host"] > 0.8
    assert agreement["core"] > 0.5


def test_the_mean_of_the_states_is_what_the_float_head_reads() -> None:
    network = replace(float_network(), readout="mean")
    ids = sentences()[0]
    states = np.stack([s[0] for _, _, _, s in network.trace([ids])])
    wanted = network.C @ states.mean(axis=0) + network.c
    np.testing.assert_allclose(network.logits([ids])[0], wanted, atol=1e-12)
