"""Publishing: from an ONNX file to a model in a registry, with its figures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from networks import both_ways, elman, save, weights
from publishing import published, source, write_inputs
from support import TINY_LABELS, tiny_tokenizer
from tokenizers import Regex, Tokenizer, pre_tokenizers
from typer.testing import CliRunner

from spikewatch.convert import evaluate
from spikewatch.convert.cli import app
from spikewatch.convert.errors import ConstraintError
from spikewatch.registry import Registry
from spikewatch.simcore import Classifier, golden
from spikewatch.simcore.text.splitting import LOOKUP_FILE

if TYPE_CHECKING:
    from spikewatch.convert.publishing.conversion import Converted
    from spikewatch.convert.publishing.source import Source
    from spikewatch.registry import Pin

KERAS = Path(__file__).with_name("keras")
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def source_with_training(folder: Path) -> Source:
    """Write `training.json`; return a source with it and the held-out questions."""
    (folder / "training.json").write_text(json.dumps({"seed": 3, "dev": {"questions": 500}}))
    return source(folder, training=folder / "training.json", evaluate=folder / "held-out.tsv")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A published model, and the folder of its input files and registry."""

    folder: Path
    pin: Pin
    converted: Converted


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Publish a model once; the tests only read it."""
    folder = write_inputs(tmp_path_factory.mktemp("release"))
    pin, converted = published(
        folder, source_with_training(folder), alias="production", created=CREATED
    )
    return Release(folder=folder, pin=pin, converted=converted)


class TestPublish:
    def test_the_published_model_answers_and_every_stage_is_counted(self, release: Release) -> None:
        model = Registry(release.folder / "registry").load("tiny:production")
        assert str(model.pin) == str(release.pin)
        figures = json.loads(model.files["eval.json"])
        assert figures == json.loads(json.dumps(release.converted.evaluation))
        assert list(figures["stages"]) == sorted(figures["stages"])
        stages = {"float", "weights", "activities", "fan-in", "integer", "spiking"}
        assert set(figures["stages"]) == stages
        assert figures["stages"]["float"]["agreement"] == 1.0
        assert figures["stages"]["spiking"]["agreement"] > 0.6
        assert figures["questions"] == 61
        assert figures["without_words"] == 1
        assert sum(map(sum, figures["confusion"]["matrix"])) == 61
        classifier = Classifier.from_files(model.files)
        assert classifier.classify(["Who wrote Hamlet?"]).label[0] >= 0
        assert golden.verify(classifier, model.files["golden.json"]) == golden.QUESTIONS

    def test_a_tokenizer_without_a_lookup_is_published_and_reported_in_one_line(
        self, folder: Path
    ) -> None:
        tokenizer = Tokenizer.from_str(tiny_tokenizer().decode())
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]++"), "removed", invert=True)
        (folder / "tokenizer.json").write_text(tokenizer.to_str())
        notes: list[str] = []
        pin, converted = published(folder, note=notes.append)
        assert LOOKUP_FILE not in converted.files
        assert (
            "no lookup, so answering with this model needs spikewatch[tokenizers]:"
            " pattern '[a-z]++': '++' is not supported"
        ) in notes
        loaded = Registry(folder / "registry").load(str(pin)).files
        assert Classifier.from_files(loaded).classify(["who wrote hamlet"]).words.tolist() == [3]

    def test_a_model_without_lookup_is_renewed_and_answers_the_same(self, folder: Path) -> None:
        _, converted = published(folder, registry=folder / "old")
        files = dict(converted.files)
        old = {n: data for n, data in files.items() if n not in {LOOKUP_FILE, golden.FILE}}
        registry = Registry.init(folder / "registry")
        registry.publish("tiny", "1.0.0", old, created=None, alias="production")
        arguments = ["--version", "1.0.1", "--alias", "production"]
        questions = ["--calibrate", str(folder / "calibrate.txt")]

        done = CliRunner().invoke(
            app,
            ["renew", "tiny:1.0.0", *arguments, *questions],
            env={"SPIKEWATCH_REGISTRY": str(folder / "registry")},
        )

        model = registry.load("tiny:production")
        assert model.pin.version == "1.0.1"
        assert done.stdout == f"published {model.pin}\n"
        card = "MODEL_CARD.md"
        assert {n: d for n, d in model.files.items() if n != card} == {
            n: d for n, d in files.items() if n != card
        }
        assert model.files[card] == files[card].replace(b"# tiny 1.0.0", b"# tiny 1.0.1")

    @staticmethod
    def check_evaluated_again(folder: Path, converted: Converted) -> None:
        """Evaluate tiny:1.0.0 from the registry's files alone; compare the figures with the published ones."""
        figures = evaluate("tiny:1.0.0", folder / "held-out.tsv", registry=folder / "registry")
        for key in ("stages", "confusion", "per_question", "questions", "data"):
            assert figures[key] == converted.evaluation[key]

    def test_evaluating_a_model_in_closed_form_gives_the_published_figures(
        self, release: Release
    ) -> None:
        self.check_evaluated_again(release.folder, release.converted)

    def test_evaluating_a_model_by_default_gives_the_published_figures(self, folder: Path) -> None:
        pytest.importorskip("torch", reason="distilling needs the extra [train]")
        data = source(folder, evaluate=folder / "held-out.tsv")
        _, converted = published(folder, data, recipe=None)
        self.check_evaluated_again(folder, converted)
        network = converted.evaluation["network"]
        if network["recipe"] == "distill":
            assert network["calibration_agreement"] >= network["closed_form_agreement"]

    def test_a_model_with_its_head_on_the_host_is_published_and_says_so(self, folder: Path) -> None:
        _, converted = published(folder, readout="host")
        found = converted.evaluation
        again = evaluate("tiny:1.0.0", folder / "calibrate.txt", registry=folder / "registry")
        assert again["head"] == found["head"] == "host"
        assert again["stages"] == found["stages"]
        assert found["stages"]["spiking"]["agreement"] > 0.8
        assert found["per_question"]["ticks"] == 15 * found["per_question"]["words"]
        model = Registry(folder / "registry").load("tiny:1.0.0")
        card = model.files["MODEL_CARD.md"].decode()
        assert "Readout: the host weighs the spikes of the core's hidden units; " in card
        assert "readout neurons per class" not in card
        answers = Classifier.from_files(model.files).classify(["Who wrote Hamlet?"])
        assert answers.scores.shape == (1, 6)

    def test_wide_inputs_are_counted_before_and_after_the_fan_in_limit(self, folder: Path) -> None:
        w = weights(d=80)
        w["W"] /= 4
        save(elman(w), folder / "model.onnx")
        published(folder, name="wide")
        figures = evaluate("wide:1.0.0", folder / "calibrate.txt", registry=folder / "registry")
        assert figures["stages"]["spiking"]["accuracy"] is None
        assert figures["confusion"] is None
        assert all(f["agreement"] > 0.6 for f in figures["stages"].values())

    def test_a_model_of_one_length_is_published_and_its_recurrence_answers_the_others(
        self, folder: Path
    ) -> None:
        """A Keras network that was unrolled over 7 words; the questions have 1 to 9."""
        labels = folder / "five.json"
        labels.write_text(json.dumps(TINY_LABELS[:5]))
        made = source(folder, model=KERAS / "unroll.onnx", labels=labels)
        _, converted = published(folder, made, name="fixed")
        figures = converted.evaluation
        lines = (folder / "calibrate.txt").read_text().splitlines()
        assert figures["float_by_recurrence"] == sum(len(line.split()) != 7 for line in lines)
        data = folder / "calibrate.txt"
        again = evaluate("fixed:1.0.0", data, registry=folder / "registry")
        for key in ("float_by_recurrence", "stages", "responses", "utilisation"):
            assert again[key] == figures[key]

    @pytest.mark.parametrize("readout", ["core", "host"])
    def test_a_network_that_reads_its_largest_states_is_published(
        self, folder: Path, readout: str
    ) -> None:
        labels = folder / "five.json"
        labels.write_text(json.dumps(TINY_LABELS[:5]))
        _, converted = published(
            folder,
            source(folder, model=KERAS / "max.onnx", labels=labels),
            name="max",
            readout=readout,
        )
        again = evaluate("max:1.0.0", folder / "calibrate.txt", registry=folder / "registry")
        assert again["stages"] == converted.evaluation["stages"]
        assert again["stages"]["spiking"]["agreement"] > 0.8

    @pytest.mark.parametrize(("readout", "cores"), [("core", 1), ("core", 2), ("host", 2)])
    def test_a_bidirectional_network_is_published_on_one_core_or_on_two(
        self, folder: Path, readout: str, cores: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if cores == 2:
            # the small network would fit one
            monkeypatch.setattr("spikewatch.convert.constraining.bidirectional.LEAST_WORDS", 100.0)
        save(both_ways(weights(d=12), weights(1, d=12)), folder / "model.onnx")
        _, converted = published(folder, name="bi", readout=readout)
        again = evaluate("bi:1.0.0", folder / "calibrate.txt", registry=folder / "registry")
        assert again["stages"] == converted.evaluation["stages"]
        assert again["stages"]["spiking"]["agreement"] > 0.6
        assert again["per_question"]["cores"] == cores
        assert again["per_question"]["power_uw"]["paper"] == pytest.approx(cores * 17.09, abs=0.01)
        assert again["utilisation"]["lines (fan-in)"]["limit"] == 64 * cores
        assert again["responses"]["units"][0]["correlation"] > 0.5
        assert converted.evaluation["network"]["direction"] == "bidirectional"
        card = Registry(folder / "registry").load("bi:1.0.0").files["MODEL_CARD.md"].decode()
        assert f"placed on {('one TrueNorth core', 'two TrueNorth cores')[cores - 1]} " in card

    def test_more_units_than_a_core_has_lines_are_refused(self, folder: Path) -> None:
        save(elman(weights(d=12, n=70), activation="Relu"), folder / "model.onnx")
        message = r"network: 70 hidden units \+ 1 gate \+ 1 input, limit 64 lines"
        with pytest.raises(ConstraintError, match=message):
            published(folder, name="wide", recipe=None, student=False)
        assert not (folder / "registry").exists()

    def test_equal_input_gives_an_equal_digest(self, release: Release, folder: Path) -> None:
        """The files have the same bytes, in another folder and registry."""
        pin, _ = published(folder, source_with_training(folder), created=CREATED)
        assert str(pin) == str(release.pin)

    def test_the_model_card_states_stages_energy_and_training(self, release: Release) -> None:
        model = Registry(release.folder / "registry").load("tiny:1.0.0")
        card = model.files["MODEL_CARD.md"].decode()
        assert card.startswith("# tiny 1.0.0\n")
        assert re.search(
            r"\| spiking +\| \d+\.\d\d% +\| [+-]\d+\.\d\d +(\| \d+\.\d\d% +){2}\| 74\.0% ", card
        )
        assert "| estimated power, paper " in card
        assert "- seed: 3\n- dev.questions: 500\n" in card
