"""The command `spikewatchd batch`: a progress bar on a terminal, the inputs that failed, and the totals."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ...command_line import one_line
from ..errors import BatchError
from ..spool.names import printable
from .settings import BatchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .run import BatchProgress


def batch(**given: Any) -> None:
    """Run a batch and print its totals; exit with code 1 if an input has no result.

    Parameters
    ----------
    given
        Fields of `BatchSettings`.

    Raises
    ------
    DaemonError
        See `run.run`.
    typer.Exit
        Code 1: an input has no result.

    """
    settings = BatchSettings(**given)
    try:
        from .run import run  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as e:
        raise BatchError(f"{e.name} is not installed: pip install 'spikewatch[batch]'") from e
    with _progress_bar() as show:
        outcome = run(settings, show)
    for url, failure in outcome.failures:
        text = one_line(f"{failure.code}: {failure.message}")
        sys.stderr.write(f"spikewatchd: {printable(url)}: {text}\n")
    state = outcome.progress
    typer.echo(
        f"{state.inputs - len(outcome.failures)} of {state.inputs} inputs,"
        f" {outcome.questions_ok} of {outcome.questions_ok + outcome.questions_failed} questions,"
        f" {state.parts_done - state.reused} of {state.parts_done} partitions new: {one_line(outcome.manifest)}"
    )
    if outcome.failures:
        raise typer.Exit(code=1)


@contextmanager
def _progress_bar() -> Iterator[Callable[[BatchProgress], None]]:
    """Yield a function that shows the progress; it does nothing unless standard error is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(state: BatchProgress) -> None:
            text = (
                f"{state.inputs_done}/{state.inputs} inputs, {state.parts_done}/{state.parts} partitions,"
                f" {state.questions:,} questions"
            )
            bar.update(task, description=text, completed=state.parts_done, total=state.parts)

        yield show
