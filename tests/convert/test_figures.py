"""Check the figures of the ledger: losses, classes, responses and use of the limits."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from support import TINY_WORDS, tiny_image, tiny_network

from spikewatch.convert.constraining.response_matching import hidden_neurons
from spikewatch.convert.errors import ConstraintError
from spikewatch.convert.evaluation.figures import (
    class_figures,
    confusion_matrix,
    responses,
    stage_figures,
    utilisation,
)
from spikewatch.convert.evaluation.tables import show
from spikewatch.convert.network.hidden_spikes import run_hidden_neurons
from spikewatch.convert.network.place import unplace
from spikewatch.simcore import CoreImage, blank


def questions(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, len(TINY_WORDS), length) for length in rng.integers(1, 9, n)]


TRUTH = np.array([0, 1, 2, 2])
PREDICTED = {
    "float": np.array([0, 1, 2, 2]),
    "weights": np.array([0, 1, 2, 1]),
    "spiking": np.array([0, 0, 2, -1]),
}


def test_stages_are_compared_with_labels_float_stage_and_previous_stage() -> None:
    stages = stage_figures(PREDICTED, TRUTH)
    assert stages == {
        "float": {"accuracy": 1.0, "agreement": 1.0, "agreement_before": None, "loss": None},
        "weights": {"accuracy": 0.75, "agreement": 0.75, "agreement_before": 0.75, "loss": 0.25},
        "spiking": {"accuracy": 0.5, "agreement": 0.5, "agreement_before": 0.5, "loss": 0.25},
    }


def test_without_labels_only_agreement_is_counted() -> None:
    stages = stage_figures(PREDICTED, None)
    assert stages["spiking"] == {
        "accuracy": None,
        "agreement": 0.5,
        "agreement_before": 0.5,
        "loss": None,
    }


def test_classes_have_precision_recall_and_support() -> None:
    answered = PREDICTED["spiking"].astype(np.int32)
    confusion = confusion_matrix(TRUTH, answered, ("a", "b", "c", "d"))
    assert confusion["matrix"] == [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 1], [0] * 5]
    assert class_figures(confusion) == {
        "a": {"precision": 0.5, "recall": 1.0, "support": 1},
        "b": {"precision": None, "recall": 0.0, "support": 1},
        "c": {"precision": 1.0, "recall": 0.5, "support": 2},
        "d": {"precision": None, "recall": None, "support": 0},
    }


@pytest.mark.parametrize("seed", range(5))
def test_unplace_recovers_the_placed_layer(seed: int) -> None:
    network = tiny_network(seed)
    image = CoreImage.from_bytes(tiny_image(network).to_bytes())
    found, neurons = unplace(image, network.encoder())
    np.testing.assert_array_equal(found.levels, network.levels)
    asked = questions(20)
    placed = run_hidden_neurons(network, hidden_neurons(network), asked)
    for (_, _, wanted), (_, _, got) in zip(
        placed, run_hidden_neurons(found, neurons, asked), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_unplace_refuses_a_core_without_a_coding() -> None:
    arrays = blank(1)
    with pytest.raises(ConstraintError, match="expected one placed network$"):
        unplace(CoreImage(**arrays), tiny_network().encoder())


def test_responses_rise_with_the_activity_and_cover_every_unit() -> None:
    network = tiny_network(n_hidden=12)
    found = responses(network, tiny_image(network), network.encoder(), questions(200))
    assert found is not None
    steps = sum(len(q) for q in questions(200))
    assert sum(level["samples"] for level in found["levels"]) == steps * network.n_hidden
    low, high = found["levels"][0], found["levels"][-1]
    assert (low["activity"], high["activity"]) == (0, 15)
    assert high["spikes"] - low["spikes"] > 8
    assert len(found["units"]) == network.n_hidden
    total = sum(level["spikes"] * level["samples"] for level in found["levels"])
    assert sum(u["spikes"] for u in found["units"]) * steps == pytest.approx(total)


def test_responses_need_the_same_units_on_both_sides() -> None:
    core = tiny_network(n_hidden=12)
    other = tiny_network(n_hidden=8)
    assert responses(other, tiny_image(core), core.encoder(), questions(5)) is None


def test_the_use_of_every_limit_is_counted() -> None:
    network = tiny_network(n_in=6, n_hidden=8)
    use = utilisation(tiny_image(network), network)
    assert use["lines (fan-in)"] == {"used": 6 + 8 + 1, "limit": 64}
    assert use["axons, fullest core"]["used"] <= 4 * 15
    assert all(0 <= u["used"] <= u["limit"] for u in use.values())


def test_tables_of_many_classes_are_not_cut() -> None:
    labels = [f"class{i:02}" for i in range(50)]
    evaluation = {
        "head": "core",
        "questions": 50,
        "without_words": 0,
        "float_by_recurrence": 7,
        "stages": stage_figures(PREDICTED, TRUTH),
        "confusion": confusion_matrix(np.arange(50), np.arange(50, dtype=np.int32), labels),
        "classes": {},
        "responses": None,
        "per_question": {
            "cores": 1,
            "words": 2.0,
            "ticks": 45.0,
            "spikes": {"input": 1.0},
            "synaptic_events": 3.0,
            "power_uw": {"paper": 17.09},
            "energy_uj": {"paper": 0.77},
        },
        "utilisation": {"leak": {"used": 1, "limit": 255}},
    }
    out = io.StringIO()
    show(evaluation, out)
    text = out.getvalue()
    assert (
        "50 questions, 0 without a word, 7 of a length that the model file does not accept" in text
    )
    assert re.search(r"weights +│ +75\.00% │ +\+25\.00 │ +75\.00% │ +75\.00% │", text)
    assert all(label in text for label in labels)
