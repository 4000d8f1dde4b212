"""A network of another kind is published as a student: an Elman network on a core that answers as it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import html5lib
import numpy as np
import onnx
import onnxruntime
import pytest
from teachers import CLASSES, Network, Placed, exported, questions, tokenizer, trained
from typer.testing import CliRunner

from spikewatch.convert.cli import app
from spikewatch.convert.errors import ConvertError
from spikewatch.convert.publishing.publish import convert_and_publish, evaluate
from spikewatch.convert.publishing.source import Source
from spikewatch.convert.report import write_report
from spikewatch.registry import Registry
from spikewatch.registry.program.text_output import details_lines
from spikewatch.registry.references import digest_of
from spikewatch.simcore import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from spikewatch.convert.publishing.conversion import Converted
    from spikewatch.registry import Pin

STAGES = ["teacher", "student", "weights", "activities", "fan-in", "integer", "spiking"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained LSTM and everything to publish it with."""
    made = tmp_path_factory.mktemp("lstm")
    (made / "model.onnx").write_bytes(exported(trained("lstm", questions(200, 1))))
    tokenizer().save(str(made / "tokenizer.json"))
    (made / "labels.json").write_text(json.dumps(CLASSES))
    (made / "calibrate.txt").write_text("\n".join(text for _, text in questions(400, 2)))
    lines = ["label\ttext", *("\t".join(q) for q in questions(150, 3))]
    (made / "test.tsv").write_text("\n".join(lines))
    return made


def source(folder: Path, **changes: Any) -> Source:
    files: dict[str, Any] = {
        "model": folder / "model.onnx",
        "tokenizer": folder / "tokenizer.json",
        "labels": folder / "labels.json",
        "calibrate": folder / "calibrate.txt",
    }
    return Source(**(files | changes))


@pytest.fixture(scope="module")
def published(folder: Path) -> tuple[Pin, Converted, list[str]]:
    notes: list[str] = []
    made = source(folder, evaluate=folder / "test.tsv")
    pin, converted = convert_and_publish(
        made, "lstm", "1.0.0", registry=folder / "registry", note=notes.append
    )
    return pin, converted, notes


def test_the_core_answers_as_the_teacher(published: tuple[Pin, Converted, list[str]]) -> None:
    _, converted, notes = published
    stages = converted.evaluation["stages"]
    assert list(stages) == STAGES
    assert stages["spiking"]["agreement"] >= 0.95
    (line,) = (n for n in notes if "is taught" in n)
    assert "operator LSTM is not supported" in line
    assert any("--more FILE" in n for n in notes)  # 400 questions are few
    assert any("120 passes over 360 questions" in n for n in notes)  # and read often


def test_the_card_and_the_figures_name_the_teacher(
    folder: Path, published: tuple[Pin, Converted, list[str]]
) -> None:
    pin, converted, _ = published
    files = Registry(folder / "registry").load(str(pin)).files
    teacher = json.loads(files["eval.json"])["teacher"]
    assert (teacher["file"], teacher["held_out"]) == ("model.onnx", 40)
    described = Registry(folder / "registry").load(str(pin)).annotations
    assert f"taught by model.onnx (sha256 {teacher['sha256'][:12]})" in str(described)
    card = files["MODEL_CARD.md"].decode()
    agreed = converted.evaluation["stages"]["spiking"]["agreement"]
    assert f"imitation of `model.onnx` (sha256 `{teacher['sha256']}`)" in card
    assert f"on {agreed:.1%} of 150 questions" in card


def test_the_published_student_answers_alone(
    folder: Path, published: tuple[Pin, Converted, list[str]]
) -> None:
    pin, converted, _ = published
    texts = [text for _, text in questions(150, 3)]
    classifier = Classifier.from_files(converted.files)
    given = classifier.classify(texts).label
    truth = np.array([CLASSES.index(label) for label, _ in questions(150, 3)])
    assert (given == truth).mean() == converted.evaluation["stages"]["spiking"]["accuracy"]
    again = evaluate(str(pin), folder / "test.tsv", registry=folder / "registry")
    assert list(again["stages"]) == STAGES[1:]  # the teacher is not in the registry


