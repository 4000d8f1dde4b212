"""The commands that change a registry."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..operations import GRACE
from ..store import Registry
from ..times import parse_time
from . import text_output
from .options import (
    Actor,
    Alias,
    AsJson,
    Expect,
    Name,
    OneName,
    Reason,
    Ref,
    Root,
    echo,
    folder_files,
    open_registry,
    pin_document,
    read_input,
    read_json_object,
    registry_to_add_to,
    required_root,
)

__all__ = ["add_writing"]

alias_app = typer.Typer(
    help="Set and remove aliases, which point at versions.",
    no_args_is_help=True,
)


def add_writing(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (init, publish, rollback, attach, sign, withdraw, repair, gc):
        app.command()(command)
    app.command("import")(import_)
    app.add_typer(alias_app, name="alias")


def init(*, registry: Root = None, as_json: AsJson = False) -> None:
    """Create a registry.

    The file system must support hard links.
    """
    root = Registry.init(required_root(registry)).root
    echo({"registry": str(root)}, [f"{root} is a registry"], as_json=as_json)


def publish(
    name: Name,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A SemVer version, such as 1.0.0.")
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of the model's files; their paths are kept."),
    ],
    *,
    alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Alias to move to the version.")
    ] = None,
    created: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Time of creation (RFC 3339), part of the digest. Default: now."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ModelPack's description of the model (a JSON object)."),
    ] = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Publish the files of a folder as an immutable version.

    The registry is created if it does not exist.
    """
    files = folder_files(source)
    with registry_to_add_to(registry) as store:
        pin = store.publish(
            name,
            version,
            files,
            created=None if created is None else parse_time(created),
            config={} if config is None else read_json_object(config),
            alias=alias,
            actor=actor,
            reason=reason,
        )
    echo(pin_document(pin), [f"published {pin}"], as_json=as_json)


@alias_app.command("set")
def alias_set(
    name: Name,
    alias: Annotated[
        str, typer.Argument(metavar="ALIAS", help="Name of the alias; created if absent.")
    ],
    ref: Annotated[
        str,
        typer.Argument(metavar="REF", help="A version of the model: also just 1.0.0 or sha256:..."),
    ],
    *,
    expect: Expect = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version."""
    pin = open_registry(registry).set_alias(
        name, alias, ref, expect=expect, actor=actor, reason=reason
    )
    echo({"alias": alias} | pin_document(pin), [f"{name}:{alias} is {pin}"], as_json=as_json)


@alias_app.command("rm")
def alias_rm(
    name: Name,
    alias: Alias,
    *,
    expect: Expect = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Remove an alias."""
    digest = open_registry(registry).remove_alias(
        name, alias, expect=expect, actor=actor, reason=reason
    )
    document = {"name": name, "alias": alias, "was": digest}
    echo(document, [f"removed {name}:{alias}, which pointed to {digest}"], as_json=as_json)


def rollback(
    name: Name,
    alias: Alias,
    *,
    expect: Expect = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias back at its previous version.

    Each further rollback goes one version further back.
    """
    pin = open_registry(registry).rollback(name, alias, expect=expect, actor=actor, reason=reason)
    echo({"alias": alias} | pin_document(pin), [f"{name}:{alias} is {pin} again"], as_json=as_json)


def attach(
    ref: Ref,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The evaluation: a JSON object like eval.json.")
    ],
    *,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Attach a later evaluation to a version.

    The version itself does not change.
    """
    store = open_registry(registry)
    tag = store.attach(ref, read_input(file), created=None, actor=actor, reason=reason)
    _print_attached(store, ref, tag, as_json=as_json)


def sign(
    ref: Ref,
    *,
    key: Annotated[Path, typer.Option(metavar="FILE", help="Ed25519 private key (PEM, PKCS#8).")],
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Sign a version with an Ed25519 key."""
    store = open_registry(registry)
    tag = store.sign(ref, read_input(key), actor=actor, reason=reason)
    _print_attached(store, ref, tag, as_json=as_json)


def _print_attached(store: Registry, ref: str, tag: str, *, as_json: bool) -> None:
    pin = store.resolve(ref)
    echo({"tag": tag} | pin_document(pin), [f"{pin} has {tag.partition('.')[2]}"], as_json=as_json)


def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="An OCI archive, or the directory of an OCI layout."),
    ],
    *,
    alias: Annotated[
        str | None,
        typer.Option(
            metavar="ALIAS", help="Alias to move to the version; SOURCE must have just one."
        ),
    ] = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Import versions from an OCI archive or layout.

    All of them are verified before any becomes visible. The registry is created if it does not exist.
    """
    with registry_to_add_to(registry) as store:
        pins = store.import_(source, alias=alias, actor=actor, reason=reason)
    echo([pin_document(pin) for pin in pins], [str(pin) for pin in pins], as_json=as_json)


def withdraw(
    name: Name,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="The version; no alias may point to it.")
    ],
    *,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a version from use.

    Its number stays taken: no other files can be published under it.
    """
    digest = open_registry(registry).withdraw(name, version, actor=actor, reason=reason)
    document = {"name": name, "version": version, "was": digest}
    echo(document, [f"{name}:{version}@{digest} is withdrawn"], as_json=as_json)


def repair(name: Name, *, registry: Root = None, as_json: AsJson = False) -> None:
    """Rebuild a model's index from its journal, then verify."""
    found = open_registry(registry).repair(name)
    echo(
        {"ok": found.ok} | dataclasses.asdict(found),
        text_output.report_lines(found),
        as_json=as_json,
    )
    if not found.ok:
        raise typer.Exit(1)


def gc(
    name: OneName = None,
    *,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="Keep files younger than this.")
    ] = GRACE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Remove blobs that no version needs, and leftovers of crashes."""
    found = open_registry(registry).gc(name, grace=grace, dry_run=dry_run)
    documents = [dataclasses.asdict(each) for each in found]
    echo(documents, text_output.collected_lines(found, dry_run=dry_run), as_json=as_json)
