"""The README's two commands are what CI runs (tests/documentation.py runs its blocks)."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_commands_that_ci_runs_are_the_readmes() -> None:
    text = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in ("make test", "make demo"):
        assert f"\n{command} " in text
        assert command in ci
