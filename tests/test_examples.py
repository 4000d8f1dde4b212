"""Check that the examples run as documented, on small data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

from spikewatch.registry import Registry

ROOT = Path(__file__).parents[1]
WORDS = {"HUM:ind": "who wrote", "HUM:gr": "what team won", "LOC:city": "what city is in"}
THINGS = ("hamlet", "paris", "rome", "tower", "king", "river")


def test_fifty_classes_trains_publishes_and_answers(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    lines = [
        f"{label} {asked.capitalize()} {first} and {second} ?"
        for label, asked in WORDS.items()
        for first in THINGS
        for second in THINGS
    ]
    (tmp_path / "few.label").write_text("\n".join(lines))
    words = sorted({*" ".join(WORDS.values()).split(), *THINGS, "and", "the", "is", "what"})
    rows = [f"{word} {' '.join(map(str, rng.normal(size=6).round(3)))}" for word in words]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(rows)} 6", *rows]))

    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "fifty_classes.py", "few.label", "words.vec"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answered = [line.split() for line in done.stdout.splitlines() if line.endswith("?")]
    assert answered[0] == ["HUM:ind", "Who", "wrote", "Hamlet?"]
    assert len(answered) == 5
    assert Registry(tmp_path / "models").resolve("trec-fine:production").version == "1.0.0"


@pytest.mark.timeout(300)  # half a minute of CPU, on a machine with other tests
@pytest.mark.parametrize(
    ("script", "name", "operator", "length"),
    [
        ("pytorch_lstm.py --exporter present", "lstm", "LSTM", None),
        ("small_transformer.py", "transformer", "MatMul", None),
        pytest.param(
            "keras_gru.py",
            "gru",
            "MatMul",
            16,
            marks=pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed"),
        ),
    ],
)
def test_a_network_of_another_kind_is_trained_imitated_and_answers(
    tmp_path: Path, script: str, name: str, operator: str, length: int | None
) -> None:
    size = ["--questions", "300", "--epochs", "10"]
    file, *options = script.split()
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / file, *options, "--out", name, *size],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / name
    teacher = Registry(out / "models").show(f"{name}:production").teacher
    assert teacher is not None
    assert operator in {node.op_type for node in onnx.load(out / "model.onnx").graph.node}

    answered = (out / "spool" / "out" / "held_out.txt.jsonl").read_text().splitlines()
    given = [json.loads(line)["label"] for line in answered]
    session = onnxruntime.InferenceSession(out / "model.onnx")
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    (kind,) = session.get_inputs()
    labels = json.loads((out / "labels.json").read_text())
    wanted = []
    for text in (out / "held_out.txt").read_text().splitlines():
        ids = tokenizer.encode(text).ids
        if length is not None:
            ids = [0] * (length - len(ids)) + ids[-length:]
        table = np.array([ids], dtype=np.int32 if "int32" in kind.type else np.int64)
        wanted.append(labels[session.run(None, {kind.name: table})[0].argmax()])
    assert len(given) == 200
    assert len(set(wanted)) > 2  # the teacher has learned something
    assert np.mean([a == b for a, b in zip(given, wanted, strict=True)]) >= 0.85


def test_an_example_takes_questions_of_ones_own(tmp_path: Path) -> None:
    """Only the data are read here; what follows is the test above."""
    (tmp_path / "mine.tsv").write_text("".join(f"A\thow {i}\nB\twhy {i}\n" for i in range(150)))
    code = "import help_desk; t = help_desk.task(help_desk.parser('', 'x').parse_args())"
    code += "; print(len(t.training), len(t.held_out), t.labels, t.ids('how 3'))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--data", "mine.tsv"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "examples")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("100 200 ['A', 'B'] [")
