"""The bundled model: what its card claims, measured again where the training questions are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spikewatch.convert.data import read_questions
from spikewatch.convert.publish import evaluate
from spikewatch.convert.training.corpus import encode, split
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier
from spikewatch.simcore.classifier import read_tokenizer

if TYPE_CHECKING:
    from spikewatch.registry import Model

ROOT = Path(__file__).parents[1]
TREC = ROOT.parent / "shared" / "trec" / "train_5500.label"


@pytest.fixture(scope="module")
def model() -> Model:
    return Registry(bundled()).load("trec:production")


@pytest.fixture(scope="module")
def figures(model: Model) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(model.files["eval.json"])
    return parsed


def test_its_registry_is_sound() -> None:
    report = Registry(bundled()).verify()
    assert report.ok, report


def test_it_fits_one_core_and_reaches_its_targets(model: Model, figures: dict[str, Any]) -> None:
    assert Classifier.from_files(model.files).cores == 1
    assert figures["questions"] == 500
    assert figures["stages"]["spiking"]["accuracy"] >= 0.83
    assert figures["stages"]["spiking"]["accuracy"] >= figures["stages"]["float"]["accuracy"] - 0.02


def test_its_card_states_data_method_seed_split_and_figures(
    model: Model, figures: dict[str, Any]
) -> None:
    card = model.files["MODEL_CARD.md"].decode()
    for fact in (
        "- data.file: train_5500.label",
        "- method: ",
        "- seed: ",
        "- split.rule: ",
        "74.0%",
    ):
        assert fact in card
    assert f"| {figures['stages']['spiking']['accuracy']:.2%} " in card


def test_the_readme_states_its_figures(figures: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text()
    for stage in ("spiking", "float"):
        assert f"{figures['stages'][stage]['accuracy'] * 100:.1f} %" in text


@pytest.mark.skipif(not TREC.is_file(), reason=f"{TREC} is not on this machine")
def test_the_dev_split_answered_again_gives_the_published_figures(
    model: Model, figures: dict[str, Any], tmp_path: Path
) -> None:
    """The split is made anew from the training file by the rule on the card."""
    training = json.loads(model.files["training.json"])
    settings = training["settings"]
    questions = read_questions(TREC, labelled=True)
    corpus = encode(
        questions,
        read_tokenizer(model.files["tokenizer.json"]),
        tuple(json.loads(model.files["labels.json"])),
    )
    parts = split(corpus, settings["dev"], settings["dev_seed"])
    trained = {tuple(ids.tolist()) for ids in parts.train.ids}
    assert not [ids for ids in parts.dev.ids if tuple(ids.tolist()) in trained]
    data = tmp_path / "dev.jsonl"
    lines = [json.dumps({"label": q.label, "text": q.text}) for q in parts.dev.questions]
    data.write_text("\n".join(lines) + "\n")
    again = evaluate("trec:production", registry=Registry(bundled()), data=data)
    # the model was published before the integer stage and the losses were counted
    for stage, published in figures["stages"].items():
        assert {name: again["stages"][stage][name] for name in published} == published
    assert again["confusion"] == figures["confusion"]
