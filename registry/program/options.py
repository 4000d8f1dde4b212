"""What the commands of the program share: their options, and how they print."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BadInput, Corrupt
from ..formats.json_documents import parse_json
from ..formats.manifest import MAX_LAYER, MAX_MANIFEST
from ..layout.files import read_regular, storage
from ..reader import Reader, bundled
from ..store import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..values import Pin

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
    "folder_files",
    "given",
    "given_object",
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


def given_object(path: Path) -> dict[str, Any]:
    """Read a JSON object that the user names.

    Raises
    ------
    BadInput
        When it cannot be read, or is anything else.
    """
    found = parse_json(given(path), what=str(path))
    if not isinstance(found, dict):
        raise BadInput(f"{path}: is a JSON {type(found).__name__}, expected an object")
    return found


def folder_files(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder that the user names; hidden files are not left out.

    Returns
    -------
    dict of str to bytes
        Path below the folder, with slashes, to content.

    Raises
    ------
    BadInput
        When it is no folder, is empty, or holds a link, a device or a file beyond the limit.
    """
    with storage(f"reading {folder}"):
        exists = folder.is_dir()
    if not exists:
        raise BadInput(f"{folder}: no such folder")
    with storage(f"reading {folder}"):
        paths = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    if not paths:
        raise BadInput(f"{folder}: holds no file")
    try:
        return {
            path.relative_to(folder).as_posix(): read_regular(path, limit=MAX_LAYER)
            for path in paths
        }
    except Corrupt as e:
        raise BadInput(str(e)) from None


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
