"""The commands `publish` and `evaluate`: their output, and options that they refuse."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from networks import elman, save, weights
from publishing import CLOSED, published
from support import TINY_LABELS
from tokenizers import Tokenizer
from typer.testing import CliRunner

from spikewatch.convert.cli import app, main
from spikewatch.convert.errors import ConvertError
from spikewatch.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

ARGUMENTS = {
    "--tokenizer": "tokenizer.json",
    "--labels": "labels.json",
    "--calibrate": "calibrate.txt",
    "--registry": "registry",
}


def arguments(folder: Path, *more: str) -> list[str]:
    options = [part for name, file in ARGUMENTS.items() for part in (name, str(folder / file))]
    return [
        "publish",
        str(folder / "model.onnx"),
        *options,
        "--name",
        "tiny",
        "--version",
        "1.0.0",
        *(() if "--recipe" in more else ("--recipe", CLOSED)),
        *more,
    ]


class TestCommandLine:
    def test_publish_then_evaluate_as_json(self, folder: Path) -> None:
        runner = CliRunner()
        published = runner.invoke(app, arguments(folder, "--alias", "production"))
        assert published.exit_code == 0, published.output
        assert re.search(
            r"^published tiny:1\.0\.0@sha256:[0-9a-f]{64}$", published.stdout, re.MULTILINE
        )
        command = ["evaluate", "tiny:production", "--registry", str(folder / "registry")]
        evaluated = runner.invoke(app, [*command, "--data", str(folder / "held-out.tsv"), "--json"])
        figures = json.loads(evaluated.stdout)
        assert set(figures["stages"]["spiking"]) == {
            "accuracy",
            "agreement",
            "agreement_before",
            "loss",
        }
        assert set(figures["classes"]) == set(TINY_LABELS)
        assert figures["float_by_recurrence"] == 0
        assert 0 <= figures["stages"]["spiking"]["accuracy"] <= 1
        table = runner.invoke(app, [*command, "--data", str(folder / "held-out.tsv")])
        assert re.search(r"spiking +│ +\d+\.\d\d% │ +[+-]\d+\.\d\d │", table.stdout)
        assert re.search(r"estimated power, paper +│ +17\.09 uW", table.stdout)
        assert re.search(r"lines \(fan-in\) +│ +\d+ │ +64 │", table.stdout)

    def test_padding_by_own_code_is_published_in_the_tokenizer(self, folder: Path) -> None:
        save(elman(weights(d=12), activation="Relu", lengths=False), folder / "model.onnx")
        padding = ["--pad-to", "5", "--pad-id", "3", "--pad-side", "left"]
        more = [*padding, "--truncate-side", "left"]
        made = CliRunner().invoke(app, arguments(folder, *more))
        assert made.exit_code == 0, made.output
        questions = (folder / "calibrate.txt").read_text().splitlines()
        cut = sum(len(line.split()) > 5 for line in questions)
        line = (
            f"{cut} of {len(questions)} questions have more than 5 words and lose their first ones"
        )
        assert line in made.stderr
        files = Registry(folder / "registry").load("tiny:1.0.0").files
        tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
        assert tokenizer.encode("who is").ids == [3, 3, 3, 1, 7]
        assert tokenizer.encode("who is what where how many").ids == [7, 2, 3, 5, 6]

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (
                ("--recipe", "labels"),
                "recipe 'labels': the calibration questions have no labels",
            ),
            (
                ("--recipe", "magic"),
                "recipe 'magic': expected closed-form, distill, labels",
            ),
            (("--readout", "edge"), "readout 'edge': expected core, host"),
            (("--pad-to", "0"), "--pad-to 0: limits 1..1024"),
            (("--pad-to", "5", "--pad-side", "up"), "--pad-side up: expected left or right"),
            (("--pad-id", "3"), "--pad-id 3: needs --pad-to N"),
        ],
    )
    def test_a_wrong_option_is_refused_in_one_line(
        self,
        folder: Path,
        more: tuple[str, str],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", *arguments(folder, *more)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last == f"spikewatch-convert: {message}"
        assert not (folder / "registry").exists()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (("--version", "1.0.0"), "tiny:1.0.0 is published as sha256:"),
            (("--version", "1.1"), "version '1.1': must be SemVer"),
            (("--name", "Tiny"), "model name 'Tiny': must be 1 to 64 lower-case letters"),
            (("--alias", "v2"), "alias 'v2': must be 1 to 64 lower-case letters"),
            (("--actor", "two\nlines"), "actor 'two\\nlines': must be one printable line"),
            (("--reason", "x" * 5000), "reason 'xxxx"),
            (("--registry", "labels.json"), "registry labels.json: not a folder"),
            (("--registry", "labels.json/models"), "labels.json is not a folder"),
        ],
    )
    def test_what_the_registry_would_refuse_is_refused_before_any_file_is_read(
        self,
        folder: Path,
        more: tuple[str, str],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        Registry.init(folder / "registry").publish(
            "tiny", "1.0.0", {"labels.json": b"[]"}, created=datetime(2026, 1, 1, tzinfo=UTC)
        )
        for name in ("model.onnx", "tokenizer.json", "calibrate.txt"):
            (folder / name).unlink()
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", *arguments(folder, *more)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line

    def test_a_version_below_the_highest_is_noted(self, folder: Path) -> None:
        Registry.init(folder / "registry").publish("tiny", "2.0.0", {"labels.json": b"[]"})
        notes: list[str] = []
        published(folder, note=notes.append)
        assert notes[0] == "tiny:1.0.0 is lower than 2.0.0, which is published already"

    def test_a_recipe_that_needs_torch_is_refused_before_the_network_is_read(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("spikewatch.convert.constraining.recipe.find_spec", lambda _: None)
        (folder / "model.onnx").unlink()
        with pytest.raises(ConvertError, match=r"^recipe 'distill': torch is not installed: "):
            published(folder, recipe="distill")

    def test_without_torch_the_closed_form_is_published_and_says_so(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("spikewatch.convert.constraining.recipe.find_spec", lambda _: None)
        notes: list[str] = []
        _, converted = published(folder, recipe=None, note=notes.append)
        assert converted.evaluation["network"]["recipe"] == CLOSED
        assert any(line.startswith("torch is not installed: ") for line in notes)

    def test_an_unknown_label_in_the_data_is_refused(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        published(folder)
        (folder / "odd.tsv").write_text("XYZ\twho wrote hamlet\n")
        command = ["evaluate", "tiny:1.0.0", "--registry", str(folder / "registry")]
        monkeypatch.setattr(
            "sys.argv", ["spikewatch-convert", *command, "--data", str(folder / "odd.tsv")]
        )
        with pytest.raises(SystemExit):
            main()
        wanted = (
            "label 'XYZ' of question 'who wrote hamlet': not one of the model's classes,"
            " ABBR, DESC, ENTY, HUM, LOC, NUM"
        )
        assert wanted in capsys.readouterr().err

    @pytest.mark.parametrize(("module", "extra"), [("onnx", "convert"), ("onnxruntime", "convert")])
    def test_a_base_install_is_told_which_extra_it_needs(
        self,
        folder: Path,
        module: str,
        extra: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        imported_anew = ("publishing", "read", "evaluation.stages", "constraining.recipe")
        for name in list(sys.modules):
            if name.startswith(tuple(f"spikewatch.convert.{part}" for part in imported_anew)):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", *arguments(folder)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        wanted = f"spikewatch-convert: {module} is not installed: pip install 'spikewatch[{extra}]'"
        assert wanted in capsys.readouterr().err
