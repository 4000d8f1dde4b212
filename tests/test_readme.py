"""Check that CI runs the README's two commands (tests/documentation.py runs its other code blocks)."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ci_runs_the_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in ("make test", "make demo"):
        assert f"\n{command} " in text
        assert command in ci
