"""What the commands of the program share: their options, and how they print."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import BadInput
from .files import read_regular
from .manifest import MAX_MANIFEST
from .reader import Reader, bundled
from .store import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .values import Pin

__all__ = [
    "VARIABLE",
    "Actor",
    "Alias",
    "AsJson",
    "Expect",
    "Name",
    "OneName",
    "Reason",
    "Ref",
    "Root",
    "echo",
    "given",
    "named",
    "pinned",
    "readable",
    "writable",
]

VARIABLE = "SPIKEWATCH_REGISTRY"

Root = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar=VARIABLE,
        metavar="DIR",
        help="The registry's directory. Reading commands default to the bundled one.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ref = Annotated[
    str, typer.Argument(metavar="REF", help="model:1.0.0, model:alias or model@sha256:...")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]
OneName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model only.")]
Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias.")]
Expect = Annotated[
    str | None,
    typer.Option(metavar="DIGEST", help="Refuse unless it means this now; 'absent' for nothing."),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the journal.")]
Actor = Annotated[
    str | None,
    typer.Option("--as", metavar="WHO", help="Who, for the journal; else user@host."),
]


def readable(root: Path | None) -> Reader:
    """Open the registry for reading."""
    return Reader(bundled() if root is None else root)


def writable(root: Path | None) -> Registry:
    """Open the registry for writing: it must be named."""
    return Registry(named(root))


def named(root: Path | None) -> Path:
    """Give the directory that is to be changed.

    Raises
    ------
    BadInput
        When none is named: the bundled one is nobody's to change.
    """
    if root is None:
        raise BadInput(f"say which registry to change: --registry DIR, or {VARIABLE}")
    return root


def given(path: Path) -> bytes:
    """Read a small file that the user names: a key, an evaluation.

    Raises
    ------
    BadInput
        When it cannot be read, or is larger than any such file.
    """
    try:
        return read_regular(path, limit=MAX_MANIFEST)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None


def echo(document: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print the result, for programs or for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(line)


def pinned(pin: Pin) -> dict[str, Any]:
    """Give a pin as JSON, with its text."""
    return dataclasses.asdict(pin) | {"pin": str(pin)}