def test_equal_files_and_seeds_give_equal_students(
    folder: Path, published: tuple[Pin, Converted, list[str]]
) -> None:
    _, again = convert_and_publish(
        source(folder, evaluate=folder / "test.tsv"), "again", "1.0.0", registry=folder / "other"
    )
    for name in ("model.onnx", "core.safetensors", "encoder.safetensors"):
        assert again.files[name] == published[1].files[name], name


def test_without_a_student_the_refusal_stays(folder: Path) -> None:
    with pytest.raises(ConvertError, match=r"operator LSTM is not supported, only one RNN"):
        convert_and_publish(source(folder), "no", "1.0.0", registry=folder / "no", student=False)
    assert not (folder / "no").exists()


def test_padding_is_for_the_teacher_only(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "fixed.onnx"
    network = trained("cnn", questions(200, 1))
    model.write_bytes(exported(network, 12))
    made = source(
        folder,
        model=model,
        pad_to=12,
        calibrate=folder / "calibrate.txt",
        evaluate=folder / "test.tsv",
    )
    _, converted = convert_and_publish(made, "cnn", "1.0.0", registry=tmp_path / "registry")
    assert converted.evaluation["stages"]["spiking"]["agreement"] >= 0.9
    assert converted.evaluation["per_question"]["words"] < 9  # without the padding
    session = onnxruntime.InferenceSession(model.read_bytes())
    split = tokenizer()
    own = [
        session.run(None, {"ids": np.array([(split.encode(text).ids + [0] * 12)[:12]])})[0].argmax()
        for _, text in questions(150, 3)
    ]
    truth = np.array([CLASSES.index(label) for label, _ in questions(150, 3)])
    assert converted.evaluation["stages"]["teacher"]["accuracy"] == (np.array(own) == truth).mean()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (b"no model", "not a valid ONNX file"),
        (exported(Network("lstm", 5)), "none has a value for each of the 3 labels"),
    ],
)
def test_what_cannot_teach_is_refused_in_one_line(
    folder: Path, tmp_path: Path, changed: bytes, message: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(changed)
    options = {
        "--tokenizer": "tokenizer.json",
        "--labels": "labels.json",
        "--calibrate": "calibrate.txt",
    }
    arguments = ["publish", str(tmp_path / "model.onnx"), "--registry", str(tmp_path / "registry")]
    arguments += ["--name", "x", "--version", "1.0.0"]
    for name, file in options.items():
        arguments += [name, str(folder / file)]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ConvertError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "registry").exists()


