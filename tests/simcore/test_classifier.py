"""The classifier: same text, same model, same result; and its answer is what the core's spikes say."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import neuron
from sim_support import assert_equal, tiny_lookup
from support import (
    TINY_LABELS,
    TINY_WORDS,
    tiny_image,
    tiny_model_files,
    tiny_network,
)

from spikewatch.convert.constraining.host_head import host_heads
from spikewatch.convert.constraining.response_matching import hidden_neurons
from spikewatch.convert.network.place import place
from spikewatch.simcore import (
    MAX_WORDS,
    NO_WORDS,
    TOO_LONG,
    Classifier,
    CoreImage,
    InputError,
    ModelError,
    QuestionCore,
    SimcoreError,
    Simulator,
    follow,
    pack_lines,
)
from spikewatch.simcore.schedule import spike_pattern

TEXTS = ["Who wrote Hamlet?", "what is the capital of france", "", "How far is the Moon?", "?!"]


def test_an_answer_is_the_output_spikes_of_the_drain_step(classifier: Classifier) -> None:
    """Replayed by hand on the plain simulator: words backwards, then the gate, counting the last 15 ticks."""
    network = tiny_network()
    image = tiny_image(network)
    ids = [TINY_WORDS.index(w) for w in ("who", "wrote", "hamlet")]
    activities = np.zeros((4, network.n_in + 1), dtype=np.uint8)
    activities[:3, :-1] = network.rounded_codes()[ids[::-1]]
    activities[3, -1] = 15
    spikes = spike_pattern(15)[activities].transpose(0, 2, 1).reshape(60, -1)
    outcome = Simulator(image, "reference").run(pack_lines(spikes), [0, 60], counted=[15])

    answers = classifier.classify(["Who wrote Hamlet?"])

    assert answers.scores.tolist() == outcome.counts.tolist()
    assert answers.label.tolist() == [int(outcome.counts[0].argmax())]
    assert answers.spikes.tolist() == outcome.spikes.tolist()
    assert answers.synaptic_events.tolist() == outcome.synaptic_events.tolist()
    assert answers.ticks.tolist() == [60]
    assert answers.words.tolist() == [3]
    assert answers.spikes[0, 0] == 4 * spikes.sum()


def test_a_mean_readout_counts_every_step_but_the_first() -> None:
    """Replayed by hand: the gate is open, and output spikes are counted, from the second step on."""
    network = tiny_network()
    image = tiny_image(network)
    assert image.coding is not None
    image = replace(image, coding=replace(image.coding, readout="mean"))
    ids = [TINY_WORDS.index(w) for w in ("who", "wrote", "hamlet")]
    activities = np.zeros((4, network.n_in + 1), dtype=np.uint8)
    activities[:3, :-1] = network.rounded_codes()[ids[::-1]]
    activities[1:, -1] = 15
    spikes = spike_pattern(15)[activities].transpose(0, 2, 1).reshape(60, -1)
    outcome = Simulator(image, "reference").run(pack_lines(spikes), [0, 60], counted=[45])

    answers = QuestionCore(image, network.encoder()).answer([ids, [ids[0]]])

    assert answers.scores[0].tolist() == outcome.counts[0].tolist()
    assert answers.spikes[0].tolist() == outcome.spikes[0].tolist()
    assert answers.synaptic_events[0] == outcome.synaptic_events[0]
    one_word = QuestionCore(tiny_image(network), network.encoder()).answer([[ids[0]]])
    assert answers.scores[1].tolist() == one_word.scores[0].tolist()


@pytest.mark.parametrize("kernel", ["reference", None])
def test_backward_lines_carry_the_words_from_the_other_end(kernel: str | None) -> None:
    """Replayed by hand: four lines read the words in reverse, the last two of them forward."""
    network = tiny_network()
    image = tiny_image(network)
    assert image.coding is not None
    image = replace(image, coding=replace(image.coding, backward_lines=2))
    ids = [TINY_WORDS.index(w) for w in ("who", "wrote", "hamlet")]
    activities = np.zeros((4, network.n_in + 1), dtype=np.uint8)
    activities[:3, :4] = network.rounded_codes()[ids[::-1], :4]
    activities[:3, 4:6] = network.rounded_codes()[ids, 4:]
    activities[3, -1] = 15
    spikes = spike_pattern(15)[activities].transpose(0, 2, 1).reshape(60, -1)
    outcome = Simulator(image, "reference").run(pack_lines(spikes), [0, 60], counted=[15])

    answers = QuestionCore(image, network.encoder(), kernel).answer([ids])

    assert answers.scores[0].tolist() == outcome.counts[0].tolist()
    assert answers.spikes[0].tolist() == outcome.spikes[0].tolist()
    assert answers.synaptic_events[0] == outcome.synaptic_events[0]


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
@pytest.mark.parametrize("kernel", ["reference", None])
def test_the_host_weighs_the_hidden_spikes_of_the_steps_that_are_read(
    readout: str, kernel: str | None
) -> None:
    """Replayed by hand: no gate and no drain step, spikes of every step counted apart, and the head in plain Python."""
    network = replace(tiny_network(), head="host")
    head = host_heads(network, np.zeros((0, 0)), None)[0]
    image = place(network, hidden_neurons(network), head)
    assert image.coding is not None
    image = replace(image, coding=replace(image.coding, readout=readout))
    ids = [TINY_WORDS.index(w) for w in ("who", "wrote", "hamlet")]
    spikes = spike_pattern(15)[network.rounded_codes()[ids[::-1]]].transpose(0, 2, 1)
    outcome = Simulator(image, "reference").run(
        pack_lines(spikes.reshape(45, -1)), [0, 45], record=True
    )
    assert outcome.raster is not None
    counts = outcome.raster.reshape(3, 15, -1).sum(axis=1).astype(int)
    read = {"last": counts[-1], "mean": counts.sum(axis=0), "max": counts.max(axis=0)}[readout]
    times = 3 if readout == "mean" else 1
    scores = [
        sum(int(w) * int(n) for w, n in zip(row, read, strict=True)) + times * int(bias)
        for row, bias in zip(head.weights, head.bias, strict=True)
    ]

    answers = QuestionCore(image, network.encoder(), kernel).answer([ids, [], [ids[0]]])

    assert answers.scores[0].tolist() == scores
    assert answers.label.tolist()[:2] == [scores.index(max(scores)), NO_WORDS]
    assert answers.scores[1].tolist() == [0] * 6
    assert answers.spikes[0].tolist() == outcome.spikes[0].tolist()
    assert answers.ticks.tolist() == [45, 0, 15]


def test_texts_without_words_are_answered_with_no_words(classifier: Classifier) -> None:
    answers = classifier.classify(["", "?!", "who"])
    assert answers.label[:2].tolist() == [NO_WORDS, NO_WORDS]
    assert answers.label[2] >= 0
    assert answers.ticks.tolist() == [0, 0, 30]


def test_the_longest_question_is_answered_and_one_word_more_is_too_long(
    classifier: Classifier,
) -> None:
    answers = classifier.classify(["who " * MAX_WORDS, "who " * (MAX_WORDS + 1)])
    assert answers.label[0] >= 0
    assert answers.label[1] == TOO_LONG
    assert answers.words.tolist() == [MAX_WORDS, MAX_WORDS + 1]


def test_an_empty_batch_is_an_empty_answer(classifier: Classifier) -> None:
    assert len(classifier.classify([]).label) == 0


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(TINY_WORDS), max_size=12).map(" ".join), max_size=20)
)
def test_the_result_does_not_depend_on_the_batch(classifier: Classifier, texts: list[str]) -> None:
    together = classifier.classify(texts, threads=2)
    for i, text in enumerate(texts):
        alone = classifier.classify([text])
        assert alone.label[0] == together.label[i]
        assert alone.scores[0].tolist() == together.scores[i].tolist()
        assert alone.synaptic_events[0] == together.synaptic_events[i]


def test_a_batch_larger_than_one_raster_gives_the_same(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TEXTS * 20
    whole = classifier.classify(texts)
    monkeypatch.setattr("spikewatch.simcore.questions._STEPS_AT_ONCE", 7)
    pieces = classifier.classify(texts)
    np.testing.assert_array_equal(whole.scores, pieces.scores)
    np.testing.assert_array_equal(whole.label, pieces.label)


@pytest.mark.parametrize("text", ["\ud800", "who \udfff wrote"])
def test_a_lone_surrogate_is_named_by_its_position(classifier: Classifier, text: str) -> None:
    with pytest.raises(InputError, match="^text 1: holds a lone surrogate, not valid Unicode$"):
        classifier.classify(["who", text])


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=60))
def test_any_unicode_text_is_answered(classifier: Classifier, text: str) -> None:
    label = int(classifier.classify([text]).label[0])
    assert label == NO_WORDS or 0 <= label < len(TINY_LABELS)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(max_size=40) | st.sampled_from(TEXTS), max_size=8))
def test_the_lookup_answers_as_the_library_does(classifier: Classifier, texts: list[str]) -> None:
    files = tiny_model_files() | {"lookup.safetensors": tiny_lookup().to_bytes()}
    by_lookup = Classifier.from_files(files)
    assert by_lookup.word_ids(texts) == classifier.word_ids(texts)
    assert_equal(classifier.classify(texts), by_lookup.classify(texts))


def test_without_lookup_and_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files, lookup = tiny_model_files(), tiny_lookup().to_bytes()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    Classifier.from_files(files | {"lookup.safetensors": lookup}).classify(TEXTS)
    with pytest.raises(ModelError) as caught:
        Classifier.from_files(files)
    assert str(caught.value) == (
        "tokenizer.json: reading it needs the tokenizers library: pip install 'spikewatch[tokenizers]'"
        " (with lookup.safetensors, a model answers without it)"
    )


def host_image() -> CoreImage:
    """Place the tiny network with its head on the host."""
    network = replace(tiny_network(), head="host")
    return place(network, hidden_neurons(network), host_heads(network, np.zeros((0, 0)), None)[0])


BROKEN = {
    "missing": ({"labels.json": None}, "model: labels.json is missing"),
    "labels not JSON": ({"labels.json": b"["}, "labels.json: not JSON"),
    "labels not a list": (
        {"labels.json": b"{}"},
        'labels.json: expected a JSON list of class names, such as ["HUM", "NUM"]',
    ),
    "labels twice": ({"labels.json": b'["a", "a"]'}, "labels.json: duplicate class name"),
    "too few labels": (
        {"labels.json": json.dumps(["a", "b"]).encode()},
        "labels: 2 names, but the core image has 6 output lines",
    ),
    "too few labels of a head": (
        {"core.safetensors": host_image().to_bytes(), "labels.json": b'["a", "b"]'},
        "labels: 2 names, but the core image has 6 classes",
    ),
    "tokenizer": ({"tokenizer.json": b"{}"}, "tokenizer.json: "),
    "tokenizer not UTF-8": ({"tokenizer.json": b"\xff"}, "tokenizer.json: not UTF-8"),
    "encoder": (
        {"encoder.safetensors": b"x"},
        "encoder: 1 bytes, too short for a safetensors file",
    ),
    "encoder of another width": (
        {"encoder.safetensors": tiny_network(n_in=4).encoder().to_bytes()},
        "encoder: codes of 4 lines, but the core image reads 6",
    ),
    "lookup": (
        {"lookup.safetensors": b"x"},
        "lookup: 1 bytes, too short for a safetensors file",
    ),
    "lookup of another tokenizer": (
        {"lookup.safetensors": replace(tiny_lookup(), tokenizer="0" * 64).to_bytes()},
        "lookup: not compiled from this tokenizer.json",
    ),
    "lookup of more words": (
        {"lookup.safetensors": replace(tiny_lookup(), unknown=len(TINY_WORDS)).to_bytes()},
        "tokenizer: word id 21, but the encoder knows 0..20",
    ),
    "image": ({"core.safetensors": b""}, "core image: 0 bytes, too short for a safetensors file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_model_files_that_do_not_fit_are_refused_in_one_line(case: str) -> None:
    changes, message = BROKEN[case]
    files = tiny_model_files() | changes
    with pytest.raises(SimcoreError, match=f"^{re.escape(message)}"):
        Classifier.from_files({k: v for k, v in files.items() if v is not None})


def test_an_image_without_coding_is_no_classifier() -> None:

    with pytest.raises(
        ModelError, match="^core image: it has no coding, so it is not a classifier$"
    ):
        QuestionCore(neuron(), tiny_network().encoder())


def test_spike_pattern_holds_as_many_spikes_as_the_activity_spread_evenly() -> None:
    pattern = spike_pattern(15)
    assert pattern.sum(axis=1).tolist() == list(range(16))
    assert np.flatnonzero(pattern[3]).tolist() == [4, 9, 14]
    assert np.flatnonzero(pattern[1]).tolist() == [14]


def test_the_course_of_a_question_says_how_long_it_is_and_refuses_unknown_words() -> None:
    image, encoder = tiny_image(tiny_network()), tiny_network().encoder()
    assert repr(follow(image, encoder, [1, 2, 3])) == "<Course: 3 words, 4 steps, 60 ticks>"
    with pytest.raises(InputError, match=r"^question: word id -7, but the encoder knows 0\.\.20$"):
        follow(image, encoder, [1, -7, 99])
    with pytest.raises(InputError, match=r"^question: 0 words, limits 1\.\.1,024$"):
        follow(image, encoder, [])
