"""What docs/registry.md shows is what happens."""

from __future__ import annotations

import re
import shlex
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from spikewatch.registry import cli, times

PAGE = Path(__file__).parents[2] / "docs" / "registry.md"


class Clock(datetime):
    """One hour later every time that somebody looks."""

    hours = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        cls.hours += 1
        return cls(2026, 2, 1, tzinfo=tz) + timedelta(hours=cls.hours)


def follow(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], list[str]]:
    """Run the page's Python and console blocks in order; the sessions written and as they went."""
    written, happened = [], []
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
        happened.append(transcript)
    return written, happened


def test_the_tour_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SPIKEWATCH_REGISTRY", "")  # put back after the test
    monkeypatch.setattr(times, "datetime", Clock)
    monkeypatch.setattr(Clock, "hours", 0)
    written, happened = follow(PAGE.read_text(), monkeypatch, capsys)
    assert happened == written
