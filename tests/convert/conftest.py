from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from publishing import write_inputs

if TYPE_CHECKING:
    from pathlib import Path

pytest.register_assert_rewrite("torch_networks")

NOUNS = "hamlet paris river tower book king city cat dog moon opera film war bread song ship"
VERBS = {"HUM": "who wrote", "LOC": "where is", "NUM": "how many are"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all input files of publishing, and with labelled held-out questions."""
    return write_inputs(tmp_path)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write questions of a small language; return the file."""
    rng = np.random.default_rng(5)
    lines = []
    for label in rng.choice(list(VERBS), 300).tolist():
        nouns = " and the ".join(rng.choice(NOUNS.split(), 3).tolist())
        lines.append(f"{label}\t{VERBS[label].capitalize()} the {nouns}?")
    path = tmp_path_factory.mktemp("data") / "questions.tsv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write vectors of the small language's words; return the file."""
    rng = np.random.default_rng(6)
    words = [*NOUNS.split(), *" ".join(VERBS.values()).split(), "the", "and", "1", "1999", "unseen"]
    values = rng.normal(size=(len(words), 8)).round(3)
    values[words.index("where")] = values[words.index("who")]  # as in pruned tables
    path = tmp_path_factory.mktemp("vectors") / "words.vec"
    rows = [" ".join([w, *map(str, v)]) for w, v in zip(words, values.tolist(), strict=True)]
    path.write_text("\n".join([f"{len(words)} 8", *rows]))
    return path


@pytest.fixture(scope="session")
def trained(data: Path, vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on the small language once; tests only read the files written."""
    from small_training import SMALL  # noqa: PLC0415 - torch takes seconds to import

    from spikewatch.convert.training import train  # noqa: PLC0415 - torch takes seconds to import

    out = tmp_path_factory.mktemp("trained")
    train(data, vectors, out, seed=3, settings=SMALL)
    return out
