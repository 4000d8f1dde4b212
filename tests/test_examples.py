"""Check that the examples run as documented, on small data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

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
