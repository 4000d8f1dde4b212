"""The runner of findings/: what holds, what has changed, and which names there are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def findings(tmp_path: Path) -> Path:
    folder = tmp_path / "findings"
    folder.mkdir()
    shutil.copy(ROOT / "findings" / "run", folder)
    (folder / "same.sh").write_text(
        'test -z "$(ls -A)"\necho seen > file\ntest "$(cat file)" = seen\n'
    )
    (folder / "other.sh").write_text("false\ntrue\n")
    return folder


def run(findings: Path, *names: str) -> tuple[int, str, str]:
    done = subprocess.run([findings / "run", *names], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_finding_that_holds_exits_with_0(findings: Path) -> None:
    assert run(findings, "same", "same") == (0, "holds: same\nholds: same\n", "")


def test_any_failing_command_means_that_the_behaviour_has_changed(findings: Path) -> None:
    assert run(findings) == (1, "holds: same\n", "CHANGED: other\n")


def test_an_unknown_name_is_refused_before_anything_runs(findings: Path) -> None:
    assert run(findings, "same", "none") == (
        2,
        "",
        "findings/run: no finding none; there are: other same\n",
    )
