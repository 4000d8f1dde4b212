"""The program `spikewatchd`."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer

from ..command_line import OutputError, Program, one_line, stopped_by_signals
from ..command_line import run as run_program
from .configuration import PREFIX, Configuration
from .errors import DaemonError, PutError
from .options import configured
from .settings import ABOUT, DEFAULT_MODEL, DEFAULTS
from .spool.names import printable

PROGRAM: Final = "spikewatchd"

app = Program(PROGRAM)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__  # noqa: PLC0415 - looked up in the installed files, only when asked for

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Answer the question files that are dropped into a folder, on a simulated neuromorphic core."""


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
@configured()
def run(configuration: Configuration) -> None:
    """Watch a spool and answer every file that is dropped into its in/."""
    settings = configuration.load().settings
    from .running.serve import serve  # noqa: PLC0415 - put and status need no simulator

    serve(settings, reread=lambda: configuration.load().settings)


@app.command()
@configured("spool", "done_marker")
def put(
    configuration: Configuration,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Question files to answer; -: standard input."),
    ],
    lane: Annotated[str, typer.Option(metavar="NAME", help="Drop into in/NAME/.")] = "",
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Name in the spool, for standard input or a single file."
        ),
    ] = "",
    create: Annotated[
        bool, typer.Option("--create", help="Create the spool if it does not exist.")
    ] = False,
) -> None:
    """Drop files into a spool, and print their names there.

    Each file arrives whole, and all of them arrive or none.
    """
    from .producer import drops, put_all  # noqa: PLC0415 - not needed by --help

    settings = configuration.load().settings
    dropped = put_all(
        settings.spool,
        drops(files, name, stdin=None if sys.stdin is None else sys.stdin.buffer),
        lane=lane,
        done_marker=settings.done_marker,
        create=create,
    )
    shown = [each if each.isprintable() else printable(each) for each in dropped]
    try:
        typer.echo("\n".join(shown))
    except OutputError as e:
        raise PutError(
            f"{', '.join(shown)}: dropped, but standard output takes no names: {e}", dropped=dropped
        ) from None


@app.command()
@configured("spool")
def status(
    configuration: Configuration,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay on the screen, and refresh.")
    ] = False,
) -> None:
    """Show the files in a spool, its daemon, and the daemon's state."""
    from .monitoring.status import status as read_status  # noqa: PLC0415 - the command has the function's name

    spool = configuration.load().settings.spool
    if watch:
        from rich.console import Console  # noqa: PLC0415 - slow to import

        from .monitoring import status_view  # noqa: PLC0415 - draws with rich

        status_view.watch(spool, Console())
        return
    found = read_status(spool, now_s=time.time())
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
        return
    for lane, folders in {"": found.folders, **found.lanes}.items():
        for name, folder in folders.items():
            age = "" if folder.oldest_age_s is None else f"  oldest {folder.oldest_age_s:.0f} s"
            shown = f"{name}/{lane}" if lane else name
            typer.echo(f"{shown:7}{folder.files:8}{age}")
    if found.shards:
        for number, pid in found.shards.items():
            typer.echo(f"shard {number}: {'no daemon' if pid is None else f'process {pid}'}")
        return
    pid = found.holder_pid
    typer.echo("no daemon" if pid is None else f"daemon: process {pid or 'unknown'}")
    if found.daemon is not None:
        from rich.console import Console  # noqa: PLC0415 - slow to import

        from .monitoring import status_view  # noqa: PLC0415 - draws with rich

        Console().print(status_view.view(found, now_s=time.time()))


@app.command()
@configured()
def check(configuration: Configuration, as_json: AsJson = False) -> None:
    """Show the settings, and test everything that the daemon needs.

    Each setting is shown with its source: flag, environment, file or default.
    """
    from .running.check import check as find  # noqa: PLC0415 - the command has the function's name

    effective = configuration.load()
    findings = list(find(effective.settings))
    good = all(finding.ok for finding in findings)
    if as_json:
        document = {"ok": good, **effective.as_dict(), "findings": [f.as_dict() for f in findings]}
        typer.echo(json.dumps(document))
    else:
        for name, shown in effective.as_dict()["settings"].items():
            typer.echo(f"{name} = {json.dumps(shown['value'])}  ({shown['from']})")
        for finding in findings:
            text = one_line(f"{finding.what}: {finding.found}")
            typer.echo(f"{'ok  ' if finding.ok else 'FAIL'} {text}")
    if not good:
        raise typer.Exit(code=1)


@app.command()
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Files, or quoted globs: paths, or URLs of any fsspec store."
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="Folder for the results: a path or a URL.")],
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a Dask scheduler; default: this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes on this machine; default: one per core."),
    ] = None,
    registry: Annotated[
        Path | None,
        typer.Option(envvar=PREFIX + "REGISTRY", help=ABOUT["registry"].help),
    ] = None,
    model: Annotated[
        str, typer.Option(envvar=PREFIX + "MODEL", help=ABOUT["model"].help)
    ] = DEFAULT_MODEL,
    part_mib: Annotated[
        float | None, typer.Option("--part-mib", help="MiB of an input per task; default: 4.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Answer finished parts again.")] = False,
    encoding: Annotated[
        str, typer.Option(envvar=PREFIX + "ENCODING", help=ABOUT["encoding"].help)
    ] = DEFAULTS["encoding"],
    text_field: Annotated[
        str, typer.Option(envvar=PREFIX + "TEXT_FIELD", help=ABOUT["text_field"].help)
    ] = "",
    id_field: Annotated[
        str, typer.Option(envvar=PREFIX + "ID_FIELD", help=ABOUT["id_field"].help)
    ] = "",
) -> None:
    """Answer many files at once, on Dask.

    Each result is written whole or not at all; a second run continues where the first one ended.

    Unlike `run`, it neither enforces max_input_bytes nor checks for duplicate ids.
    """
    from .batch import commands  # noqa: PLC0415 - Dask is an extra, and takes seconds to import

    given = {"workers": workers, "part_mib": part_mib}
    commands.batch(
        inputs=inputs,
        out=out,
        scheduler=scheduler,
        registry=registry,
        model=model,
        force=force,
        encoding=encoding,
        text_field=text_field,
        id_field=id_field,
        **{name: value for name, value in given.items() if value is not None},
    )


@app.command()
@configured("spool", "shard")
def reload(
    configuration: Configuration,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the result.")] = 60.0,
) -> None:
    """Make the running daemon reload its settings and models."""
    from .running.reload_command import reload as request_reload  # noqa: PLC0415 - the command has the function's name

    settings = configuration.load().settings
    typer.echo(request_reload(settings.spool, settings.shard, patience_s=timeout))


def main() -> None:
    """Run the program; a DaemonError becomes one line on standard error and an exit code."""
    with stopped_by_signals() if sys.argv[1:2] == ["run"] else nullcontext():
        run_program(app, PROGRAM, _explain)


def _explain(error: Exception) -> tuple[str, int] | None:
    return (str(error), error.exit_code) if isinstance(error, DaemonError) else None


if __name__ == "__main__":
    main()
