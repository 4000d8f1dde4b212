"""Every wrong input of `publish` gives one line and exit code 2, and does not change a byte of the registry."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hostile_graphs import KINDS
from networks import elman, weights
from onnx import helper
from support import TINY_LABELS, TINY_WORDS, tiny_tokenizer

from spikewatch.convert.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable


def changed(name: str, value: float) -> bytes:
    """Return a model with `value` in one of its weights."""
    w = weights()
    w[name].flat[3] = value
    return elman(w).SerializeToString()


def lstm() -> bytes:
    w = weights()
    w |= {"W": np.repeat(w["W"], 4, 1), "R": np.repeat(w["R"], 4, 1), "B": np.repeat(w["B"], 4, 1)}
    return elman(w, operator="LSTM").SerializeToString()


def dynamic(name: str) -> bytes:
    """Return a model in which a weight is an input."""
    model = elman(weights())
    tensor = next(i for i in model.graph.initializer if i.name == name)
    model.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    model.graph.initializer.remove(tensor)
    return model.SerializeToString()


def computed() -> bytes:
    """Return a model whose recurrent weights depend on the question."""
    model = elman(weights())
    total = helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)
    model.graph.node.insert(1, total)
    model.graph.node.insert(2, helper.make_node("Mul", ["R", "sum"], ["R_now"]))
    next(n for n in model.graph.node if n.op_type == "RNN").input[2] = "R_now"
    return model.SerializeToString()


def too_wide() -> bytes:
    """Return a network that can be read, but has too many hidden units for a core."""
    return elman(weights(n=70)).SerializeToString()


def good() -> bytes:
    return elman(weights()).SerializeToString()


CASES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty model": (
        "model.onnx",
        lambda: b"",
        "model.onnx: not a valid ONNX file, but an empty file: export",
    ),
    "not ONNX": (
        "model.onnx",
        lambda: b"junk",
        "model.onnx: not a valid ONNX file, but text: export",
    ),
    "truncated model": ("model.onnx", lambda: good()[:-100], "model.onnx: not a valid ONNX file: "),
    "LSTM": ("model.onnx", lstm, "node 'rnn': operator LSTM is not supported, only one RNN"),
    "weight as input": (
        "model.onnx",
        lambda: dynamic("W"),
        "node 'rnn': input 'W' is not a constant weight",
    ),
    "computed weight": (
        "model.onnx",
        computed,
        "node 'rnn': input 'R_now' is not a constant weight",
    ),
    "NaN weight": (
        "model.onnx",
        lambda: changed("R", np.nan),
        "node 'rnn': weight 'R': holds values that are not finite",
    ),
    "NaN embedding": (
        "model.onnx",
        lambda: changed("embedding", np.nan),
        "node 'Gather': weight 'embedding': holds values that are not finite",
    ),
    "infinite head": (
        "model.onnx",
        lambda: changed("C", np.inf),
        "node 'Gemm': weight 'C': holds values that are not finite",
    ),
    "NaN bias": (
        "model.onnx",
        lambda: changed("c", np.nan),
        "node 'Gemm': weight 'c': holds values that are not finite",
    ),
    "too many hidden units": ("model.onnx", too_wide, "70 hidden units"),
    "fewer labels than outputs": (
        "labels.json",
        lambda: b'["a"]',
        "labels.json: 1 names, but the network has 6 outputs",
    ),
    "labels that are not a list": (
        "labels.json",
        lambda: b'{"a": 1}',
        "labels.json: expected a JSON list",
    ),
    "vocabulary beyond the embedding": (
        "model.onnx",
        lambda: elman(weights(words=6)).SerializeToString(),
        "but the embedding has rows 0..5; 40 of 40 calibration questions hold such a word",
    ),
    "no tokenizer": ("tokenizer.json", lambda: b"{}", "tokenizer.json: "),
    "empty calibration": (
        "calibrate.txt",
        lambda: b"",
        "calibrate.txt: the file holds no questions",
    ),
    "calibration without words": (
        "calibrate.txt",
        lambda: b"?!\nwho\n",
        "calibrate.txt: 1 questions with words, at least 16 needed",
    ),
    "calibration that is not text": (
        "calibrate.txt",
        lambda: b"who\n\xff\xfe\n",
        "calibrate.txt:2: byte 0xff at 0 is not UTF-8: save the file as UTF-8",
    ),
    "label that no output has": (
        "held-out.tsv",
        lambda: b"XYZ\twho wrote hamlet\n",
        "label 'XYZ' of question 'who wrote hamlet': not one of the model's classes, ABBR, DESC, ENTY, HUM, LOC, NUM",
    ),
    "a graph that holds too many elements": (
        "model.onnx",
        lambda: KINDS["concatenations of numbers that double"]().SerializeToString(),
        "model.onnx: node 'Concat': operator Concat fails: Unable to allocate",
    ),
    "an input of no type": (
        "model.onnx",
        lambda: KINDS["input of no type"]().SerializeToString(),
        "model.onnx: input 'more': its type, 0, is none of ONNX",
    ),
    "training that is not JSON": ("training.json", lambda: b"{", "training.json: not JSON"),
    "vectors for word ids": (
        "vectors.vec",
        lambda: b"1 2\nwho 0.5 0.5\n",
        "model.onnx: takes word ids, so it cannot use word vectors (--vectors)",
    ),
    "vectors of other words": (
        "vectors.vec",
        lambda: b"1 2\nxyzzy 0.5 0.5\n",
        "vectors.vec: holds no vector for any of the tokenizer's 21 words",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with valid input, and a registry that already has a version."""
    folder = tmp_path_factory.mktemp("wrong")
    rng = np.random.default_rng(7)
    (folder / "model.onnx").write_bytes(good())
    (folder / "tokenizer.json").write_bytes(tiny_tokenizer())
    (folder / "labels.json").write_text(json.dumps(TINY_LABELS))
    lines = [" ".join(rng.choice(TINY_WORDS[1:], n)) for n in rng.integers(1, 10, 40)]
    (folder / "calibrate.txt").write_text("\n".join(lines) + "\n")
    (folder / "held-out.tsv").write_text(f"NUM\t{lines[0]}\n")
    (folder / "training.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", arguments(folder, version="1.0.0"))
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == 0
    return folder


