"""A student on several cores is published, answers, and is explained like one on one core."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import html5lib
import numpy as np
import pytest
from teachers import CLASSES, WORDS, exported, questions, tokenizer, trained
from typer.testing import CliRunner

from spikewatch.convert.cli import app
from spikewatch.convert.errors import ConvertError
from spikewatch.convert.evaluation.explain import explain
from spikewatch.convert.network.grid import GridNetwork, to_onnx
from spikewatch.convert.publishing.cores import AUTO, check_cores
from spikewatch.convert.publishing.publish import convert_and_publish
from spikewatch.convert.publishing.source import Source
from spikewatch.convert.report import write_report
from spikewatch.daemon import Settings, read_results, serve
from spikewatch.registry import Registry
from spikewatch.simcore import Classifier, CoreImage, Encoder, QuestionCore, estimate
from spikewatch.simcore.cli import app as sim

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CORES = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained network of two GRU layers and everything to publish it with."""
    made = tmp_path_factory.mktemp("gru")
    (made / "model.onnx").write_bytes(exported(trained("gru", questions(200, 1))))
    tokenizer().save(str(made / "tokenizer.json"))
    (made / "labels.json").write_text(json.dumps(CLASSES))
    (made / "calibrate.txt").write_text("\n".join(text for _, text in questions(110, 2)))
    return made


def publish(folder: Path, cores: str, *options: str) -> Result:
    arguments = ["publish", str(folder / "model.onnx"), "--registry", str(folder / "registry")]
    for name in ("tokenizer.json", "labels.json", "calibrate.txt"):
        arguments += [f"--{name.partition('.')[0]}", str(folder / name)]
    arguments += ["--name", f"gru-{cores}", "--version", "1.0.0", "--cores", cores, *options]
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, bytes]:
    """Return the files of the student on CORES cores, as published."""
    done = publish(folder, str(CORES))
    assert done.exit_code == 0, done.output
    assert f"on {CORES} cores" in done.stdout
    return dict(Registry(folder / "registry").load(f"gru-{CORES}:1.0.0").files)


def test_the_student_takes_the_cores_and_keeps_to_their_lines(files: dict[str, bytes]) -> None:
    evaluation = json.loads(files["eval.json"])
    network = evaluation["network"]
    assert (network["cores"], network["hidden_units"]) == (CORES, 32 * CORES)
    assert network["lines_used"] <= 64 * CORES
    assert evaluation["stages"]["spiking"]["agreement"] >= 0.8
    assert "placed on two TrueNorth cores" in files["MODEL_CARD.md"].decode()
    # the spikes that training counted are the core's: no unit is read in other cores' place
    errors = [unit["error"] for unit in evaluation["responses"]["units"]]
    assert len(errors) == 32 * CORES
    assert np.mean(errors) < 1


def test_every_kernel_gives_the_same_answers(files: dict[str, bytes]) -> None:
    image = CoreImage.from_bytes(files["core.safetensors"])
    encoder = Encoder.from_bytes(files["encoder.safetensors"])
    asked = Classifier.from_files(files).word_ids([text for _, text in questions(10, 4)])
    core = QuestionCore(image, encoder)
    assert not core.uses_derived_network
    assert core.answer(asked) == QuestionCore(image, encoder, "reference").answer(asked)


