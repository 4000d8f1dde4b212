"""Report the progress of a training: by a bar on the terminal, or to a function of the caller."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OnProgress", "progress_bar", "silent"]


class OnProgress(Protocol):
    """A function that `train` calls after every pass over the questions."""

    def __call__(self, *, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` passes are finished, the last one in `stage`."""


def silent(*, stage: str, done: int, total: int) -> None:
    """Ignore the progress."""


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """Show a progress bar on stderr while the block runs, if stderr is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def show(*, stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield show
