"""Check that an explanation agrees with the classifier's answer, on every kind of core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from networks import both_ways, elman, weights
from publishing import converted
from support import TINY_LABELS, tiny_model_files
from typer.testing import CliRunner

from spikewatch.convert.cli import app, main
from spikewatch.convert.evaluation.explain import explain
from spikewatch.registry import Registry
from spikewatch.simcore import Classifier, CoreImage

if TYPE_CHECKING:
    from collections.abc import Mapping

QUESTION = "Who wrote Hamlet in France, and how?"


def check_totals(files: Mapping[str, bytes]) -> None:
    """Check that the figures of an explanation equal those of the classifier."""
    found = explain(files, QUESTION)
    answers = Classifier.from_files(files).classify([QUESTION])
    assert found.label == answers.label[0]
    assert found.course.evidence[-1].tolist() == answers.scores[0].tolist()
    assert found.course.spikes.sum(axis=0).tolist() == answers.spikes[0].tolist()
    assert found.course.synaptic_events.sum() == answers.synaptic_events[0]
    assert len(found.course.lines) == answers.ticks[0]
    assert len(found.tokens) == answers.words[0]
    assert found.hidden is not None
    assert 0 < found.hidden.max() <= 15


@pytest.mark.parametrize(("direction", "readout"), [("forward", "host"), ("reverse", "core")])
def test_evidence_after_every_word_is_that_of_the_words_read_so_far(
    direction: str, readout: str
) -> None:
    files = converted(elman(weights(), direction=direction).SerializeToString(), readout)
    check_totals(files)
    found = explain(files, QUESTION)
    classifier = Classifier.from_files(files)
    ids = classifier.word_ids([QUESTION])[0]
    n = len(ids)
    beginnings = [ids[: k + 1] if direction == "forward" else ids[n - 1 - k :] for k in range(n)]
    assert found.course.evidence.tolist() == classifier.answer_ids(beginnings).scores.tolist()
    assert [found.read(s)[0].id for s in range(n)] == (ids if direction == "forward" else ids[::-1])


@pytest.mark.parametrize(("reads", "readout"), [("max", "host"), ("mean", "core")])
def test_a_network_that_reads_all_its_states_is_explained(reads: str, readout: str) -> None:
    model = Path(__file__).with_name("keras") / f"{reads}.onnx"
    check_totals(converted(model.read_bytes(), readout, TINY_LABELS[:5]))


@pytest.mark.parametrize(("readout", "cores"), [("core", 1), ("core", 2), ("host", 2)])
def test_a_bidirectional_network_is_explained_from_both_ends(readout: str, cores: int) -> None:
    model = both_ways(weights(d=12), weights(1, d=12)).SerializeToString()
    files = converted(model, readout, apart=cores == 2)
    assert CoreImage.from_bytes(files["core.safetensors"]).cores == cores
    check_totals(files)
    found = explain(files, "who wrote hamlet")
    assert [[t.word for t in found.read(s)] for s in range(3)] == [
        ["who", "hamlet"],
        ["wrote", "wrote"],
        ["hamlet", "who"],
    ]
    one = Classifier.from_files(files).classify(["who"])
    assert explain(files, "who").course.evidence.tolist() == one.scores.tolist()


def test_words_are_shown_as_the_tokenizer_reads_them() -> None:
    found = explain(tiny_model_files(), "WHO \x1bXyzzy?")
    assert [str(t) for t in found.tokens] == ["who", "<unk> (\\x1bXyzzy)"]
    assert [found.heading(s) for s in (0, 2)] == ["<unk> (\\x1bXyzzy)", "(drain)"]


class TestCommandLine:
    def test_json_holds_every_step_and_adds_up(self) -> None:
        command = ["explain", "trec:production", "Who wrote Hamlet?", "--json"]
        found = json.loads(CliRunner().invoke(app, command).stdout)
        assert found["model"].startswith("trec:2.0.1@sha256:")
        assert found["label"] == "HUM"
        assert [s["words"][0]["text"] for s in found["steps"][:-1]] == ["Hamlet", "wrote", "Who"]
        assert found["steps"][-1]["evidence"] is None
        assert found["steps"][-2]["evidence"] == found["scores"]
        for kind in ("input", "hidden", "output"):
            assert sum(s["spikes"][kind] for s in found["steps"]) == found["spikes"][kind]
        units = found["steps"][0]["hidden_units"]
        assert 4 * sum(units) == found["steps"][0]["spikes"]["hidden"]
        assert found["energy_uj"]["paper"] == pytest.approx(17.09 * 60e-3, abs=1e-3)

    def test_the_table_shows_words_codes_evidence_and_energy(self) -> None:
        text = CliRunner().invoke(app, ["explain", "trec:production", "Who wrote Hamlet?"]).stdout
        row = next(line for line in text.splitlines() if "wrote" in line).split("│")
        assert [cell.strip() for cell in row[1:3]] == ["2", "wrote"]
        assert row[-2].strip() == "HUM"
        assert len(row[3].strip()) == 15
        assert "label            HUM\n" in text
        assert "estimated energy 1.025 uJ at 17.09 uW (" in text

    @pytest.mark.parametrize(
        ("reference", "question", "message"),
        [
            ("trec:nope", "Who?", "model trec: no alias 'nope'"),
            ("nope:production", "Who?", "nope"),
            (
                "trec:production",
                " \n",
                "question: it is empty, expected a text with at least one word",
            ),
            ("trec:production", "?!", "question '?!': the model's tokenizer finds no word in it"),
            ("trec:production", "who " * 1025, "question: 1,025 words, limits 1..1,024"),
            ("trec:production", "\udcff", "text 0: holds a lone surrogate, not valid Unicode"),
        ],
    )
    def test_an_error_is_one_line(
        self,
        reference: str,
        question: str,
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", "explain", reference, question])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        assert (stopped.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
        assert message in printed.err

    def test_a_missing_file_is_one_line(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        files = dict(tiny_model_files())
        del files["labels.json"]
        Registry.init(tmp_path / "r").publish("tiny", "1.0.0", files, created=None)
        command = ["explain", "tiny:1.0.0", "who", "--registry", str(tmp_path / "r")]
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", *command])
        with pytest.raises(SystemExit):
            main()
        wanted = "model: labels.json is missing, so the model cannot answer questions"
        assert capsys.readouterr().err == f"spikewatch-convert: {wanted}\n"


def explained_without(*libraries: str) -> subprocess.CompletedProcess[str]:
    """Run `explain` in a process that cannot import these libraries."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({libraries}))\n"
        "from spikewatch.convert.cli import main\n"
        "sys.argv = ['spikewatch-convert', 'explain', 'trec:production', 'Who wrote Hamlet?']\n"
        "main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_tokenizers_is_the_only_extra_that_explain_needs() -> None:
    run = explained_without("onnx", "onnxruntime", "scipy", "torch", "matplotlib", "jinja2")
    assert (run.returncode, run.stderr) == (0, "")
    assert "label            HUM\n" in run.stdout


def test_without_the_extra_the_error_names_it_in_one_line() -> None:
    run = explained_without("tokenizers")
    assert run.returncode == 2
    assert run.stderr.startswith("spikewatch-convert: tokenizer.json: reading it needs the")
    assert run.stderr.count("\n") == 1
