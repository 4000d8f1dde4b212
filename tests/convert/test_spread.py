"""Hidden units spread over several cores spike as on one large core."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TINY_WORDS, tiny_network

from spikewatch.convert.constraining.host_head import host_heads
from spikewatch.convert.constraining.recipe import PlacedNetwork
from spikewatch.convert.constraining.response_matching import (
    hidden_neurons,
    match_responses,
    read_out_parts,
    readout_neurons,
)
from spikewatch.convert.errors import ConstraintError
from spikewatch.convert.evaluation.tables import cores_table
from spikewatch.convert.network.constrained import ConstrainedStages
from spikewatch.convert.network.hidden_spikes import readout_counts
from spikewatch.convert.network.place import place
from spikewatch.convert.network.spread import (
    Spread,
    choose_lines,
    even_groups,
    readers_that_fit,
)
from spikewatch.convert.network.unplace import unit_neurons, unplace
from spikewatch.convert.publishing.cores import fewest_cores
from spikewatch.convert.publishing.imitation import Imitation
from spikewatch.simcore import CoreImage, QuestionCore, estimate

if TYPE_CHECKING:
    from spikewatch.convert.network.constrained import ConstrainedNetwork


def questions(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, len(TINY_WORDS), length) for length in rng.integers(1, 9, n)]


def spread_network(
    seed: int, cores: int, *, readout: str = "last", head: str = "core", lines: int = 14
) -> ConstrainedNetwork:
    """Return a network of 12 units on some cores of at most `lines` lines each, which one core could hold as well."""
    network = tiny_network(seed, n_in=10, n_hidden=12)
    spread = choose_lines(network.levels, even_groups(12, cores), lines=lines, readers=30)
    levels = np.where(spread.connected(), network.levels, 0).astype(np.int8)
    return replace(network, levels=levels, readout=readout, head=head, spread=spread)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cores=st.integers(2, 6),
    readout=st.sampled_from(["last", "mean", "max"]),
)
def test_units_on_several_cores_spike_as_on_one(seed: int, cores: int, readout: str) -> None:
    network = spread_network(seed, cores, readout=readout, head="host")
    neurons, asked = hidden_neurons(network), questions(6, seed)
    head = host_heads(network, readout_counts(network, neurons, asked), None)[0]
    image, alone = (
        place(network, neurons, head),
        place(replace(network, spread=None), neurons, head),
    )
    assert (image.cores, alone.cores) == (cores, 1)
    encoder = network.encoder()
    found = QuestionCore(image, encoder).answer(asked)
    one = QuestionCore(alone, encoder).answer(asked)
    np.testing.assert_array_equal(found.scores, one.scores)
    np.testing.assert_array_equal(found.spikes[:, 2], one.spikes[:, 2])  # the outputs
    assert found == QuestionCore(image, encoder, "reference").answer(asked)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000), cores=st.integers(2, 4), readout=st.sampled_from(["last", "mean"])
)
def test_class_counts_of_all_cores_add_up(seed: int, cores: int, readout: str) -> None:
    """Each core counts the units that are read out there, exactly as one core with only those in its readout would."""
    network = spread_network(seed, cores, readout=readout)
    neurons, asked, encoder = hidden_neurons(network), questions(6, seed), network.encoder()
    parts = read_out_parts(network)
    readouts = [readout_neurons(part, -5.0, 20.0) for part in parts]
    image = place(network, neurons, tuple(readouts))
    found = QuestionCore(image, encoder).answer(asked)
    alone = [
        QuestionCore(place(replace(part, spread=None), neurons, own), encoder).answer(asked).scores
        for part, own in zip(parts, readouts, strict=True)
    ]
    np.testing.assert_array_equal(found.scores, sum(alone))
    assert found == QuestionCore(image, encoder, "reference").answer(asked)
    assert found == QuestionCore(image, encoder).answer(asked, threads=2)
    assert (sum(p.readout_levels for p in parts) == network.readout_levels).all()
    image_again = CoreImage.from_bytes(image.to_bytes())
    assert QuestionCore(image_again, encoder).answer(asked) == found


@pytest.mark.parametrize("head", ["core", "host"])
def test_the_network_is_read_back_from_its_cores(head: str) -> None:
    network = spread_network(3, 4, head=head)
    neurons, asked = hidden_neurons(network), questions(8, 1)
    image = match_responses(network, asked, np.zeros(8, dtype=np.int64), neurons).image
    layer, placed = unplace(image, network.encoder())
    assert layer.spread is not None
    assert network.spread is not None
    np.testing.assert_array_equal(layer.levels, network.levels)
    np.testing.assert_array_equal(layer.spread.core, network.spread.core)
    np.testing.assert_array_equal(layer.spread.reads, network.spread.reads)
    np.testing.assert_array_equal(placed.leak, neurons.leak)
    np.testing.assert_array_equal(
        readout_counts(layer, placed, asked), readout_counts(network, neurons, asked)
    )
    assert [len(unit_neurons(image, c)) for c in range(4)] == [3, 3, 3, 3]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cores=st.integers(1, 8),
    units=st.integers(1, 32),
    classes=st.integers(2, 128),
)
def test_every_unit_feeds_a_core_within_the_limits_of_all(
    seed: int, cores: int, units: int, classes: int
) -> None:
    n_in, n_hidden = 48, cores * units
    weights = np.random.default_rng(seed).normal(size=(n_hidden, n_in + n_hidden))
    readers = readers_that_fit(units, classes)
    spread = choose_lines(weights, even_groups(n_hidden, cores), lines=63, readers=readers)
    assert spread.cores == cores
    assert spread.readers().min() >= 1
    assert spread.reads.sum(axis=1).max() <= 63
    readout = min(8, (256 - 4 * units) // classes)
    assert readout >= 1
    assert spread.neurons("core").max() <= 256 - readout * classes
    assert spread.neurons("host").max() <= 256
    assert spread.reads[:, :n_in].any(axis=1).all()  # every core reads words
    at = spread.read_out_at()
    assert spread.reads[at, n_in + np.arange(n_hidden)].all()


def test_a_core_takes_the_lines_with_the_largest_weights_of_its_own_units() -> None:
    weights = np.zeros((4, 3 + 4))
    weights[:2, 0] = 2  # the first core's units listen to the first input
    weights[2:, 1] = 3
    weights[:2, 3 + 2] = 1  # and to a unit of the other core
    weights[:2, 3] = 0.1
    weights[2:, 3:5] = 0.5
    weights[2:, 2] = 0.2
    spread = choose_lines(weights, even_groups(4, 2), lines=4, readers=60)
    assert np.flatnonzero(spread.reads[0]).tolist() == [0, 3, 5, 6]
    assert np.flatnonzero(spread.reads[1]).tolist() == [1, 2, 3, 4]


def test_more_units_than_lines_are_refused() -> None:
    with pytest.raises(ConstraintError, match=r"^network: 9 hidden units on 2 cores, 5 on one"):
        choose_lines(np.ones((9, 12)), even_groups(9, 2), lines=4, readers=60)
    with pytest.raises(ConstraintError, match=r"^core: 60 hidden units x 4 copies \+ 50 readout"):
        readers_that_fit(60, 50)


def test_a_core_with_too_many_lines_or_neurons_is_refused_by_its_number() -> None:
    wide = tiny_network(n_in=40, n_hidden=60)
    halves = even_groups(60, 2)
    everything = Spread(core=halves, reads=np.ones((2, 100), dtype=np.bool_))
    network = replace(wide, spread=everything)
    message = r"^core 0: 40 input lines \+ 60 hidden units \+ 1 gate = 101 lines, limit 64$"
    asked = questions(4)
    with pytest.raises(ConstraintError, match=message):
        match_responses(network, asked, np.zeros(4, dtype=np.int64))
    # both cores read all 60 units: 30 x 4 x 2 neurons on each
    wide = tiny_network(n_in=6, n_hidden=60, classes=17)
    reads = np.zeros((2, 66), dtype=np.bool_)
    reads[:, 6:] = True
    network = replace(wide, spread=Spread(core=halves, reads=reads))
    message = (
        r"^core 0: 30 hidden units x 4 copies for each core that reads them \+ 17 readout neurons = 257"
        r" neurons, limit 256$"
    )
    with pytest.raises(ConstraintError, match=message):
        match_responses(network, asked, np.zeros(4, dtype=np.int64))


def placed(network: ConstrainedNetwork, asked: list[np.ndarray]) -> PlacedNetwork:
    matched = match_responses(network, asked, np.zeros(len(asked), dtype=np.int64))
    return PlacedNetwork(
        network=network,
        matched=matched,
        constrained=ConstrainedStages(core=network, wide=network),
        recipe="closed-form",
        closed_form_agreement=matched.agreement,
    )


@pytest.mark.parametrize(("differing", "cores"), [(0, 1), (1, 1), (2, 2)])
def test_auto_takes_the_fewest_cores_within_half_a_point(differing: int, cores: int) -> None:
    """Of 201 questions, one is just less than half a point."""
    asked = questions(600, 2)
    one, two = (
        placed(n, asked[:40]) for n in (tiny_network(4, n_in=10, n_hidden=12), spread_network(5, 2))
    )
    answered = [
        QuestionCore(p.matched.image, p.network.encoder()).answer(asked) for p in (one, two)
    ]
    equal = answered[0].label == answered[1].label
    chosen = [*np.flatnonzero(equal)[: 201 - differing], *np.flatnonzero(~equal)[:differing]]
    assert len(chosen) == 201
    student = Imitation(
        model=b"",
        spread=None,
        tokenizer=b"",
        held_out=[],
        judging=[],
        judged=[asked[i] for i in chosen],
        record={},
        kept=None,
        answers=lambda _: answered[1].label[chosen].astype(np.int64),  # as two cores answer
    )
    students = [student, replace(student, record={})]
    notes: list[str] = []
    at = fewest_cores([one, two], students, notes.append)
    assert at == cores - 1
    first, second = students[at].record["cores_tried"]
    assert (first["cores"], second["cores"]) == (1, 2)
    assert (first["agreement"], second["agreement"]) == (1 - differing / 201, 1.0)
    ticks = answered[1].ticks[chosen]
    assert second["ticks"] == ticks.mean()
    energy = estimate(
        cores=2, ticks=ticks.sum(), synaptic_events=answered[1].synaptic_events[chosen].sum()
    )
    assert second["energy_uj"]["paper"] == pytest.approx(energy.energy_uj["paper"] / 201)
    assert notes[0].startswith("1 core: ")
    assert (
        notes[-1]
        == f"taking {cores} core{'s' * (cores > 1)}: the fewest within half a point of the best"
    )
    assert "energy, paper" in cores_table([first, second])[0]
