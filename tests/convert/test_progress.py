"""Progress: a bar on a terminal, lines now and then in a pipe, calls of a function, and nothing on standard output."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from publishing import CLOSED, published
from rich.console import Console

from spikewatch.convert.progress import LINE_S, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a terminal: the one that is read, and the one that programs write to."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def read_all(end: int) -> str:
    """Return what was written to a terminal by now."""
    os.set_blocking(end, False)
    text = b""
    with suppress(BlockingIOError):
        while True:
            text += os.read(end, 1 << 12)
    return text.decode()


def read_to(end: int, mark: str) -> str:
    """Return what a program writes to a terminal up to a mark."""
    text = b""
    while mark.encode() not in text:
        text += os.read(end, 1 << 12)
    return text.decode()


class TestProgressBar:
    def test_a_pipe_gets_notes_and_a_line_of_progress_every_ten_seconds(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        times = iter([0, 1, LINE_S, LINE_S + 1, 2 * LINE_S - 0.1, 2 * LINE_S + 3])

        with progress_bar(clock=lambda: next(times)) as shown:
            shown.note("distilling [in] 5 passes")
            for done in range(1, 6):
                shown(stage="distilling", done=done, total=5)

        assert capsys.readouterr() == (
            "",
            "distilling [in] 5 passes\ndistilling: 2 of 5\ndistilling: 5 of 5\n",
        )

    def test_a_long_note_stays_one_line_in_a_pipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress_bar() as shown:
            shown.note("word " * 100)

        assert capsys.readouterr().err.count("\n") == 1

    def test_a_forced_colour_is_no_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        with progress_bar() as shown:
            shown(stage="distilling", done=1, total=5)

        assert capsys.readouterr() == ("", "")

    def test_a_terminal_gets_a_bar_that_is_gone_afterwards(
        self, terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        read, write = terminal
        with (
            os.fdopen(os.dup(write), "w") as file,
            progress_bar(Console(file=file, width=80)) as shown,
        ):
            shown.note("distilling in 5 passes")
            shown(stage="distilling", done=2, total=5)

        text = read_all(read)
        assert "distilling in 5 passes" in text
        assert re.search(r"distilling\s.*2/5", text)
        assert text.rstrip("\r").endswith(
            ("\x1b[2K", "\x1b[?25h")
        )  # erased, and the cursor is back

    def test_a_dumb_terminal_gets_lines(
        self, terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        read, write = terminal
        with (
            os.fdopen(os.dup(write), "w") as file,
            progress_bar(Console(file=file, width=80)) as shown,
        ):
            shown.note("distilling in 5 passes")

        assert read_all(read) == "distilling in 5 passes\r\n"


class TestPublish:
    def test_every_stage_of_the_evaluation_is_reported(self, folder: Path) -> None:
        calls: list[tuple[str, int, int]] = []
        published(folder, progress=lambda *, stage, done, total: calls.append((stage, done, total)))
        assert calls == [("evaluating", done, 6) for done in range(1, 7)]

    def test_the_bar_leaves_the_json_on_standard_output_alone(
        self, folder: Path, terminal: tuple[int, int]
    ) -> None:
        read, write = terminal
        files = ("tokenizer.json", "labels.json", "calibrate.txt", "registry")
        options = [f"--{file.partition('.')[0]}={folder / file}" for file in files]
        options += ["--name=tiny", "--version=1.0.0", f"--recipe={CLOSED}", "--json"]
        program = Path(sys.executable).parent / "spikewatch-convert"
        with subprocess.Popen(
            [program, "publish", folder / "model.onnx", *options],
            stdout=subprocess.PIPE,
            stderr=write,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
        ) as process:
            shown = read_to(read, "\x1b[?25h")  # the bar is gone
            written, _ = process.communicate()
        assert process.returncode == 0
        assert "publishing tiny:1.0.0" in shown
        assert "\u2501" in shown  # the bar
        assert json.loads(written)["model"].startswith("tiny:1.0.0@")
