"""Check that CI runs the README's two commands (tests/documentation.py runs its other code blocks)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_ci_runs_the_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in ("make test", "make demo"):
        assert f"\n{command} " in text
        assert command in ci


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`((?:\w[\w.-]*/)+[\w.-]+\.\w+)`", (ROOT / page).read_text())
    missing = [path for path in named if not (ROOT / path).exists()]
    assert named
    assert not missing
