"""What all four programs have in common: version, help, completion, one line for an unknown option."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

import spikewatch

PROGRAMS = ("spikewatchd", "spikewatch-convert", "spikewatch-registry", "spikewatch-sim")
BIN = Path(sysconfig.get_path("scripts"))


def output(*command: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "80"} | environment,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if not code else done.stderr


def commands(help_text: str) -> list[str]:
    """Return the names in the list of commands."""
    listed = help_text.partition("Commands:\n")[2]
    return re.findall(r"^  (\S+)", listed, flags=re.MULTILINE)


def pages(*command: str) -> dict[str, str]:
    """Return the help of a program and of all its commands, by the words that are typed."""
    page = output(*command, "-h")
    found = {" ".join(command): page}
    for name in commands(page):
        found |= pages(*command, name)
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_page_of_help_is_plain_whole_and_within_80_columns(program: str) -> None:
    found = pages(program)
    assert len(found) > 5
    for typed, page in found.items():
        assert page.startswith(f"Usage: {typed} "), typed
        assert page.isascii(), typed  # no frames
        assert max(map(len, page.splitlines())) <= 80, typed
        cut = [line for line in page.splitlines()[1:] if line.endswith("...")]
        assert not cut, typed
        assert "-h, --help" in page, typed


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_version_is_the_packages(program: str) -> None:
    assert output(program, "--version") == f"{program} {spikewatch.__version__}\n"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_shell_completes_commands(program: str) -> None:
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    # With detection, the option takes no name, and the shell is that of the process that started pytest.
    script = output(
        program, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert f"{variable}=complete_bash" in script
    found = output(
        program, **{variable: "complete_bash", "COMP_WORDS": f"{program} ", "COMP_CWORD": "1"}
    )
    assert found.split() == commands(output(program, "-h"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_option_is_refused_with_a_pointer_to_the_help(program: str) -> None:
    refused = output(program, "--nonsense", code=2).splitlines()
    assert refused[-1] == "Error: No such option: --nonsense"
    assert f"Try '{program} -h' for help." in refused
