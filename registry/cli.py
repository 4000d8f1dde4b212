"""The program ``spikewatch-registry``: parse, one call into the library, print."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import tables
from .errors import BadInput, RegistryError
from .remote_commands import app as remote_app
from .store import Registry, bundled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .values import Pin, Report

_VARIABLE = "SPIKEWATCH_REGISTRY"

app = typer.Typer(
    help="Models with immutable versions and movable aliases, in plain files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich is slow to import, and not needed for plain tables
)
alias_app = typer.Typer(help="Names that can move from version to version.", no_args_is_help=True)
app.add_typer(alias_app, name="alias")
app.add_typer(remote_app)

_Root = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar=_VARIABLE,
        metavar="DIR",
        help="The registry's directory. Reading commands default to the bundled one.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Ref = Annotated[
    str, typer.Argument(metavar="REF", help="model:1.0.0, model:alias or model@sha256:...")
]


def _readable(root: Path | None) -> Registry:
    return Registry(bundled() if root is None else root)


def _writable(root: Path | None) -> Path:
    if root is None:
        raise BadInput(f"say which registry to change: --registry DIR, or {_VARIABLE}")
    return root


def _print(document: Any, lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(line)


def _pin(pin: Pin) -> dict[str, Any]:
    return dataclasses.asdict(pin) | {"pin": str(pin)}


@app.command()
def init(*, registry: _Root = None, as_json: _Json = False) -> None:
    """Create a registry, or check that there can be one."""
    root = Registry.init(_writable(registry)).root
    _print({"registry": str(root)}, [f"{root} is a registry"], as_json=as_json)


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model only.")] = None,
    *,
    registry: _Root = None,
    as_json: _Json = False,
) -> None:
    """List versions and the aliases that point to them."""
    entries = _readable(registry).list(name)
    documents = [dataclasses.asdict(entry) for entry in entries]
    _print(documents, tables.entries(entries), as_json=as_json)


@app.command()
def show(ref: _Ref, *, registry: _Root = None, as_json: _Json = False) -> None:
    """Show a version: its figures, files, config and aliases."""
    details = _readable(registry).show(ref)
    document = dataclasses.asdict(details) | {"pin": _pin(details.pin)}
    _print(document, tables.details(details), as_json=as_json)


@app.command()
def resolve(ref: _Ref, *, registry: _Root = None, as_json: _Json = False) -> None:
    """Print what a reference means now, as a pin that cannot move."""
    pin = _readable(registry).resolve(ref)
    _print(_pin(pin), [str(pin)], as_json=as_json)


@alias_app.command("set")
def alias_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Made when it is absent.")],
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="As elsewhere, or just 1.0.0 or sha256:...")
    ],
    *,
    registry: _Root = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="Refuse unless it means this now; 'absent' for nothing."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the journal.")] = "",
    as_json: _Json = False,
) -> None:
    """Let an alias point to a version."""
    store = Registry(_writable(registry))
    pin = store.set_alias(name, alias, ref, expect=expect, reason=reason)
    _print({"alias": alias} | _pin(pin), [f"{name}:{alias} is {pin}"], as_json=as_json)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model only.")] = None,
    *,
    registry: _Root = None,
    as_json: _Json = False,
) -> None:
    """Check every byte; exit 0 when clean, 1 when not, 2 when it could not be checked."""
    _report(_readable(registry).verify(name), as_json=as_json)


@app.command()
def repair(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    *,
    registry: _Root = None,
    as_json: _Json = False,
) -> None:
    """Write a model's index anew from its journal, then verify."""
    _report(Registry(_writable(registry)).repair(name), as_json=as_json)


def _report(found: Report, *, as_json: bool) -> None:
    document = {"ok": found.ok} | dataclasses.asdict(found)
    _print(document, tables.report(found), as_json=as_json)
    if not found.ok:
        raise typer.Exit(1)


def main() -> None:
    """Run the program; a failure is one line on stderr and exit code 2."""
    try:
        app()
    except RegistryError as e:
        typer.echo(f"spikewatch-registry: {e}", err=True)
        sys.exit(2)
