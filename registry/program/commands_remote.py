"""The commands that communicate with other registries over HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from ..errors import BadInput
from .options import (
    Actor,
    AsJson,
    Ref,
    Root,
    echo,
    open_reader,
    pin_document,
    registry_to_add_to,
)

if TYPE_CHECKING:
    from ..remote import Transfer
    from ..store import Registry

__all__ = ["add_remote"]


class _Options(TypedDict):
    """The options that pull and --follow pass on as they are."""

    plain_http: bool
    actor: str | None
    reason: str | None


_Remote = Annotated[
    str, typer.Argument(metavar="REMOTE", help="HOST[:PORT]/REPOSITORY[:TAG][@sha256:...]")
]
_PlainHttp = Annotated[
    bool, typer.Option("--plain-http", help="Allow unencrypted HTTP to other machines.")
]


def add_remote(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (push, pull, serve):
        app.command()(command)


def push(
    ref: Ref,
    remote: _Remote,
    *,
    plain_http: _PlainHttp = False,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Copy a version to another registry.

    If the reference names an alias, the alias is moved there, too.
    """
    from .. import remote as library  # noqa: PLC0415 - the other commands need no HTTP

    done = library.push(open_reader(registry), ref, remote, plain_http=plain_http)
    _print(done, "pushed to", as_json=as_json)


def pull(
    remote: _Remote,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[:VERSION]]",
            help="Local name of the model, and the version it must be; with --follow, NAME[:ALIAS].",
        ),
    ] = None,
    *,
    following: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Keep the local alias NAME:ALIAS equal to the alias that REMOTE names, until "
            "SIGTERM; prints one JSON line per event.",
        ),
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Mean time between two checks of --follow.")
    ] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="With --follow: check once.")] = False,
    plain_http: _PlainHttp = False,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why, recorded in the journal. Default: the source."),
    ] = None,
    actor: Actor = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Copy a version from another registry.

    Nothing becomes visible before all of it is verified. The registry is created if it does not exist.
    """
    if once and not following:
        raise BadInput("--once needs --follow")
    from .. import remote as library  # noqa: PLC0415 - the other commands need no HTTP

    name, _, tag = (model or "").partition(":")
    options: _Options = {"plain_http": plain_http, "actor": actor, "reason": reason}
    with registry_to_add_to(registry) as store:
        # Both calls take the same arguments, but `tag` is the version to pull or the local alias to move.
        arguments = (store, remote, name or None, tag or None)
        if following:
            _follow(arguments, options, once=once, interval_s=interval)
        else:
            _print(library.pull(*arguments, **options), "pulled from", as_json=as_json)


def _follow(
    arguments: tuple[Registry, str, str | None, str | None],
    options: _Options,
    *,
    once: bool,
    interval_s: float,
) -> None:
    """Follow an alias until a signal, or check it once."""
    from .. import remote as library  # noqa: PLC0415 - the other commands need no HTTP
    from ..remote.json_log import logger  # noqa: PLC0415 - only --follow and serve log
    from ..remote.stop_signals import stopping  # noqa: PLC0415 - only --follow runs until a signal

    with stopping() as stop, contextlib.suppress(library.Stopped):
        follower = library.AliasFollower(*arguments, **options, stop=stop)
        if once:
            library.follow_once(follower, log=logger())
        else:
            library.follow(follower, log=logger(), stop=stop, interval_s=interval_s)


def serve(
    *,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0: any free port.")
    ] = "127.0.0.1:5000",
    registry: Root = None,
) -> None:
    """Serve the registry over HTTP, read-only.

    Anything that pulls from OCI registries can pull from it.
    """
    from .. import remote as library  # noqa: PLC0415 - the other commands need no HTTP
    from ..remote.json_log import logger  # noqa: PLC0415 - only --follow and serve log

    library.serve(open_reader(registry), listen, logger())


def _print(done: Transfer, verb: str, *, as_json: bool) -> None:
    tags = f" ({', '.join(done.tags)})" if done.tags else ""
    along = f", {done.attached} attached" if done.attached else ""
    summary = f"{verb} {done.remote}{tags}: {done.blobs} blobs, {done.size} bytes sent{along}"
    document = dataclasses.asdict(done) | {"pin": pin_document(done.pin)}
    echo(document, [summary, str(done.pin)], as_json=as_json)
