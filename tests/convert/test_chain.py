"""Run the README's commands one after another, from labelled questions to a published model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra [train]")

PROGRAM = Path(sys.executable).with_name("spikewatch-convert")
NOUNS = "hamlet paris river tower book king city cat dog moon opera film war bread song ship"
ASKED = {"HUM": "who wrote", "LOC": "where is", "NUM": "how many are"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write labelled questions of a small language, and word vectors for it."""
    rng = np.random.default_rng(5)
    labels = rng.choice(list(ASKED), 1000).tolist()
    lines = [
        f"{a}\t{ASKED[a]} the {' and the '.join(rng.choice(NOUNS.split(), 2))}?" for a in labels
    ]
    (tmp_path / "questions.tsv").write_text("\n".join(lines) + "\n")
    words = sorted({*NOUNS.split(), *" ".join(ASKED.values()).split(), "the", "and"})
    rows = [f"{w} " + " ".join(map(str, rng.normal(size=6).round(3))) for w in words]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(words)} 6", *rows]) + "\n")
    return tmp_path


def run(*arguments: object) -> str:
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_publish_evaluate(folder: Path) -> None:
    out, registry = folder / "trained", folder / "registry"
    trained = run(
        "train", "--data", folder / "questions.tsv", "--vectors", folder / "words.vec", "--out", out
    )
    assert re.search(r"3 classes, \d+ questions, .* on 500 held-out questions: ", trained)
    published = run(
        "publish", out / "model.onnx", "--tokenizer", out / "tokenizer.json",
        "--labels", out / "labels.json", "--calibrate", out / "calibration.tsv",
        "--evaluate", out / "dev.tsv", "--training", out / "training.json",
        "--registry", registry, "--name", "small", "--version", "1.0.0", "--alias", "production",
    )  # fmt: skip
    assert "published small:1.0.0@sha256:" in published
    figures = json.loads(
        run(
            "evaluate",
            "small:production",
            "--registry",
            registry,
            "--data",
            out / "dev.tsv",
            "--json",
        )
    )
    stages = figures["stages"]
    assert figures["questions"] == 500
    assert stages["spiking"]["accuracy"] >= 0.95
    assert stages["spiking"]["accuracy"] >= stages["float"]["accuracy"] - 0.02
    # the trained network is on the core's grid, so constraining keeps it exactly
    assert stages["weights"]["agreement"] >= 0.99
