"""Report progress: by a bar on a terminal, by a line now and then in a pipe, or to a function of the caller."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..command_line import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LINE_S", "OnProgress", "Reporter", "counted", "progress_bar", "silent"]

LINE_S: Final = 10.0
"""Seconds between two lines of progress where standard error is no terminal."""


class OnProgress(Protocol):
    """A function that is called whenever a part of a long step is finished."""

    def __call__(self, *, stage: str, done: int, total: int) -> None:
        """Report that `done` of the `total` parts of a stage are finished."""


def silent(*, stage: str, done: int, total: int) -> None:
    """Ignore the progress."""


def counted(progress: OnProgress, stage: str, total: int) -> Callable[[], None]:
    """Return a function that reports one more of `total` parts of a stage at each call."""
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(stage=stage, done=done, total=total)

    return one_more


class Reporter(Protocol):
    """Shows the progress; `note` shows a line that stays."""

    def __call__(self, *, stage: str, done: int, total: int) -> None:
        """Show that `done` of the `total` parts of a stage are finished."""

    def note(self, line: str) -> None:
        """Show a line, such as the name of the next step."""


class _Lines:
    """Reports to a file: every note, and the progress at most every `LINE_S` seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._last_s = clock()

    def __call__(self, *, stage: str, done: int, total: int) -> None:
        now_s = self._clock()
        if now_s - self._last_s >= LINE_S:
            self._last_s = now_s
            self.note(f"{stage}: {done} of {total}")

    def note(self, line: str) -> None:
        self._console.print(
            one_line(line), markup=False, highlight=False, emoji=False, soft_wrap=True
        )


class _Bar:
    """Reports to a terminal: notes scroll by above a bar, which pulses during steps of unknown length."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, count="")

    def __call__(self, *, stage: str, done: int, total: int) -> None:
        self._bar.update(
            self._task, description=stage, completed=done, total=total, count=f"{done}/{total}"
        )

    def note(self, line: str) -> None:
        self._bar.console.print(
            one_line(line), markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        # a new one, because the total of a task cannot become unknown again
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("", total=None, count="")


@contextmanager
def progress_bar(
    console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Reporter]:
    """Show progress while the block runs; on a terminal the bar is gone afterwards.

    Parameters
    ----------
    console
        Where; None: standard error.
    clock
        Returns seconds, for the lines in a pipe.

    """
    console = console or Console(stderr=True)
    # not console.is_terminal, which FORCE_COLOR sets in a pipe as well
    if not console.file.isatty() or console.is_dumb_terminal:
        yield _Lines(console, clock)
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        yield _Bar(bar)
