"""All four programs: standard streams that are closed, full or gone, wrong variables, and line breaks in paths."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from test_programs import BIN, PROGRAMS

from spikewatch.convert.cli import main as convert
from spikewatch.daemon.cli import main as daemon
from spikewatch.registry import Registry
from spikewatch.registry.cli import main as registry
from spikewatch.simcore.cli import main as sim

if TYPE_CHECKING:
    from pathlib import Path

MAIN = {
    "spikewatchd": daemon,
    "spikewatch-convert": convert,
    "spikewatch-registry": registry,
    "spikewatch-sim": sim,
}

READING = [
    "spikewatch-registry list",
    "spikewatch-registry verify",
    "spikewatch-sim inspect trec:production",
    "spikewatch-convert explain trec:production Who?",
    "spikewatchd check --spool spool",
    "spikewatchd status --spool spool",
]


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that finds the programs; standard output is the shell's own."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"} | environment,
    )


Run = Callable[..., tuple[Any, str]]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a program in this process; it returns the exit code and standard error."""
    monkeypatch.chdir(folder)

    def call(program: str, *arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as caught:
            MAIN[program]()
        return caught.value.code, capsys.readouterr().err

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "q.txt").write_text("Who wrote Hamlet ?\n")
    (tmp_path / "r.txt").write_text("What is a fear of bees ?\n")
    shell("spikewatchd put --spool spool --create --name first.txt q.txt", tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", READING)
def test_a_full_or_broken_standard_output_is_one_line_and_code_2(
    folder: Path, command: str
) -> None:
    for broken, reason in (
        (f"{command} > /dev/full", "No space left on device"),
        (f"{command} | true; exit ${{PIPESTATUS[0]}}", "Broken pipe"),
    ):
        done = shell(broken, folder)
        assert done.returncode == 2
        assert done.stderr == (
            f"{command.split(maxsplit=1)[0]}: standard output: {reason}: not all of the result was printed;"
            " what was changed stays changed\n"
        )


@pytest.mark.parametrize("command", READING)
def test_a_closed_standard_output_is_one_that_nobody_reads(folder: Path, command: str) -> None:
    done = shell(f"{command} >&- <&-", folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_full_standard_error_leaves_the_exit_code(folder: Path, program: str) -> None:
    assert shell(f"{program} --nonsense 2> /dev/full", folder).returncode == 2
    assert shell(f"{program} --nonsense 2>&-", folder).returncode == 2
    assert shell(f"{program} -h > /dev/full 2> /dev/full", folder).returncode == 2


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_that_cannot_be_printed_is_one_line(folder: Path, program: str) -> None:
    done = shell(f"{program} -h > /dev/full", folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_put_says_what_it_has_dropped_where_its_names_cannot_be_printed(folder: Path) -> None:
    done = shell("spikewatchd put --spool spool q.txt r.txt > /dev/full", folder)
    assert done.returncode == 2
    assert done.stderr == (
        "spikewatchd: q.txt, r.txt: dropped, but standard output takes no names: No space left on device\n"
    )
    assert {"q.txt", "r.txt"} < {path.name for path in (folder / "spool" / "in").iterdir()}


def test_put_without_standard_streams_drops_its_files(folder: Path) -> None:
    done = shell("spikewatchd put --spool spool q.txt <&- >&- 2>&-", folder)
    assert done.returncode == 0
    assert (folder / "spool" / "in" / "q.txt").read_text() == "Who wrote Hamlet ?\n"
    done = shell("spikewatchd put --spool spool - --name x.txt <&-", folder)
    assert (done.returncode, done.stderr) == (2, "spikewatchd: -: standard input is closed\n")


def test_a_change_that_cannot_be_printed_is_made(folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "labels.json").write_text('["A"]')
    done = shell("spikewatch-registry publish qa 1.0.0 files --registry models > /dev/full", folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert Registry(folder / "models").resolve("qa:1.0.0")


VARIABLES = {
    ("SPIKEWATCHD_SCAN_S", "abc"): "'abc' is not a valid float.",
    ("SPIKEWATCHD_GROUP_FILES", "1.5"): "'1.5' is not a valid int",
    ("SPIKEWATCHD_ONCE", "maybe"): "'maybe' is not a valid boolean.",
    ("SPIKEWATCHD_DURABILITY", "all"): "'all' is not one of",
}


@pytest.mark.parametrize(("name", "value"), VARIABLES)
def test_a_variable_of_a_wrong_type_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    code, said = run("spikewatchd", "check", "--spool", "spool")
    assert code == 2
    assert said.startswith(f"spikewatchd: {name}: {VARIABLES[name, value]}")
    assert said.count("\n") == 1


def test_an_option_of_a_wrong_type_gets_its_usage(run: Run) -> None:
    code, said = run("spikewatchd", "check", "--spool", "spool", "--scan-s", "abc")
    assert code == 2
    assert said.startswith("Usage: ")


BREAK = "a\nb\u2028\x1b[2J"
PATHS = [
    ("spikewatchd", "put", "--spool", BREAK, "q.txt"),
    ("spikewatchd", "put", "--spool", "spool", f"{BREAK}.txt"),
    ("spikewatchd", "run", "--config", BREAK),
    ("spikewatchd", "run", "--spool", "spool", "--log-file", f"{BREAK}/x"),
    ("spikewatchd", "status", "--spool", BREAK),
    ("spikewatchd", "reload", "--spool", BREAK),
    ("spikewatchd", "batch", BREAK, "--out", "out"),
    ("spikewatch-registry", "list", "--registry", BREAK),
    ("spikewatch-registry", "import", BREAK, "--registry", "models"),
    ("spikewatch-registry", "publish", "qa", "1.0.0", BREAK, "--registry", "models"),
    ("spikewatch-registry", "verify", "--key", BREAK),
    ("spikewatch-registry", "export", "trec:production", f"{BREAK}/x"),
    ("spikewatch-registry", "pull", BREAK, "--registry", "models"),
    ("spikewatch-sim", "inspect", BREAK),
    ("spikewatch-sim", "run", "trec:production", "--spikes", BREAK),
    ("spikewatch-convert", "explain", "trec:production", "Who?", "--registry", BREAK),
    ("spikewatch-convert", "evaluate", "trec:production", "--data", BREAK),
]


@pytest.mark.parametrize("command", PATHS, ids=" ".join)
def test_a_path_with_line_breaks_is_refused_in_one_line(run: Run, command: tuple[str, ...]) -> None:
    code, said = run(*command)
    assert code in {1, 2}
    assert said.startswith(f"{command[0]}: ")
    assert len(said.splitlines()) == 1
    assert said.rstrip("\n").isprintable()
    assert "a\\nb\\u2028\\x1b[2J" in said or "a%0Ab" in said


def test_names_with_line_breaks_stay_one_line_each(folder: Path) -> None:
    (folder / "x\ny.txt").write_text("Who ?\n")
    done = shell("spikewatchd put --spool spool x*y.txt q.txt", folder)
    assert done.stdout == "x%0Ay.txt\nq.txt\n"
    done = shell("spikewatch-registry export trec:production $'x\\ny.tar'", folder)
    assert len(done.stdout.splitlines()) == 3
    assert done.stdout.startswith("x\\ny.tar: trec:")


PIPES = [
    ("spikewatch-sim", "inspect", "pipe"),
    ("spikewatch-sim", "run", "trec:production", "--spikes", "pipe"),
    ("spikewatch-sim", "run", "trec:production", "--ticks", "2", "--out", "pipe"),
    ("spikewatch-registry", "import", "pipe", "--registry", "models"),
    ("spikewatch-registry", "verify", "--key", "pipe"),
    ("spikewatch-convert", "evaluate", "trec:production", "--data", "pipe"),
    ("spikewatch-convert", "report", "trec:production", "--out", "pipe"),
    ("spikewatchd", "check", "--config", "pipe"),
]


@pytest.mark.parametrize("command", PIPES, ids=" ".join)
def test_a_pipe_is_refused_and_not_waited_for(
    run: Run, folder: Path, command: tuple[str, ...]
) -> None:
    os.mkfifo(folder / "pipe")
    code, said = run(*command)
    assert code == 2
    assert said.startswith(f"{command[0]}: ")
    assert "pipe: a named pipe, expected a file\n" in said
    assert said.count("\n") == 1
