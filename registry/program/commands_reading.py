"""The commands that only read the registry."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from ..times import parse_time
from . import text_output
from .options import (
    AsJson,
    Name,
    OneName,
    Ref,
    Root,
    echo,
    open_reader,
    pin_document,
    read_input,
)

__all__ = ["add_reading"]


def add_reading(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
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
        list[str] | None,
        typer.Option(metavar="LABEL", help="Only versions whose model has this class."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Only versions for which this is true: 'spiking.accuracy>=0.85'.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only versions created at this time or later: 2026-01-31."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only versions created until this time: 2026-01-31."),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="KEY", help="Sort by version, created or a figure; -KEY reverses the order."
        ),
    ] = "version",
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """List versions and the aliases that point to them."""
    entries = open_reader(registry).list(
        name, labels=label or (), where=where or (), since=since, until=until, sort=sort
    )
    echo(
        [dataclasses.asdict(each) for each in entries],
        text_output.entry_lines(entries),
        as_json=as_json,
    )


def show(ref: Ref, *, registry: Root = None, as_json: AsJson = False) -> None:
    """Show a version: its figures, files, config and aliases."""
    details = open_reader(registry).show(ref)
    document = dataclasses.asdict(details) | {"pin": pin_document(details.pin)}
    echo(document, text_output.details_lines(details), as_json=as_json)


def resolve(ref: Ref, *, registry: Root = None, as_json: AsJson = False) -> None:
    """Print the version that a reference points to, with its digest."""
    pin = open_reader(registry).resolve(ref)
    echo(pin_document(pin), [str(pin)], as_json=as_json)


def history(
    name: Name,
    tag: Annotated[
        str | None, typer.Argument(metavar="[TAG]", help="Only this version or alias.")
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Print what TAG pointed to at this time: 2026-01-31T12:00:00Z."
        ),
    ] = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, oldest first.

    With --at, show instead what TAG pointed to at that time.
    """
    store = open_reader(registry)
    if at is None:
        events = store.history(name, tag)
        echo(
            [dataclasses.asdict(each) for each in events],
            text_output.event_lines(events),
            as_json=as_json,
        )
        return
    if tag is None:
        raise BadInput("--at needs a version or alias: history NAME production --at TIME")
    pin = store.resolve(f"{name}:{tag}", at=parse_time(at))
    echo(pin_document(pin), [str(pin)], as_json=as_json)


def diff(
    left: Annotated[str, typer.Argument(metavar="LEFT", help="One version: a REF.")],
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="The other version: a REF.")],
    *,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: files, tensors, config and figures."""
    found = open_reader(registry).diff(left, right)
    document = dataclasses.asdict(found)
    document |= {"left": pin_document(found.left), "right": pin_document(found.right)}
    echo(document, text_output.difference_lines(found), as_json=as_json)


def export(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="A version, or the name of a model for all of it.")
    ],
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The archive to write; an existing file is replaced."),
    ],
    *,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Write a version or a whole model to an OCI archive.

    skopeo and other OCI tools read the archive.
    """
    found = open_reader(registry).export(ref, file)
    lines = [f"{file}: {found.name}:{tag}" for tag in found.tags]
    echo(dataclasses.asdict(found), [*lines, f"{found.size} bytes"], as_json=as_json)


def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Only this model; with --key, NAME may be a REF."),
    ] = None,
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ed25519 public key (PEM) that must have signed each version."
        ),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also check the formats: tensor bounds, JSON, ONNX graphs."),
    ] = False,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of a registry.

    Exit with 0 if it is clean, 1 if it is not, 2 if it could not be checked.
    """
    found = open_reader(registry).verify(
        name, deep=deep, key=None if key is None else read_input(key)
    )
    echo(
        {"ok": found.ok} | dataclasses.asdict(found),
        text_output.report_lines(found),
        as_json=as_json,
    )
    if not found.ok:
        raise typer.Exit(1)
