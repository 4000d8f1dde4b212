"""Placement: the core computes exactly the constrained network's spikes, within every limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TINY_WORDS, tiny_image, tiny_network

from spikewatch.convert.constraining.host_head import host_heads
from spikewatch.convert.constraining.response_matching import (
    answer_on_core,
    hidden_neurons,
    match_responses,
    readout_neurons,
)
from spikewatch.convert.errors import ConstraintError
from spikewatch.convert.network.constrained import OPPOSITE, ConstrainedNetwork, join_directions
from spikewatch.convert.network.hidden_spikes import readout_counts, run_hidden_neurons
from spikewatch.convert.network.place import CODEBOOK, level_bits, place, unplace
from spikewatch.simcore import CoreImage, QuestionCore, Simulator, pack_lines
from spikewatch.simcore.schedule import spike_pattern

T = 15


def questions(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, len(TINY_WORDS), length) for length in rng.integers(1, 12, n)]


def test_four_bits_are_the_sixteen_levels() -> None:
    levels = np.arange(-8, 8, dtype=np.int8)[:, None]
    assert (level_bits(levels) @ CODEBOOK).tolist() == list(range(-8, 8))


def with_hidden_units_on_output_lines(image: CoreImage, n_hidden: int) -> CoreImage:
    """Return the image with one copy of each hidden unit on an output line, and without recurrent connections."""
    names = ("target_core", "target_axon")
    arrays = {name: getattr(image, name).copy() for name in names}
    first = np.arange(n_hidden) * 4
    arrays["target_core"][0] = -1
    arrays["target_axon"][0] = 0
    arrays["target_core"][0, first] = -2
    arrays["target_axon"][0, first] = np.arange(n_hidden)
    outputs = np.stack([np.zeros(n_hidden, int), first, np.arange(n_hidden)], axis=1).astype(
        np.int32
    )
    kept = {f: getattr(image, f) for f in CoreImage.__dataclass_fields__ if f not in names}
    return CoreImage(**(kept | arrays | {"outputs": outputs, "coding": None}))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_hidden_counts_used_for_matching_are_the_cores(seed: int) -> None:
    """The first step of the vectorised hidden layer, unit by unit, against the simulated core."""
    network = tiny_network(seed)
    neurons = hidden_neurons(network)
    image = with_hidden_units_on_output_lines(tiny_image(network), network.n_hidden)
    word = seed % len(TINY_WORDS)
    _, _, counts = next(run_hidden_neurons(network, neurons, [np.array([word])]))
    spikes = spike_pattern(T)[network.rounded_codes()[word]].T
    lines = np.zeros((T, network.n_in + 1), dtype=np.uint8)
    lines[:, :-1] = spikes
    outcome = Simulator(image).run(pack_lines(lines), [0, T])
    assert outcome.counts[0].tolist() == counts[0].tolist()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_recurrent_counts_used_for_matching_are_the_cores(seed: int) -> None:
    """All steps: on the core, hidden spikes are the copies' spikes onto axons, four for each."""
    network = tiny_network(seed)
    neurons = hidden_neurons(network)
    image = tiny_image(network)
    sentence = questions(1, seed)[0]
    total = sum(float(c.sum()) for _, _, c in run_hidden_neurons(network, neurons, [sentence]))
    codes = network.rounded_codes()[sentence[::-1]]
    lines = np.zeros((len(sentence) * T, network.n_in + 1), dtype=np.uint8)
    lines[:, :-1] = spike_pattern(T)[codes].transpose(0, 2, 1).reshape(-1, network.n_in)
    outcome = Simulator(image).run(pack_lines(lines), [0, len(lines)])
    assert outcome.spikes[0, 1] == 4 * total


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), readout=st.sampled_from(["last", "mean"]))
def test_a_head_on_the_host_gets_the_counts_that_it_was_fitted_to(seed: int, readout: str) -> None:
    network = replace(tiny_network(seed), head="host", readout=readout)
    neurons = hidden_neurons(network)
    asked = questions(6, seed)
    counts = readout_counts(network, neurons, asked)
    logits = np.random.default_rng(seed).normal(size=(6, 6))
    words = np.array([len(q) for q in asked])[:, None] if readout == "mean" else 1
    for head in host_heads(network, counts, logits):
        image = place(network, neurons, head)
        assert image.output_lines == network.n_hidden
        wanted = words * (counts @ head.weights.T + head.bias)
        got = QuestionCore(image, network.encoder()).answer(asked).scores
        np.testing.assert_allclose(got, wanted, atol=1e-3)


def two_directions(readout: str, head: str) -> ConstrainedNetwork:
    """Return a bidirectional network of 6 + 5 hidden units, whose second direction reads 4 of 10 lines."""
    parts = [
        replace(
            tiny_network(seed, n_in=n_in, n_hidden=n),
            projection=np.zeros((0, n_in)),
            readout=readout,
            head=head,
        )
        for seed, n_in, n in ((1, 6, 6), (2, 4, 5))
    ]
    more = tiny_network(3, n_hidden=11)
    return replace(
        join_directions(*parts),
        readout_levels=more.readout_levels,
        readout_scale=more.readout_scale,
        readout_bias=more.readout_bias,
    )


