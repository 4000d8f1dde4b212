"""The Python API of the converter: `Source`, `publish` and `evaluate` as docs/api.md uses them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from spikewatch import convert
from spikewatch.convert import ConvertError, Source, evaluate, publish
from spikewatch.registry import BadReference, Registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Name the files of the folder by `str`, relative to the working directory."""
    monkeypatch.chdir(folder)
    return Source(
        model="model.onnx",
        tokenizer="tokenizer.json",
        labels="labels.json",
        calibrate="calibrate.txt",
    )


def test_a_model_is_published_and_evaluated_by_plain_strings(
    plain: Source, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pin = publish(plain, "tiny", "1.0.0", registry="registry", recipe="closed-form", alias="new")
    figures = evaluate(pin, "held-out.tsv", registry="registry")
    assert Registry(folder / "registry").load("tiny:new").pin == pin
    assert figures["model"] == str(pin)
    assert figures["questions"] == 61
    assert evaluate("tiny:1.0.0", "held-out.tsv", registry="registry") == figures
    assert capfd.readouterr() == ("", "")


def test_without_a_registry_the_variable_of_the_command_is_used(
    plain: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKEWATCH_REGISTRY", "elsewhere")
    pin = publish(plain, "tiny", "1.0.0", recipe="closed-form")
    assert evaluate(pin, "calibrate.txt")["model"] == str(pin)
    assert Registry(folder / "elsewhere").load("tiny:1.0.0").pin == pin


def test_evaluate_without_a_registry_reads_the_bundled_one(
    plain: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPIKEWATCH_REGISTRY", raising=False)
    figures = evaluate("trec:production", "calibrate.txt")
    assert figures["model"].startswith("trec:")
    assert plain.evaluate is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"registry": None},
            r"registry: no folder given; pass registry or set SPIKEWATCH_REGISTRY",
        ),
        ({"registry": "labels.json"}, r"registry labels\.json: not a folder"),
        ({"recipe": "magic"}, r"recipe 'magic': expected closed-form, distill, labels"),
        ({"readout": "edge"}, r"readout 'edge': expected core, host"),
        ({"seed": -1}, r"seed -1: expected 0\.\.4294967296"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_file_is_read(
    changes: dict[str, Any], message: str, plain: Source, folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.delenv("SPIKEWATCH_REGISTRY", raising=False)
    (folder / "model.onnx").unlink()
    notes: list[str] = []
    options = {"registry": "registry", "note": notes.append} | changes
    with pytest.raises(ConvertError, match=f"^{message}$"):
        publish(plain, "tiny", "1.0.0", **options)
    assert notes == []
    assert not (folder / "registry").exists()


def test_a_wrong_name_is_refused_before_any_file_is_read(plain: Source, folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(BadReference):
        publish(plain, "No Name", "1.0.0", registry="registry")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"model": None}, "str or Path"),
        ({"labels": ["ABBR"]}, "str or Path"),
        ({"evaluate": b"x"}, "str or Path"),
        ({"output": 1}, "str"),
        ({"pad_to": "20"}, "int"),
        ({"pad_id": True}, "int"),
        ({"truncate_side": 0}, "str"),
    ],
)
def test_a_source_takes_values_of_their_types_only(wrong: dict[str, Any], kind: str) -> None:
    given = {"model": "m", "tokenizer": "t", "labels": "l", "calibrate": "c"} | wrong
    with pytest.raises(TypeError, match=rf"^Source\.{next(iter(wrong))}: expected {kind}, got "):
        Source(**given)


def test_a_source_is_refused_if_it_is_another_value(plain: Source) -> None:
    with pytest.raises(TypeError, match=r"^source: expected a Source, got 'model\.onnx'$"):
        publish(plain.model, "tiny", "1.0.0", registry="registry")  # type: ignore[arg-type]


def test_a_missing_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'spikewatch\.convert' has no attribute 'magic'"):
        convert.magic  # noqa: B018


def test_importing_the_package_imports_no_extra() -> None:
    script = (
        "import sys, spikewatch.convert, spikewatch.convert.cli\n"
        "extras = {'onnx', 'onnxruntime', 'scipy', 'tokenizers', 'torch', 'matplotlib', 'jinja2'}\n"
        "assert not extras & sys.modules.keys(), extras & sys.modules.keys()\n"
        "from spikewatch.convert import Source\n"
        "assert 'onnx' not in sys.modules\n"
        "from spikewatch.convert import publish\n"
        "assert 'onnx' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