def test_evaluate_answers_as_when_it_was_published(folder: Path, files: dict[str, bytes]) -> None:
    asked = folder / "asked.tsv"
    asked.write_text("\n".join(["label\ttext", *("\t".join(q) for q in questions(40, 3))]))
    arguments = ["evaluate", f"gru-{CORES}:1.0.0", "--data", str(asked), "--json"]
    done = CliRunner().invoke(app, [*arguments, "--registry", str(folder / "registry")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    answers = Classifier.from_files(files).classify([text for _, text in questions(40, 3)])
    truth = [CLASSES.index(label) for label, _ in questions(40, 3)]
    assert found["stages"]["spiking"]["accuracy"] == (answers.label == truth).mean()
    energy = estimate(
        cores=CORES, ticks=answers.ticks.sum(), synaptic_events=answers.synaptic_events.sum()
    )
    for method, uj in energy.energy_uj.items():
        assert found["per_question"]["energy_uj"][method] == pytest.approx(uj / 40)


def test_explain_follows_every_unit_on_its_core(files: dict[str, bytes]) -> None:
    found = explain(files, "who wrote hamlet")
    assert found.hidden is not None
    assert found.hidden.shape[1] == 32 * CORES
    answers = Classifier.from_files(files).classify(["who wrote hamlet"])
    assert found.label == answers.label[0]
    np.testing.assert_array_equal(found.course.evidence[-1], answers.scores[0])
    # a unit's copies spike alike: each spike of a unit is four on the axons of every core that reads it
    sent = found.course.spikes[:, 1]
    assert (sent >= 4 * found.hidden.sum(axis=1)).all()
    assert (sent % 4 == 0).all()


@pytest.mark.usefixtures("files")
def test_the_report_draws_every_core(folder: Path) -> None:
    out = folder / "report.html"
    write_report(
        f"gru-{CORES}:1.0.0", out, registry=Registry(folder / "registry"), question="who is paris"
    )
    page = out.read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    for core in range(CORES):
        assert f"Crossbar of core {core}" in page


def test_spikewatch_sim_shows_the_cores(folder: Path, files: dict[str, bytes]) -> None:
    path = folder / "core.safetensors"
    path.write_bytes(files["core.safetensors"])
    done = CliRunner().invoke(sim, ["inspect", str(path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["cores"] == CORES
    assert found["use"]["axons, fullest core"]["used"] <= 256


def test_the_daemon_answers_with_all_cores(
    folder: Path, files: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    spool = folder / "spool"
    texts = [text for _, text in questions(12, 6)]
    settings = Settings(
        spool=spool, registry=folder / "registry", model=f"gru-{CORES}:1.0.0", once=True
    )
    spool.mkdir()
    (spool / "in").mkdir()
    (spool / "in" / "asked.txt").write_text("\n".join(texts))
    serve(settings)
    answers = Classifier.from_files(files).classify(texts)
    found = read_results(spool / "out" / "asked.txt.jsonl")
    energy = estimate(
        cores=CORES, ticks=answers.ticks, synaptic_events=answers.synaptic_events
    ).energy_uj
    for record, label, uj in zip(found, answers.label, energy["paper"], strict=True):
        assert record.label == CLASSES[label]
        assert record.energy_uj["paper"] == pytest.approx(uj)
    ready = next(line for line in capfd.readouterr().out.splitlines() if "daemon.ready" in line)
    assert f'"cores":{CORES}' in ready.replace(" ", "")


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [(1, (1,)), ("8", (8,)), ("auto", AUTO)],
)
def test_cores_are_a_number_or_auto(wanted: int | str, numbers: tuple[int, ...]) -> None:
    assert check_cores(wanted, student=None) == numbers


@pytest.mark.parametrize("wanted", ["0", "9", "-1", "two", "1.5", ""])
def test_other_cores_are_refused_in_one_line(folder: Path, wanted: str) -> None:
    done = publish(folder, wanted)
    assert isinstance(done.exception, ConvertError)
    assert str(done.exception) == f"cores {wanted!r}: expected 1..8 or auto"


def test_several_cores_without_a_student_are_refused(folder: Path) -> None:
    done = publish(folder, "2", "--no-student")
    assert str(done.exception) == "cores '2': only students take them; leave out --no-student"


def test_cores_do_nothing_for_a_network_that_is_read_exactly(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = GridNetwork(
        rows=np.arange(len(WORDS), dtype=np.int32),
        codes=rng.integers(0, 16, (len(WORDS), 8)).astype(np.uint8),
        weights=rng.integers(-8, 8, (6, 14)).astype(np.int8),
        scale=np.full(6, 0.1),
        bias=np.full(6, 0.3),
        head=rng.integers(-7, 8, (len(CLASSES), 6)).astype(np.int8),
        head_scale=np.full(len(CLASSES), 0.1),
        head_bias=np.zeros(len(CLASSES)),
    )
    (tmp_path / "model.onnx").write_bytes(to_onnx(network).SerializeToString())
    given = {n: folder / f"{n}.json" for n in ("tokenizer", "labels")}
    source = Source(model=tmp_path / "model.onnx", calibrate=folder / "calibrate.txt", **given)
    notes: list[str] = []
    _, converted = convert_and_publish(
        source,
        "elman",
        "1.0.0",
        registry=tmp_path / "registry",
        recipe="closed-form",
        cores=2,
        note=notes.append,
    )
    assert converted.evaluation["network"]["cores"] == 1
    assert any(n.startswith("--cores 2: for students; the file was read exactly") for n in notes)
