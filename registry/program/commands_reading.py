"""The commands that only read: parse, one call into the library, print."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from ..times import parse_time
from . import tables
from .options import AsJson, Name, OneName, Ref, Root, echo, given, pinned, readable

__all__ = ["add_reading"]


def add_reading(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command, name in (
        (list_, "list"),
        (show, None),
        (resolve, None),
        (history, None),
        (diff, None),
        (export, None),
        (verify, None),
    ):
        app.command(name)(command)


def list_(
    name: OneName = None,
    *,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Only models that know this class.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Only with this figure: 'spiking.accuracy>=0.85'."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only made since, as 2026-01-31.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only made until, as 2026-01-31.")
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="KEY", help="version, created or a figure; '-' first: reversed.")
    ] = "version",
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """List versions and the aliases that point to them."""
    entries = readable(registry).list(
        name, labels=label or (), where=where or (), since=since, until=until, sort=sort
    )
    echo([dataclasses.asdict(each) for each in entries], tables.entries(entries), as_json=as_json)


def show(ref: Ref, *, registry: Root = None, as_json: AsJson = False) -> None:
    """Show a version: its figures, files, config and aliases."""
    details = readable(registry).show(ref)
    document = dataclasses.asdict(details) | {"pin": pinned(details.pin)}
    echo(document, tables.details(details), as_json=as_json)


def resolve(ref: Ref, *, registry: Root = None, as_json: AsJson = False) -> None:
    """Print what a reference means now, as a pin that cannot move."""
    pin = readable(registry).resolve(ref)
    echo(pinned(pin), [str(pin)], as_json=as_json)


def history(
    name: Name,
    tag: Annotated[
        str | None, typer.Argument(metavar="[TAG]", help="One version or alias only.")
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Print what TAG meant then, as 2026-01-31T12:00:00Z."),
    ] = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, oldest first.

    With --at, show instead what TAG pointed to at that time.
    """
    store = readable(registry)
    if at is None:
        events = store.history(name, tag)
        echo([dataclasses.asdict(each) for each in events], tables.events(events), as_json=as_json)
        return
    if tag is None:
        raise BadInput("--at: say of which version or alias, as: history NAME production --at TIME")
    pin = store.resolve(f"{name}:{tag}", at=parse_time(at))
    echo(pinned(pin), [str(pin)], as_json=as_json)


def diff(
    left: Annotated[str, typer.Argument(metavar="LEFT", help="As REF elsewhere.")],
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="As REF elsewhere.")],
    *,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: files, tensors, config and figures."""
    found = readable(registry).diff(left, right)
    document = dataclasses.asdict(found)
    document |= {"left": pinned(found.left), "right": pinned(found.right)}
    echo(document, tables.difference(found), as_json=as_json)


def export(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="As elsewhere, or just the model's name.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive; replaced.")],
    *,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Write a version or a whole model to an OCI archive.

    skopeo and other OCI tools read the archive.
    """
    found = readable(registry).export(ref, file)
    lines = [f"{file}: {found.name}:{tag}" for tag in found.tags]
    echo(dataclasses.asdict(found), [*lines, f"{found.size} bytes"], as_json=as_json)


def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One model only; with --key also one REF."),
    ] = None,
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ed25519 public key, PEM: each version must be signed by it."
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read the files: tensors' bounds, JSON, graphs.")
    ] = False,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of a registry.

    Exit with 0 if it is clean, 1 if it is not, 2 if it could not be checked.
    """
    found = readable(registry).verify(name, deep=deep, key=None if key is None else given(key))
    echo({"ok": found.ok} | dataclasses.asdict(found), tables.report(found), as_json=as_json)
    if not found.ok:
        raise typer.Exit(1)
