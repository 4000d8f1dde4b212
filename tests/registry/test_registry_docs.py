"""What docs/registry.md shows is what happens."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from spikewatch.registry import cli

PAGE = Path(__file__).parents[2] / "docs" / "registry.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_tour_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = blocks("python")
    exec(compile(program, str(PAGE), "exec"), {})  # noqa: S102 -- our own documentation
    assert capsys.readouterr().out == "1.0.0 ['eval.json', 'labels.json']\n"
    (session,) = blocks("console")
    transcript = ""
    for line in session.splitlines():
        if line.startswith("$ "):
            transcript += f"{line}\n"
            monkeypatch.setattr(sys, "argv", shlex.split(line[2:]))
            with pytest.raises(SystemExit):
                cli.main()
            transcript += capsys.readouterr().out
    assert transcript == session
