"""The program `spikewatchd`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from .errors import DaemonError
from .settings import DEFAULT_MODEL, Settings

app = typer.Typer(
    help="Answer the question files that are dropped into a folder, on a simulated neuromorphic core.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SpoolOption = Annotated[
    Path, typer.Option("--spool", help="Folder of the spool; made when it does not exist.")
]
RegistryOption = Annotated[
    Path | None,
    typer.Option("--registry", help="Root of the model registry; without it, the bundled one."),
]
ModelOption = Annotated[
    str, typer.Option("--model", help="NAME:VERSION, NAME:ALIAS or NAME@sha256:DIGEST.")
]


@app.command()
def run(
    spool: SpoolOption,
    registry: RegistryOption = None,
    model: ModelOption = DEFAULT_MODEL,
    once: Annotated[
        bool, typer.Option("--once", help="Stop when what was there is answered.")
    ] = False,
    log_format: Annotated[
        str, typer.Option("--log-format", help="json, console, or auto: console on a terminal.")
    ] = "auto",
) -> None:
    """Watch a spool and answer every file that arrives in its in/."""
    from . import logs  # noqa: PLC0415 - put and status start without the log's library
    from .serve import serve  # noqa: PLC0415 - ... and without the simulator

    settings = Settings(spool=spool, registry=registry, model=model, once=once)
    serve(settings, logs.logger(logs.style(log_format)))


@app.command()
def put(
    files: Annotated[list[Path], typer.Argument(help="Files to be answered.")],
    spool: SpoolOption,
) -> None:
    """Drop files into a spool, each whole or not at all; print their names."""
    from .put import put as put_file  # noqa: PLC0415 - the command has the function's name
    from .spool import Spool  # noqa: PLC0415 - not needed by --help

    with Spool.make(spool) as opened:
        for file in files:
            typer.echo(put_file(opened, file))


@app.command()
def status(
    spool: SpoolOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is in a spool and who works on it."""
    from .status import status as look  # noqa: PLC0415 - the command has the function's name

    found = look(spool, now_s=time.time())
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
        return
    for name, folder in found.folders.items():
        age = "" if folder.oldest_age_s is None else f"  oldest {folder.oldest_age_s:.0f} s"
        typer.echo(f"{name:7}{folder.files:8}{age}")
    pid = found.holder_pid
    typer.echo("no daemon" if pid is None else f"daemon: process {pid or 'unknown'}")


@app.command()
def check(
    spool: SpoolOption,
    registry: RegistryOption = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Try everything that the daemon needs: folders, links, leases, lock, model."""
    from .status import check as try_all  # noqa: PLC0415 - the command has the function's name

    good = True
    for finding in try_all(Settings(spool=spool, registry=registry, model=model)):
        good = good and finding.ok
        typer.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.found}")
    if not good:
        raise typer.Exit(code=1)


@app.command()
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Files, or globs in quotes: paths, or URLs of any fsspec store."),
    ],
    out: Annotated[str, typer.Option("--out", help="Folder of the results, a path or a URL.")],
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a Dask scheduler; else this machine works."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes on this machine; default: its cores.")
    ] = None,
    registry: RegistryOption = None,
    model: ModelOption = DEFAULT_MODEL,
    part_mib: Annotated[
        float | None, typer.Option("--part-mib", help="MiB of an input for one task; default: 4.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Answer what is finished again.")] = False,
) -> None:
    """Answer corpora on Dask: many files at once, whole or not at all; a second run goes on."""
    from .batch import commands  # noqa: PLC0415 - Dask is an extra, and takes seconds to import

    given = {"workers": workers, "part_mib": part_mib}
    commands.batch(
        inputs=inputs,
        out=out,
        scheduler=scheduler,
        registry=registry,
        model=model,
        force=force,
        **{name: value for name, value in given.items() if value is not None},
    )


def main() -> None:
    """Run the program; an error of ours is one line on standard error and exit code 2."""
    try:
        app()
    except DaemonError as e:
        sys.stderr.write(f"spikewatchd: {e}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