def test_why_a_file_neither_is_read_nor_teaches_is_one_line(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("\n".join(text for _, text in questions(20, 2)))
    message = (
        r"operator LSTM is not supported, only one RNN \(Elman\) layer is; nor can it teach a student:"
        r" .*few\.txt: 20 questions with words, at least 100 needed to learn from$"
    )
    with pytest.raises(ConvertError, match=message):
        convert_and_publish(source(folder, calibrate=few), "few", "1.0.0", registry=tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_kept_teacher_is_a_layer_of_its_own_with_all_its_weights(
    folder: Path, tmp_path: Path
) -> None:
    model = tmp_path / "lstm.onnx"
    onnx.save(onnx.load(folder / "model.onnx"), model, save_as_external_data=True, size_threshold=0)
    arguments = ["publish", str(model), "--registry", str(tmp_path / "registry")]
    for name in ("tokenizer.json", "labels.json"):
        arguments += [f"--{name.removesuffix('.json')}", str(folder / name)]
    (tmp_path / "more.txt").write_text("\n".join(text for _, text in questions(60, 9)))
    arguments += [
        "--calibrate",
        str(folder / "calibrate.txt"),
        "--more",
        str(tmp_path / "more.txt"),
    ]
    arguments += ["--keep-teacher"]
    done = CliRunner().invoke(app, [*arguments, "--name", "lstm", "--version", "1.0.0"])
    assert done.exit_code == 0, done.output
    registry = Registry(tmp_path / "registry")
    details = registry.show("lstm:1.0.0")
    assert details.teacher is not None
    assert (details.teacher.file, details.teacher.kept) == ("lstm.onnx", "teacher.onnx")
    (layer,) = (layer for layer in details.layers if layer.path == "teacher.onnx")
    (plain,) = (layer for layer in details.layers if layer.path == "model.onnx")
    assert (layer.digest, layer.media_type) == (details.teacher.digest, plain.media_type)
    files = registry.load("lstm:1.0.0").files
    assert json.loads(files["eval.json"])["teacher"]["more"] == 60
    assert "kept beside it as `teacher.onnx`" in files["MODEL_CARD.md"].decode()
    kept, given = (
        onnxruntime.InferenceSession(what).run(None, {"ids": np.array([[2, 3, 4]])})[0]
        for what in (files["teacher.onnx"], folder / "model.onnx")
    )
    np.testing.assert_array_equal(kept, given)
    registry.export("lstm:1.0.0", tmp_path / "lstm.tar")
    copy = Registry.init(tmp_path / "copy")
    copy.import_(tmp_path / "lstm.tar")
    copy.gc(grace=0)
    assert copy.verify(deep=True).ok
    assert copy.load("lstm:1.0.0", ["teacher.onnx"]).files["teacher.onnx"] == files["teacher.onnx"]


def test_without_keep_teacher_only_name_and_digest_are_published(
    folder: Path, published: tuple[Pin, Converted, list[str]]
) -> None:
    details = Registry(folder / "registry").show(str(published[0]))
    assert details.teacher is not None
    assert details.teacher.digest == digest_of((folder / "model.onnx").read_bytes())
    assert details.teacher.kept is None
    shown = "\n".join(details_lines(details))
    assert f"model.onnx, {details.teacher.digest}, not kept" in shown


def test_no_student_has_no_teacher_to_keep(folder: Path) -> None:
    with pytest.raises(ConvertError, match=r"^--keep-teacher: .* --no-student forbids$"):
        convert_and_publish(
            source(folder), "no", "1.0.0", registry=folder / "no", student=False, keep_teacher=True
        )


def test_the_report_has_a_section_on_the_teacher(
    folder: Path, published: tuple[Pin, Converted, list[str]]
) -> None:
    pin, converted, _ = published
    out = folder / "report.html"
    write_report(str(pin), out, registry=Registry(folder / "registry"), question="who wrote paris")
    page = out.read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    teacher = converted.evaluation["teacher"]
    section = page.partition('<section id="imitation"')[2].partition("</section>")[0]
    assert f"sha256:{teacher['sha256']}" in section
    assert "no: only its name and digest are" in section
    assert f"{teacher['held_out_agreement']:.1%}" in section
    assert section.count('class="bar"') == len(teacher["trials"])
    assert "From the teacher to the core" in page


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_longer_than_the_teacher_takes_are_cut_on_the_tokenizers_side(
    folder: Path, tmp_path: Path, side: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(exported(Placed(16)))
    split = tokenizer()
    if side == "left":
        split.enable_truncation(24, direction="left")
    split.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "calibrate.txt").write_text("\n".join(text for _, text in questions(120, 2)))
    (tmp_path / "more.txt").write_text("who wrote the book " * 6 + "\n")
    made = source(tmp_path, labels=folder / "labels.json", more=(tmp_path / "more.txt",))
    notes: list[str] = []
    _, converted = convert_and_publish(
        made, "cut", "1.0.0", registry=tmp_path / "registry", note=notes.append
    )
    lost = "first" if side == "left" else "last"
    line = f"the file takes at most 16 words; tokenizer.json cuts there, and loses the {lost} words of longer texts"
    assert f"{line}: 1 of 121 questions" in notes
    cut = json.loads(converted.files["tokenizer.json"])["truncation"]
    assert (cut["max_length"], cut["direction"].lower()) == (16, side)
