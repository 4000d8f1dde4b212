"""Check cross-validation: each fold is answered by a core that was trained and converted without it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spikewatch.convert.cli import main
from spikewatch.convert.errors import TrainingError
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source
from spikewatch.convert.training import TrainingSettings, cross_validate, train

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [
    *("who", "where", "how", "wrote", "is", "are", "the", "and"),
    *("hamlet", "paris", "river", "book", "king", "city", "cat", "moon"),
]
FIRST = {"HUM": "who wrote", "LOC": "where is", "NUM": "how are"}
SETTINGS = TrainingSettings(
    n_in=5,
    n_hidden=7,
    teachers=("linear",),
    teacher_epochs=12,
    texts=3,
    epochs=40,
    spiking_epochs=5,
    batch=16,
    replace=0.1,
    rate=1e-2,
    spiking_rate=3e-3,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write 120 questions of three classes, and vectors of their words."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("files")
    questions = [
        f"{label}\t{FIRST[label]} the {' and the '.join(rng.choice(WORDS[8:], 3).tolist())}?"
        for label in rng.choice(list(FIRST), 120).tolist()
    ]
    (folder / "questions.tsv").write_text("\n".join(questions))
    rows = [f"{w} {' '.join(map(str, rng.normal(size=8).round(3).tolist()))}" for w in WORDS]
    (folder / "words.vec").write_text("\n".join([f"{len(WORDS)} 8", *rows]))
    return folder / "questions.tsv", folder / "words.vec"


@pytest.fixture(scope="module")
def out(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a cross-validation with three folds and one seed."""
    folder = tmp_path_factory.mktemp("validation")
    cross_validate(*files, folder, folds=3, seeds=1, settings=SETTINGS)
    return folder


def card_of(folder: Path) -> str:
    """Convert a trained network, and return its model card."""
    source = Source(
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        calibrate=folder / "calibration.tsv",
        training=folder / "training.json",
    )
    return convert(source, title="small 1.0.0").files["MODEL_CARD.md"].decode()


def test_each_seed_answers_every_question_once_at_every_stage(out: Path) -> None:
    lines = [json.loads(line) for line in (out / "folds.jsonl").read_text().splitlines()]
    summary = json.loads((out / "cross-validation.json").read_text())

    assert [(line["seed"], line["fold"]) for line in lines] == [(0, 0), (0, 1), (0, 2)]
    assert sum(line["questions"] for line in lines) == summary["questions"] == 120
    assert set(summary["stages"]) == {
        *("teachers", "float", "weights", "activities", "fan-in", "integer", "spiking"),
    }
    right = sum(line["stages"]["spiking"] * line["questions"] for line in lines)
    assert summary["stages"]["spiking"]["mean"] == pytest.approx(right / 120, abs=1e-5)
    assert summary["stages"]["spiking"]["mean"] > 0.8


def test_a_second_run_keeps_finished_folds_and_adds_the_missing_ones(
    files: tuple[Path, Path], out: Path
) -> None:
    first = (out / "folds.jsonl").read_text()

    found = cross_validate(*files, out, folds=3, seeds=2, settings=SETTINGS)

    assert (out / "folds.jsonl").read_text().startswith(first)
    assert len((out / "folds.jsonl").read_text().splitlines()) == 6
    assert found.summary["seeds"] == [0, 1]
    each = found.summary["stages"]["spiking"]["seeds"]
    assert found.summary["stages"]["spiking"]["sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-4)
    assert "| spiking " in str(found)


def test_a_folder_of_another_recipe_is_refused(files: tuple[Path, Path], out: Path) -> None:
    before = (out / "folds.jsonl").read_text()

    with pytest.raises(TrainingError, match="other files, settings or folds"):
        cross_validate(*files, out, folds=3, seeds=2, settings=replace(SETTINGS, n_hidden=8))

    assert (out / "folds.jsonl").read_text() == before


@pytest.mark.parametrize("content", [None, b"\xff", b"[" * 100_000])
def test_figures_that_cannot_be_read_are_refused(
    files: tuple[Path, Path], tmp_path: Path, content: bytes | None
) -> None:
    lines = tmp_path / "folds.jsonl"
    if content is None:
        lines.mkdir()
    else:
        lines.write_bytes(content)

    with pytest.raises(TrainingError, match=r"folds\.jsonl"):
        cross_validate(*files, tmp_path, folds=3, seeds=1, settings=SETTINGS)


def test_parts_that_are_too_small_are_refused_before_the_training(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    data = tmp_path / "few.tsv"
    data.write_text("HUM\tWho wrote Hamlet?\nLOC\tWhere is Paris?\n" * 6)

    with pytest.raises(TrainingError, match=r"^fold 0: \d+ questions to train on and 6 held out"):
        cross_validate(data, files[1], tmp_path / "out", folds=2, seeds=1, settings=SETTINGS)


def test_a_training_of_the_same_recipe_includes_the_figures(
    files: tuple[Path, Path], out: Path, tmp_path: Path
) -> None:
    summary = out / "cross-validation.json"

    report = train(*files, tmp_path, settings=SETTINGS, dev=0, validation=summary)

    training = json.loads((tmp_path / "training.json").read_text())
    assert training["cross_validation"] == json.loads(summary.read_text())
    assert training["split"]["rule"] == "none: every question that holds a word is trained on"
    assert report.questions == 120
    assert not (tmp_path / "dev.tsv").exists()
    card = card_of(tmp_path)
    mean = training["cross_validation"]["stages"]["spiking"]["mean"]
    assert re.search(rf"\| spiking +\| {mean:.2%} ", card)
    assert "which the network was trained on: the figures are no estimate" in card
    with pytest.raises(TrainingError, match="of recipe"):
        train(*files, tmp_path, settings=replace(SETTINGS, texts=4), dev=0, validation=summary)


def test_the_command_refuses_a_single_fold_in_one_line(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, vectors = map(str, files)
    command = ["spikewatch-convert", "cross-validate", "--data", data, "--vectors", vectors]
    monkeypatch.setattr("sys.argv", [*command, "--folds", "1", "--out", str(tmp_path / "out")])

    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == 2
    message = "spikewatch-convert: folds: 1, expected 2..120, the number of questions\n"
    assert capsys.readouterr().err == message
    assert not (tmp_path / "out").exists()