def arguments(folder: Path, *, version: str, **replaced: Path) -> list[str]:
    files = {
        "tokenizer": folder / "tokenizer.json",
        "labels": folder / "labels.json",
        "calibrate": folder / "calibrate.txt",
        "evaluate": folder / "held-out.tsv",
        "training": folder / "training.json",
    } | {k: v for k, v in replaced.items() if k != "model"}
    options = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    where = ["--registry", str(folder / "registry"), "--name", "tiny", "--version", version]
    where += ["--recipe", "closed-form"]  # the same checks, in a second
    model = str(replaced.get("model", folder / "model.onnx"))
    return ["spikewatch-convert", "publish", model, *options, *where]


def contents(folder: Path) -> dict[str, Any]:
    """Return the digest of every file, and the name of every folder, below a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else ""
        for p in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_gives_one_line_and_leaves_the_registry_unchanged(
    case: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, make, message = CASES[case]
    bad = tmp_path / name
    bad.write_bytes(make())
    option = {"held-out.tsv": "evaluate", "calibrate.txt": "calibrate"}.get(name)
    argv = arguments(folder, version="2.0.0", **{option or name.partition(".")[0]: bad})
    before = contents(folder / "registry")
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("spikewatch-convert: ")]
    assert len(errors) == 1
    assert err.endswith(f"{errors[0]}\n")
    assert message in errors[0]
    assert "Traceback" not in err
    assert contents(folder / "registry") == before


@pytest.mark.parametrize("epoch", ["99999999999999999", "-5", "soon"])
def test_an_invalid_time_of_publishing_is_refused_before_anything_is_read(
    epoch: str, tmp_path: Path
) -> None:
    program = [str(Path(sys.executable).parent / "spikewatch-convert"), "publish", "absent.onnx"]
    files = ["--tokenizer", "a", "--labels", "a", "--calibrate", "a"]
    where = ["--registry", str(tmp_path / "models"), "--name", "tiny", "--version", "1.0.0"]

    found = subprocess.run(
        [*program, *files, *where],
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("spikewatch-convert: SOURCE_DATE_EPOCH: ")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--name", "Tiny"), ("--name", "\udcff"), ("--version", "2"), ("--alias", "v2")],
)
def test_a_name_that_the_registry_refuses_is_refused_before_the_conversion(
    option: str,
    value: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [*arguments(folder, version="2.0.0"), option, value])
    before = contents(folder / "registry")
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert contents(folder / "registry") == before


def test_a_model_of_word_vectors_is_published_with_the_table_of_the_vocabulary(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The published model no longer needs the file of --vectors."""
    w = weights()
    model = elman({k: v for k, v in w.items() if k != "embedding"}, vectors=True)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    rows = [
        " ".join([word, *map(repr, row.tolist())])
        for word, row in zip(TINY_WORDS, w["embedding"], strict=True)
        if word != "<unk>"
    ]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(rows)} 6", *rows]) + "\n")
    argv = arguments(
        folder, version="3.0.0", model=tmp_path / "model.onnx", vectors=tmp_path / "words.vec"
    )
    argv[argv.index("--registry") + 1] = str(tmp_path / "registry")
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    printed = capsys.readouterr()
    assert "1 of the tokenizer's 21 words have no vector and get a vector of zeros" in printed.err
    (tmp_path / "words.vec").unlink()
    evaluate = ["spikewatch-convert", "evaluate", "tiny:3.0.0", "--json"]
    where = ["--registry", str(tmp_path / "registry"), "--data", str(folder / "calibrate.txt")]
    monkeypatch.setattr("sys.argv", [*evaluate, *where])
    with pytest.raises(SystemExit):
        main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["stages"]["activities"]["agreement"] > 0.6


def test_the_unchanged_model_is_valid() -> None:
    """So each case differs from a valid model in one thing only."""
    onnx.checker.check_model(onnx.load_model_from_string(good()))
