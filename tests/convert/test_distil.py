"""Distillation: the student's spikes are the core's, and it learns answers that the closed form lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_closed_form import remembering_network
from test_constrain import float_network, sentences

pytest.importorskip("torch", reason="distilling needs the extra [train]")

import torch

from spikewatch.convert.constraining.bidirectional import constrain_both_directions
from spikewatch.convert.constraining.distil import (
    DistilSettings,
    distil,
    judging_questions,
    train_student,
)
from spikewatch.convert.constraining.distil.questions import pack
from spikewatch.convert.constraining.distil.student import Student
from spikewatch.convert.constraining.recipe import bring_to_core
from spikewatch.convert.constraining.response_matching import answer_on_core, hidden_neurons
from spikewatch.convert.constraining.rounding import constrain
from spikewatch.convert.network.hidden_spikes import readout_counts

if TYPE_CHECKING:
    from spikewatch.convert.network.constrained import ConstrainedNetwork
    from spikewatch.convert.network.elman import ElmanNetwork

QUICK = DistilSettings(epochs=6, spiking_epochs=6, batch=16)


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
@pytest.mark.parametrize("floor", [0.0, -0.5])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_student_in_training_counts_the_cores_spikes(
    readout: str, floor: float, direction: str
) -> None:
    network = replace(float_network(), readout=readout, direction=direction, head="host")
    constrained = constrain(network, sentences())
    student = Student(constrained, network.embedding, floor)
    questions = sentences(7, 50)
    with torch.no_grad():
        found = student(*pack(questions, direction), "spiking")[-1].numpy()
    again = student.constrained(network.embedding)
    neurons = hidden_neurons(again, floor=floor)
    wanted = again.read_out(readout_counts(again, neurons, questions))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_the_student_in_training_is_the_integer_network(readout: str) -> None:
    network = replace(float_network(), readout=readout, head="host")
    student = Student(constrain(network, sentences()), network.embedding)
    questions = sentences(7, 50)
    with torch.no_grad():
        found = student(*pack(questions, "forward"), "integer").numpy()
    wanted = student.constrained(network.embedding).logits(questions)
    np.testing.assert_allclose(found[-1], wanted, atol=1e-3)


@pytest.mark.parametrize("way", ["integer", "spiking"])
def test_the_student_reads_both_directions_and_keeps_them_apart(way: str) -> None:
    parts = float_network(), replace(float_network(5), direction="reverse")
    network = replace(
        parts[0], C=np.concatenate([p.C for p in parts], axis=1), backward=parts[1], head="host"
    )
    closed, _ = constrain_both_directions(network, sentences()[:200])
    student = Student(closed.spiking, network.embedding)
    with torch.no_grad():
        student.weights += 0.3  # including weights between the directions, as training might
    asked = sentences(7, 50)
    ids, alive = pack(asked, "forward")
    with torch.no_grad():
        found = student(ids, alive, way, pack(asked, "reverse")[0])[-1].numpy()
    again = student.constrained(network.embedding)
    assert not again.levels[~again.connected()].any()
    wanted = again.logits(asked)
    if way == "spiking":
        wanted = again.read_out(readout_counts(again, hidden_neurons(again), asked))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def agreement(constrained: ConstrainedNetwork, network: ElmanNetwork) -> float:
    held_out = sentences(99)
    counts = readout_counts(constrained, hidden_neurons(constrained), held_out)
    wanted = network.logits(held_out).argmax(axis=1)
    return float((constrained.read_out(counts).argmax(axis=1) == wanted).mean())


def test_spikes_in_the_loop_make_the_core_agree_and_are_repeatable() -> None:
    network = remembering_network()
    start = constrain(network, sentences())
    taught, again = (train_student(start, "spiking", network, sentences(), QUICK) for _ in range(2))
    assert agreement(taught, network) > agreement(start, network) + 0.04
    for name, values in taught.tensors().items():
        assert values.tobytes() == again.tensors()[name].tobytes()


def test_labels_teach_what_the_float_network_does_not_know() -> None:
    """The labels contradict the teacher everywhere, and the student follows some of them."""
    network = float_network()
    truth = (network.logits(sentences()).argmax(axis=1) + 1) % network.classes
    start = constrain(network, sentences())
    settings = replace(QUICK, label_share=1.0, every=0.0, replaced=0.0)
    taught = train_student(start, "integer", network, sentences(), settings, labels=truth)
    before, after = (
        (n.logits(sentences()).argmax(axis=1) == truth).mean() for n in (start, taught)
    )
    assert after > before + 0.12


def test_a_core_behind_its_integer_model_is_distilled_longer_and_the_better_is_kept() -> None:
    network = replace(remembering_network(), head="host")
    questions = sentences(n=150)
    start = constrain(network, questions)
    once = DistilSettings(
        epochs=1,
        longer_epochs=3,
        spiking_epochs=1,
        spiking_rounds=1,
        longer_rounds=2,
        batch=32,
        behind=1.0,
    )
    passes: list[tuple[str, int, int]] = []
    short = distil(
        start,
        network,
        questions,
        once,
        progress=lambda *, stage, done, total: passes.append((stage, done, total)),
    )
    assert passes == [("distilling", 1, 1), ("round 1", 1, 1)]
    assert short.behind > 0
    notes: list[str] = []
    settings = replace(once, behind=short.behind / 2)
    longer = distil(start, network, questions, settings, note=notes.append)
    assert any("distilling longer" in line for line in notes)
    assert longer.matched.agreement > short.matched.agreement
    settings = replace(once, behind=short.behind)
    again = distil(start, network, questions, settings)
    assert again.matched.image.to_bytes() == short.matched.image.to_bytes()


def test_cores_are_judged_by_changed_questions_that_no_pass_reads() -> None:
    network = replace(remembering_network(), head="host")
    questions = sentences(n=40)
    judges = judging_questions(questions, len(network.rows), DistilSettings(seed=3))
    assert all(a is b for a, b in zip(questions, judges, strict=False))
    changed = judges[len(questions) :]
    assert len(changed) >= 1500
    assert {len(q) for q in changed} == {len(q) for q in questions}
    again = judging_questions(questions, len(network.rows), DistilSettings(seed=3))
    np.testing.assert_array_equal(np.concatenate(judges), np.concatenate(again))
    placed = bring_to_core(network, questions, "distill", seed=3)
    answered = answer_on_core(placed.matched.image, placed.network, judges)
    wanted = network.logits(judges).argmax(axis=1)
    assert placed.matched.agreement == (answered == wanted).mean()
    assert placed.matched.agreement >= placed.closed_form_agreement


def test_more_questions_need_fewer_passes() -> None:
    settings = DistilSettings()
    assert [settings.passes(n) for n in (16, 1500, 2000, 5000)] == [96, 96, 72, 48]
    assert settings.longer().passes(5000) == settings.longer().passes(16) == 144
