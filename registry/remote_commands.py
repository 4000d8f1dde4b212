"""The commands of ``spikewatch-registry`` that speak HTTP: parse, one call, print."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import BadInput
from .store import Registry, bundled

__all__ = ["app"]

app = typer.Typer()

_Root = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar="SPIKEWATCH_REGISTRY",
        metavar="DIR",
        help="The registry's directory.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PlainHttp = Annotated[
    bool, typer.Option("--plain-http", help="Allow HTTP without encryption to other machines.")
]


def _open(root: Path | None) -> Registry:
    if root is None:
        raise BadInput("say which registry: --registry DIR, or SPIKEWATCH_REGISTRY")
    return Registry(root)


def _print(done: Any, verb: str, *, as_json: bool) -> None:
    if as_json:
        document = dataclasses.asdict(done)
        document["pin"] |= {"pin": str(done.pin)}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    tags = f" ({', '.join(done.tags)})" if done.tags else ""
    typer.echo(f"{verb} {done.remote}{tags}: {done.blobs} blobs, {done.size} bytes sent")
    typer.echo(str(done.pin))


@app.command()
def push(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="model:1.0.0, model:alias or model@sha256:...")
    ],
    remote: Annotated[
        str, typer.Argument(metavar="REMOTE", help="HOST/REPOSITORY[:TAG] or ...@sha256:...")
    ],
    *,
    registry: _Root = None,
    plain_http: _PlainHttp = False,
    as_json: _Json = False,
) -> None:
    """Copy a version, and the alias if one is named, to another registry."""
    from .remote import push as copy  # noqa: PLC0415 - the other commands need no HTTP

    done = copy(_open(registry), ref, remote, plain_http=plain_http)
    _print(done, "pushed to", as_json=as_json)


@app.command()
def pull(
    remote: Annotated[
        str, typer.Argument(metavar="REMOTE", help="HOST/REPOSITORY[:TAG] or ...@sha256:...")
    ],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[:VERSION]]",
            help="What to call it here, and the version that it must be; with --follow, the alias.",
        ),
    ] = None,
    *,
    registry: _Root = None,
    following: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Keep the alias NAME:ALIAS at the one that REMOTE names, until SIGTERM; "
            "prints one JSON line for each event.",
        ),
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Mean time between looks of --follow.")
    ] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Let --follow look once.")] = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")
    ] = None,
    plain_http: _PlainHttp = False,
    as_json: _Json = False,
) -> None:
    """Copy a version from another registry; nothing is written before all of it is verified."""
    store = _open(registry)
    name, _, tag = (model or "").partition(":")
    if once and not following:
        raise BadInput("--once goes with --follow")
    from . import remote as library  # noqa: PLC0415 - the other commands need no HTTP

    if not following:
        done = library.pull(
            store, remote, name or None, tag or None, plain_http=plain_http, reason=reason
        )
        _print(done, "pulled from", as_json=as_json)
        return
    from .remote import events  # noqa: PLC0415 - likewise

    with events.stopping() as stop, contextlib.suppress(library.Stopped):
        follower = library.Follower(
            store,
            remote,
            name or None,
            tag or None,
            plain_http=plain_http,
            reason=reason,
            stop=stop,
        )
        if once:
            library.follow_once(follower, log=events.logger())
        else:
            library.follow(follower, log=events.logger(), stop=stop, interval_s=interval)


@app.command()
def serve(
    *,
    registry: Annotated[
        Path | None,
        typer.Option(
            "--registry",
            envvar="SPIKEWATCH_REGISTRY",
            metavar="DIR",
            help="The registry's directory; the bundled one by default.",
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where; port 0 is any free one.")
    ] = "127.0.0.1:5000",
) -> None:
    """Serve the registry, read-only, to anything that pulls from OCI registries."""
    from .remote import events  # noqa: PLC0415 - the other commands need no HTTP
    from .remote import serve as run  # noqa: PLC0415 - likewise

    run(Registry(bundled() if registry is None else registry), listen, events.logger())
