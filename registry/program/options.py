"""Define the options and arguments that commands share, read the files they name, and print results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...command_line import one_line
from ..errors import BadInput, Corrupt, shown
from ..formats.json_documents import parse_json
from ..formats.manifest import MAX_LAYER, MAX_MANIFEST
from ..layout.files import read_regular, storage
from ..store import Registry, bundled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    "open_reader",
    "open_registry",
    "pin_document",
    "read_input",
    "read_json_object",
    "registry_to_add_to",
    "required_root",
]

VARIABLE = "SPIKEWATCH_REGISTRY"

Root = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar=VARIABLE,
        metavar="DIR",
        help="Directory of the registry. Commands that only read default to the bundled registry.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Ref = Annotated[
    str,
    typer.Argument(metavar="REF", help="A version: model:1.0.0, model:alias or model@sha256:..."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
OneName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this model.")]
Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="Name of the alias.")]
Expect = Annotated[
    str | None,
    typer.Option(
        metavar="DIGEST",
        help="Refuse unless the alias points to this digest now; 'absent': unless there is none.",
    ),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, recorded in the journal.")]
Actor = Annotated[
    str | None,
    typer.Option("--as", metavar="WHO", help="Who, recorded in the journal. Default: user@host."),
]


def open_reader(root: Path | None) -> Registry:
    """Open the registry for reading; without a directory, the bundled one."""
    return Registry(bundled() if root is None else root)


def open_registry(root: Path | None) -> Registry:
    """Open the registry for writing.

    Raises
    ------
    BadInput
        The user named no directory.

    """
    return Registry(required_root(root))


@contextlib.contextmanager
def registry_to_add_to(root: Path | None) -> Iterator[Registry]:
    """Open the registry that a command adds to, and create it if it does not exist.

    `spikewatch-convert publish` does the same.  A registry that was created is removed again if the command fails, so
    that a mistake leaves nothing.

    Raises
    ------
    BadInput
        The user named no directory.
    StorageError
        The directory cannot be created.

    """
    path = required_root(root)
    new = not path.exists()
    try:
        yield Registry.init(path) if new else Registry(path)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):  # it was not created, or something is in it already
                path.rmdir()
        raise


def required_root(root: Path | None) -> Path:
    """Return the directory of the registry to change.

    Raises
    ------
    BadInput
        The user named no directory; the bundled registry belongs to the package and is never changed.

    """
    if root is None:
        raise BadInput(f"name the registry to change with --registry DIR or {VARIABLE}")
    return root


def read_input(path: Path) -> bytes:
    """Read a small file that the user named: a key or an evaluation.

    Raises
    ------
    BadInput
        There is no such file.
    Corrupt
        It is not a regular file, or larger than `MAX_MANIFEST` bytes.
    StorageError
        The file cannot be read.

    """
    try:
        return read_regular(path, limit=MAX_MANIFEST)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file that the user named.

    Raises
    ------
    BadInput
        There is no such file, or the document is not an object.
    Corrupt
        The file is not valid JSON, not a regular file, or larger than `MAX_MANIFEST` bytes.
    StorageError
        The file cannot be read.

    """
    found = parse_json(read_input(path), what=str(path))
    if not isinstance(found, dict):
        raise BadInput(f"{path}: is {shown(found)}, not a JSON object")
    return found


def folder_files(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder that the user named, hidden files included.

    Returns
    -------
    dict of str to bytes
        Content by path relative to the folder, with slashes.

    Raises
    ------
    BadInput
        There is no such folder, it contains no file, or it contains a symbolic link, a device or a file larger than
        `MAX_LAYER` bytes.
    StorageError
        The folder or a file in it cannot be read.

    """
    with storage(f"reading {folder}"):
        exists = folder.is_dir()
    if not exists:
        raise BadInput(f"{folder}: no such folder")
    with storage(f"reading {folder}"):
        # Links to folders are kept, so that `read_regular` refuses them: `rglob` would skip their files silently.
        paths = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    if not paths:
        raise BadInput(f"{folder}: contains no files")
    try:
        return {
            path.relative_to(folder).as_posix(): read_regular(path, limit=MAX_LAYER)
            for path in paths
        }
    except Corrupt as e:
        raise BadInput(str(e)) from None


def echo(document: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result: the document as JSON for programs, or the lines for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(one_line(line))


def pin_document(pin: Pin) -> dict[str, Any]:
    """Return a pin as a JSON object, its text included."""
    return dataclasses.asdict(pin) | {"pin": str(pin)}
