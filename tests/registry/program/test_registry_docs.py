"""Run the tour of docs/registry.md, and compare what it prints with what the page shows."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from spikewatch.registry import cli

PAGE = Path(__file__).parents[3] / "docs" / "registry.md"


def follow(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], list[str]]:
    """Run the page's Python and console blocks in order; return the console sessions as written and as run."""
    written, actual = [], []
    for language, block in re.findall(
        r"^```(python|console)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
    ):
        if language == "python":
            exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 -- our own documentation
            continue
        capsys.readouterr()
        transcript = ""
        for line in block.splitlines():
            if line.startswith("$ "):
                transcript += f"{line}\n"
                words = shlex.split(line[2:])
                if words[0] == "export":
                    monkeypatch.setenv(*words[1].split("="))
                    continue
                monkeypatch.setattr(sys, "argv", words)
                with pytest.raises(SystemExit):
                    cli.main()
                printed = capsys.readouterr()
                transcript += printed.out + printed.err
        written.append(block)
        actual.append(transcript)
    return written, actual


@pytest.mark.usefixtures("clock")
def test_the_tour_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SPIKEWATCH_REGISTRY", "")  # put back after the test
    written, actual = follow(PAGE.read_text(), monkeypatch, capsys)
    assert actual == written
