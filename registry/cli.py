"""The program ``spikewatch-registry``."""

from __future__ import annotations

import sys

import typer

from .errors import RegistryError
from .program.commands_reading import add_reading
from .program.commands_remote import add_remote
from .program.commands_writing import add_writing

app = typer.Typer(
    help="Models with immutable versions and movable aliases, in plain files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich is slow to import, and not needed for plain tables
)
add_reading(app)
add_writing(app)
add_remote(app)


def main() -> None:
    """Run the program; a failure is one line on stderr and exit code 2."""
    try:
        app()
    except RegistryError as e:
        typer.echo(f"spikewatch-registry: {e}", err=True)
        sys.exit(2)
