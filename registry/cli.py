"""The program `spikewatch-registry`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated, Final

import typer

from ..command_line import Program, run, stopped_by_signals
from .errors import RegistryError
from .program.commands_reading import add_reading
from .program.commands_remote import add_remote
from .program.commands_writing import add_writing

PROGRAM: Final = "spikewatch-registry"

app = Program(PROGRAM)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__  # noqa: PLC0415 - looked up in the installed files, only when asked for

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Store models with immutable versions and movable aliases, in plain files."""


add_reading(app)
add_writing(app)
add_remote(app)


def main() -> None:
    """Run the program; print a failure as one line on stderr, and exit with code 2."""
    runs_on = sys.argv[1:2] == ["serve"] or {"pull", "--follow"} <= set(sys.argv)
    with stopped_by_signals() if runs_on else nullcontext():
        run(app, PROGRAM, lambda e: (str(e), 2) if isinstance(e, RegistryError) else None)