def one_direction(network: ConstrainedNetwork, which: int) -> ConstrainedNetwork:
    """Return direction 0 or 1 of a bidirectional network as a network; each gets half of the readout's bias."""
    lines, units = (of == which for of in network.directions())
    return replace(
        network,
        projection=network.projection[:, lines],
        origin=network.origin[lines],
        codes=network.codes[:, lines],
        levels=network.levels[units][:, np.concatenate([lines, units])],
        scale=network.scale[units],
        bias=network.bias[units],
        initial=network.initial[units],
        readout_levels=network.readout_levels[:, units],
        readout_bias=network.readout_bias / 2,
        direction=OPPOSITE[network.direction] if which else network.direction,
        backward_lines=0,
        backward_units=0,
    )


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_both_directions_spike_on_one_core_as_each_does_alone_and_on_two(
    readout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = two_directions(readout, "host")
    neurons = hidden_neurons(network)
    asked = questions(8, 5)
    alone = [
        readout_counts(
            one_direction(network, way),
            neurons.select(np.flatnonzero(network.directions()[1] == way)),
            asked,
        )
        for way in (0, 1)
    ]
    assert (one_direction(network, 0).direction, one_direction(network, 1).direction) == (
        "reverse",
        "forward",
    )
    counts = np.concatenate(alone, axis=1)
    np.testing.assert_array_equal(readout_counts(network, neurons, asked), counts)
    head = host_heads(network, counts, None)[0]
    scores = []
    for cores in (1, 2):
        if cores == 2:
            monkeypatch.setattr(
                "spikewatch.convert.network.place.needs_two_cores", lambda n: n.backward_lines > 0
            )
        image = place(network, neurons, head)
        assert image.cores == cores
        core = QuestionCore(image, network.encoder())
        assert core.uses_derived_network == (cores == 1)
        scores.append(core.answer(asked).scores)
        layer, placed = unplace(image, network.encoder())
        np.testing.assert_array_equal(readout_counts(layer, placed, asked), counts)
    words = np.array([len(q) for q in asked])[:, None] if readout == "mean" else 1
    np.testing.assert_allclose(scores[0], words * (counts @ head.weights.T + head.bias), atol=1e-3)
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_class_counts_of_two_cores_are_those_of_each_core_together(
    readout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = two_directions(readout, "core")
    neurons = hidden_neurons(network)
    monkeypatch.setattr(
        "spikewatch.convert.network.place.needs_two_cores", lambda n: n.backward_lines > 0
    )
    halves = [one_direction(network, way) for way in (0, 1)]
    readouts = [readout_neurons(half, -5.0, 10.0) for half in halves]
    image = place(network, neurons, (readouts[0], readouts[1]))
    asked = questions(8, 5)
    answers = QuestionCore(image, network.encoder()).answer(asked)
    alone = [
        QuestionCore(
            place(
                half, neurons.select(np.flatnonzero(network.directions()[1] == way)), readouts[way]
            ),
            half.encoder(),
        ).answer(asked)
        for way, half in enumerate(halves)
    ]
    np.testing.assert_array_equal(answers.scores, alone[0].scores + alone[1].scores)
    np.testing.assert_array_equal(answers.spikes, alone[0].spikes + alone[1].spikes)
    np.testing.assert_array_equal(
        answers.synaptic_events, alone[0].synaptic_events + alone[1].synaptic_events
    )


def test_a_head_on_the_host_takes_a_fifth_neuron_of_every_unit_and_no_gate() -> None:
    message = r"^network: 52 hidden units x 5 copies = 260 neurons, limit 256$"
    for n_hidden in (51, 52):
        network = replace(tiny_network(n_in=64 - n_hidden, n_hidden=n_hidden), head="host")
        head = host_heads(network, np.zeros((0, 0)), None)[0]
        if n_hidden == 51:
            image = place(network, hidden_neurons(network), head)
            assert image.synapses()[0].any(axis=1).all()
        else:
            with pytest.raises(ConstraintError, match=message):
                place(network, hidden_neurons(network), head)


def test_matched_responses_agree_at_least_as_well_as_the_closed_form() -> None:
    network = tiny_network(3)
    sentences = questions(300)
    wanted = network.logits(sentences).argmax(axis=1)
    matched = match_responses(network, sentences, wanted)
    counted = float((answer_on_core(matched.image, network, sentences) == wanted).mean())
    assert matched.agreement == counted
    logits = np.sort(network.logits(sentences), axis=1)
    readout = readout_neurons(network, float(logits[:, -2].min()), float(logits[:, -1].max()))
    plain = place(network, hidden_neurons(network), readout)
    assert counted >= float((answer_on_core(plain, network, sentences) == wanted).mean())


def test_too_many_lines_are_refused_with_their_number() -> None:
    message = r"^network: 40 input lines \+ 24 hidden units \+ 1 gate = 65 lines, limit 64$"
    with pytest.raises(ConstraintError, match=message):
        tiny_image(tiny_network(n_in=40, n_hidden=24))


def test_too_many_neurons_are_refused_with_their_number() -> None:
    message = r"^network: 63 hidden units x 4 copies \+ 6 readout neurons = 258 neurons, limit 256$"
    network = tiny_network(n_in=0, n_hidden=63)
    with pytest.raises(ConstraintError, match=message):
        place(network, hidden_neurons(network), hidden_neurons(network))


def test_the_fullest_core_is_placed() -> None:
    network = tiny_network(n_in=15, n_hidden=48)
    image = tiny_image(network)
    used = image.target_core[0] != -1
    assert int(used.sum()) == 48 * 4 + 6 * 10
    assert image.synapses()[0].any(axis=1).all()
