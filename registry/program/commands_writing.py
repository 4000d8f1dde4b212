"""The commands that change a registry: parse, one call into the library, print."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..store import GRACE, Registry
from ..times import parse_time
from . import tables
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
    given,
    given_object,
    named,
    pinned,
    writable,
)

__all__ = ["add_writing"]

alias_app = typer.Typer(help="Names that can move from version to version.", no_args_is_help=True)


def add_writing(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (init, publish, rollback, attach, sign, withdraw, repair, gc):
        app.command()(command)
    app.command("import")(import_)
    app.add_typer(alias_app, name="alias")


def init(*, registry: Root = None, as_json: AsJson = False) -> None:
    """Create a registry, or check that there can be one."""
    root = Registry.init(named(registry)).root
    echo({"registry": str(root)}, [f"{root} is a registry"], as_json=as_json)


def publish(
    name: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="SemVer, such as 1.0.0.")],
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="The model's files, at the paths that they keep."),
    ],
    *,
    alias: Annotated[str | None, typer.Option(metavar="ALIAS", help="Moved to it.")] = None,
    created: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="RFC 3339; part of the digest. Default: now."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What ModelPack's config says of a model, as JSON."),
    ] = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Publish the files of a folder as a version, for good."""
    pin = writable(registry).publish(
        name,
        version,
        folder_files(source),
        created=None if created is None else parse_time(created),
        config={} if config is None else given_object(config),
        alias=alias,
        actor=actor,
        reason=reason,
    )
    echo(pinned(pin), [f"published {pin}"], as_json=as_json)


@alias_app.command("set")
def alias_set(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Made when it is absent.")],
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="As elsewhere, or just 1.0.0 or sha256:...")
    ],
    *,
    expect: Expect = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version."""
    pin = writable(registry).set_alias(name, alias, ref, expect=expect, actor=actor, reason=reason)
    echo({"alias": alias} | pinned(pin), [f"{name}:{alias} is {pin}"], as_json=as_json)


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
    digest = writable(registry).remove_alias(name, alias, expect=expect, actor=actor, reason=reason)
    document = {"name": name, "alias": alias, "was": digest}
    echo(document, [f"{name}:{alias} is gone, it was {digest}"], as_json=as_json)


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
    pin = writable(registry).rollback(name, alias, expect=expect, actor=actor, reason=reason)
    echo({"alias": alias} | pinned(pin), [f"{name}:{alias} is {pin} again"], as_json=as_json)


def attach(
    ref: Ref,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON object, as eval.json.")],
    *,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Attach a later evaluation to a version, which stays as it is."""
    store = writable(registry)
    tag = store.attach(ref, given(file), created=None, actor=actor, reason=reason)
    _attached(store, ref, tag, as_json=as_json)


def sign(
    ref: Ref,
    *,
    key: Annotated[Path, typer.Option(metavar="FILE", help="Ed25519 private key, PEM (PKCS#8).")],
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Sign a version."""
    store = writable(registry)
    tag = store.sign(ref, given(key), actor=actor, reason=reason)
    _attached(store, ref, tag, as_json=as_json)


def _attached(store: Registry, ref: str, tag: str, *, as_json: bool) -> None:
    pin = store.resolve(ref)
    echo({"tag": tag} | pinned(pin), [f"{pin} has {tag.partition('.')[2]}"], as_json=as_json)


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="An OCI archive, or a layout's directory.")
    ],
    *,
    alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Moved to the version, if it is one.")
    ] = None,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Import versions from an OCI archive or layout.

    All of them are verified before any becomes visible.
    """
    pins = writable(registry).import_(source, alias=alias, actor=actor, reason=reason)
    echo([pinned(pin) for pin in pins], [str(pin) for pin in pins], as_json=as_json)


def withdraw(
    name: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="No alias may mean it.")],
    *,
    reason: Reason = "",
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a version from use.

    Its number stays taken: no other files can be published under it.
    """
    digest = writable(registry).withdraw(name, version, actor=actor, reason=reason)
    document = {"name": name, "version": version, "was": digest}
    echo(document, [f"{name}:{version}@{digest} is withdrawn"], as_json=as_json)


def repair(name: Name, *, registry: Root = None, as_json: AsJson = False) -> None:
    """Write a model's index anew from its journal, then verify."""
    found = writable(registry).repair(name)
    echo({"ok": found.ok} | dataclasses.asdict(found), tables.report(found), as_json=as_json)
    if not found.ok:
        raise typer.Exit(1)


def gc(
    name: OneName = None,
    *,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="Leave alone what is younger.")
    ] = GRACE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Remove the bytes that no version needs, and what crashes left."""
    found = writable(registry).gc(name, grace=grace, dry_run=dry_run)
    documents = [dataclasses.asdict(each) for each in found]
    echo(documents, tables.collected(found, dry_run=dry_run), as_json=as_json)
