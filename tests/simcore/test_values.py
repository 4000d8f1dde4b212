"""Results are values: they compare without raising, have a length, and describe themselves in one short line."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from images import neuron
from support import tiny_image, tiny_network

from spikewatch.simcore import (
    Answers,
    Energy,
    HostHead,
    Outcome,
    QuestionCore,
    Simulator,
    estimate,
    pack_lines,
)

RASTER = pack_lines(np.ones((5, 4), dtype=np.uint8))


def outcome() -> Outcome:
    return Simulator(neuron(s0=1, threshold=2)).run(RASTER, [0, 2, 5], record=True)


def answers() -> Answers:
    network = tiny_network()
    return QuestionCore(tiny_image(network), network.encoder()).answer([[0, 1], [2], []])


def energies() -> Energy:
    return estimate(cores=1, ticks=[150, 300, 0], synaptic_events=[10, 20, 0])


def energy() -> Energy:
    return estimate(cores=1, ticks=150, synaptic_events=10)


def head() -> HostHead:
    return HostHead(weights=np.ones((3, 2), np.int32), bias=np.zeros(3, np.int32))


MAKERS = [outcome, answers, energies, energy, head]


@pytest.mark.parametrize("make", MAKERS)
def test_equal_results_are_equal(make: Any) -> None:
    assert (make() == make()) is True
    assert (make() != make()) is False


@pytest.mark.parametrize("make", MAKERS)
def test_a_result_that_differs_in_any_field_is_not_equal(make: Any) -> None:
    value = make()
    for field in fields(value):
        changed = replace(value, **{field.name: getattr(value, field.name) + 1})
        assert (value == changed) is False, field.name


@pytest.mark.parametrize("make", MAKERS)
def test_a_result_is_not_equal_to_another_type_or_shape(make: Any) -> None:
    value = make()
    first = fields(value)[0].name
    assert value != 1
    assert value != replace(value, **{first: np.zeros((7, 7, 7))})


def test_an_outcome_with_a_raster_is_not_equal_to_one_without() -> None:
    assert outcome() != replace(outcome(), raster=None)


@pytest.mark.parametrize(
    ("value", "length"), [(outcome(), 2), (answers(), 3), (energies(), 3), (energy(), 1)]
)
def test_the_length_is_the_number_of_runs_or_texts(value: Any, length: int) -> None:
    assert len(value) == length


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (outcome(), "<Outcome: 2 runs, 1 output line, 5 ticks recorded>"),
        (replace(outcome(), raster=None), "<Outcome: 2 runs, 1 output line>"),
        (answers(), "<Answers: 3 texts, 6 classes>"),
        (
            estimate(cores=1, ticks=60, synaptic_events=292868),
            "<Energy: 1 run, 1.025 uJ (paper), 1.617 uJ (static_marginal)>",
        ),
        (
            estimate(cores=1, ticks=[60, 60], synaptic_events=[292868, 292868]),
            "<Energy: 2 runs, 2.051 uJ (paper), 3.233 uJ (static_marginal)>",
        ),
        (head(), "<HostHead: 3 classes, 2 output lines>"),
        (neuron(), "<CoreImage: 1 core, 4 input lines, 1 output line>"),
        (
            tiny_image(tiny_network()),
            "<CoreImage: 1 core, 7 input lines, 6 output lines, 6 classes>",
        ),
        (
            Simulator(neuron(), "reference"),
            "<Simulator: 1 core, 4 input lines, kernel reference>",
        ),
        (
            QuestionCore(tiny_image(tiny_network()), tiny_network().encoder(), "base"),
            f"<QuestionCore: 1 core, 6 classes, {len(tiny_network().rows)} words,"
            " kernel base, derived network>",
        ),
    ],
)
def test_the_repr_is_one_line_of_shapes_and_counts(value: Any, text: str) -> None:
    assert repr(value) == text
