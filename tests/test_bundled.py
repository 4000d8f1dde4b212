"""The bundled model: the claims of its card; measured again where the training questions are present."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import typed

from spikewatch.convert import evaluate
from spikewatch.convert.words.question_files import read_questions
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier
from spikewatch.simcore.text.splitting import read_tokenizer

if TYPE_CHECKING:
    from spikewatch.registry import Model

ROOT = Path(__file__).parents[1]
TREC = ROOT.parent / "shared" / "trec" / "train_5500.label"


@pytest.fixture(scope="module")
def model() -> Model:
    return Registry(bundled()).load("trec:production")


@pytest.fixture(scope="module")
def validation(model: Model) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(model.files["training.json"])["cross_validation"]
    return parsed


@pytest.fixture(scope="module")
def figures(model: Model) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(model.files["eval.json"])
    return parsed


def test_its_registry_is_sound() -> None:
    report = Registry(bundled()).verify()
    assert report.ok, report


def test_it_fits_one_core(model: Model) -> None:
    assert Classifier.from_files(model.files).cores == 1


def test_it_answers_where_the_tokenizers_library_and_all_of_convert_are_missing() -> None:
    script = (
        "import sys\n"
        "for name in ('tokenizers', 'torch', 'onnx', 'onnxruntime', 'scipy', 'spikewatch.convert'):\n"
        "    sys.modules[name] = None\n"
        "from spikewatch.registry import Registry, bundled\n"
        "from spikewatch.simcore import Classifier, golden\n"
        "files = Registry(bundled()).load('trec:production').files\n"
        "classifier = Classifier.from_files(files)\n"
        "print(golden.verify(classifier, files['golden.json']))\n"
        "answers = classifier.classify(['Who wrote Hamlet?', 'How far is the moon?', 'Straße?'])\n"
        "print(*classifier.names(answers), *answers.words)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "16\nHUM NUM DESC 3 5 1\n"


def test_its_last_version_adds_lookup_and_golden_questions_and_changes_nothing(
    model: Model,
) -> None:
    before = Registry(bundled()).load("trec:2.0.0")
    added = {"lookup.safetensors", "golden.json"}
    assert set(model.files) - set(before.files) == added
    same = [name for name, data in before.files.items() if model.files[name] == data]
    assert set(before.files) - set(same) == {"MODEL_CARD.md"}
    card = before.files["MODEL_CARD.md"].replace(b"# trec 2.0.0\n", b"# trec 2.0.1\n", 1)
    assert model.files["MODEL_CARD.md"] == card
    assert (
        model.annotations["org.opencontainers.image.description"]
        == (before.annotations["org.opencontainers.image.description"])
    )


def test_networks_of_its_recipe_reach_their_targets_on_folds_they_never_saw(
    validation: dict[str, Any],
) -> None:
    accuracy = {stage: figures["mean"] for stage, figures in validation["stages"].items()}
    assert validation["folds"] == 5
    assert validation["questions"] == 5452
    assert accuracy["spiking"] >= 0.85
    assert accuracy["spiking"] >= accuracy["integer"] - 0.005


def test_its_card_states_data_method_seed_split_and_figures(
    model: Model, figures: dict[str, Any], validation: dict[str, Any]
) -> None:
    card = model.files["MODEL_CARD.md"].decode()
    for fact in (
        "- data.file: train_5500.label",
        "- wordnet.sha256: ",
        "- method: ",
        "- seed: ",
        "- split.rule: none",
        "74.0%",
        "the figures are no estimate for other questions",
    ):
        assert fact in card
    assert f"| {figures['stages']['spiking']['accuracy']:.2%} " in card
    assert f"| {validation['stages']['spiking']['mean']:.2%} " in card


def test_the_readme_states_its_figures(validation: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text()
    for stage in ("spiking", "float"):
        assert f"{validation['stages'][stage]['mean'] * 100:.1f} %" in text


@pytest.mark.skipif(not TREC.is_file(), reason=f"{TREC} is not on this machine")
class TestOnTrec:
    def test_the_questions_answered_again_give_the_published_figures(
        self, model: Model, figures: dict[str, Any], tmp_path: Path
    ) -> None:
        questions = read_questions(TREC, labelled=True)
        spoken = read_tokenizer(model.files["tokenizer.json"]).encode_batch(
            [q.text for q in questions]
        )
        data = tmp_path / "questions.jsonl"
        lines = [
            json.dumps({"label": q.label, "text": q.text})
            for q, encoding in zip(questions, spoken, strict=True)
            if encoding.ids
        ]
        data.write_text("\n".join(lines) + "\n")
        again = evaluate("trec:production", data, registry=bundled())
        assert again["stages"] == figures["stages"]
        assert again["confusion"] == figures["confusion"]

    def test_every_question_is_answered_as_by_the_version_without_lookup(
        self, model: Model
    ) -> None:
        texts = [q.text for q in read_questions(TREC, labelled=True)]
        texts += [typed(text) for text in texts]
        by_library = Classifier.load("trec:2.0.0")

        answers = Classifier.from_files(model.files).classify(texts)

        assert answers == by_library.classify(texts)

    def test_questions_as_a_person_types_them_get_the_label_of_trecs_spaced_form(
        self, model: Model
    ) -> None:
        classifier = Classifier.from_files(model.files)
        spaced = [q.text for q in read_questions(TREC, labelled=True)]
        as_typed = [typed(text) for text in spaced]
        assert sum(a != b for a, b in zip(spaced, as_typed, strict=True)) > 5000

        same = classifier.classify(spaced).label == classifier.classify(as_typed).label

        assert same.mean() >= 0.99
