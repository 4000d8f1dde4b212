"""What the four programs have in common: standard streams that may be closed or full, and one line for each failure."""

from __future__ import annotations

import atexit
import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from .named_pipes import is_waiting_pipe

if TYPE_CHECKING:
    from typing import TextIO

__all__ = [
    "Command",
    "Commands",
    "OutputError",
    "Program",
    "one_line",
    "run",
    "stopped_by_signals",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_STANDARD_OUTPUT: Final = 1
_STANDARD_ERROR: Final = 2
_STOP: Final = (signal.SIGTERM, signal.SIGINT)


class OutputError(Exception):
    """Standard output takes no more: its disk is full, or its reader has gone."""


class Command(TyperCommand):
    """A command, which refuses named pipes where it takes files: it would wait for their writer for ever."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        for name in (each.name for each in self.params if each.type.name == "path"):
            value = ctx.params.get(str(name))
            for path in value if isinstance(value, (list, tuple)) else [value]:
                if path is not None and is_waiting_pipe(Path(path)):
                    raise _Refusal(
                        f"{ctx.find_root().command.name}: {path}: a named pipe, expected a file"
                    )
        return super().invoke(ctx)


class Program(typer.Typer):
    """A program with commands.

    Parameters
    ----------
    name
        Its name.

    """

    def __init__(self, name: str) -> None:
        super().__init__(
            name=name,
            cls=Commands,
            no_args_is_help=True,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            pretty_exceptions_enable=False,
            rich_markup_mode=None,  # plain text: rich cuts long help off, and takes long to import
        )

    def command(self, *args: Any, **options: Any) -> Callable[[_Function], _Function]:
        """Add a command."""
        return super().command(*args, cls=Command, **options)


class Commands(TyperGroup):
    """The commands of a program; a wrong environment variable is refused in one line, without the command's usage."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as e:
            if e.ctx is None or e.param is None:
                raise
            source = e.ctx.get_parameter_source(str(e.param.name))
            if source is None or source.name != "ENVIRONMENT":
                raise
            raise _Refusal(f"{self.name}: {e.param.envvar}: {e.message}") from None


class _Refusal(typer.BadParameter):
    """Ends the program with one line."""

    def show(self, file: Any = None) -> None:
        typer.echo(one_line(self.message), file=file, err=file is None)


def one_line(text: object) -> str:
    """Return a text with unprintable characters escaped: a path may hold line breaks, or what a terminal obeys."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def run(
    app: typer.Typer, program: str, explain: Callable[[Exception], tuple[str, int] | None]
) -> NoReturn:
    """Run a program and end the process; every failure that is expected is one line on standard error.

    Parameters
    ----------
    app
        The program.
    program
        Its name, which begins the line.
    explain
        Returns the text of a failure and the exit code, or None for an exception that nobody expects.

    """
    _keep_standard_streams()
    text, code = "", 0
    try:
        app()
    except OutputError as e:
        done = "not all of the result was printed; what was changed stays changed"
        text, code = f"standard output: {e}: {done}", 2
    except Exception as e:
        found = explain(e)
        if found is None:
            raise
        text, code = found
    if text:
        typer.echo(f"{program}: {one_line(text)}", err=True)
    sys.exit(code)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the process at once with exit code 0, and SIGHUP wait for its handler.

    For programs that run until a signal: it may come before they have handlers, when there is nothing to finish yet, or
    after they are done.
    """

    def end(*_: object) -> None:
        os._exit(0)

    def install() -> None:
        for each in _STOP:
            signal.signal(each, end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    before = {number: signal.getsignal(number) for number in (*_STOP, signal.SIGHUP)}
    for each in _STOP:
        signal.signal(each, end)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    atexit.register(install)  # Python's own end takes a while, too
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # drops one that is waiting
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_standard_streams() -> None:
    """Open what the caller closed of descriptors 0 to 2, and replace Python's files on 1 and 2 by ours."""
    # Otherwise the next opened file would get such a number, and what is printed would be written into it.
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= _STANDARD_ERROR:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    # Tests and notebooks have files of their own there.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_StandardOutput(_STANDARD_OUTPUT, "wb", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_StandardError(_STANDARD_ERROR, "wb", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    """Return a text file without a buffer, whose rest nobody could write at the end of the process."""
    errors = "strict" if before is None else before.errors
    return io.TextIOWrapper(
        raw,  # as with `python -u`
        encoding="utf-8" if before is None else before.encoding,
        errors="backslashreplace" if errors == "strict" else errors,
        write_through=True,
    )


class _StandardOutput(io.FileIO):
    """Writes all that it is given, or raises OutputError, which no handler of other files' errors catches."""

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                written = super().write(left)
                if written is None:  # the caller made it non-blocking
                    select.select([], [self], [])
                left = left[written or 0 :]
        except OSError as e:
            raise OutputError(e.strerror) from None
        return size


class _StandardError(io.FileIO):
    """Drops what cannot be written: there is nowhere left to say so, and the exit code still tells."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes
