"""Create a command's options from the fields of `Settings`."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .configuration import PREFIX, Configuration
from .errors import SettingsError
from .settings import ABOUT, DEFAULTS, NAMES, TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .configuration import Origin

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar=PREFIX + "CONFIG",
        metavar="FILE",
        help="TOML file of settings; options and variables override it.",
    ),
]

_ORIGINS: Final[dict[str, Origin]] = {"COMMANDLINE": "flag", "ENVIRONMENT": "env"}


def configured(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each setting, and `--config`, to a command.

    Parameters
    ----------
    names
        The settings; all of them if none is named.

    Returns
    -------
    Callable
        A decorator for a function whose first parameter is the `Configuration`; its other parameters become options
        and arguments as usual.

    """
    chosen = names or NAMES

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @functools.wraps(command)
        def run(*, ctx: typer.Context, config: Path | None, **values: Any) -> None:
            given = {name: values.pop(name) for name in chosen}
            # Only values that the user gave: a default has another source, and must not override the file.
            origins = {
                name: _ORIGINS[source.name]
                for name in chosen
                if (source := ctx.get_parameter_source(name)) and source.name in _ORIGINS
            }
            given = {name: _plain(name, given[name]) for name in origins}
            command(Configuration(file=config, given=given, origins=origins), **values)

        parameters = [
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(_parameter(name) for name in chosen),
            _keyword("config", Config, None),
            _keyword("ctx", typer.Context, inspect.Parameter.empty),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _plain(name: str, value: Any) -> Any:
    """Convert typer's value of a path, or of a table (a list of NAME=REFERENCE)."""
    if TYPES[name] in {Path, Path | None}:
        # An empty variable stays empty, and `check` refuses it: Path("") would be the working directory.
        return Path(value) if value else value
    if TYPES[name] != dict[str, str]:
        return value
    pairs = [text.partition("=") for text in value]
    for text, (key, _, reference) in zip(value, pairs, strict=True):
        if not key or not reference:
            raise SettingsError(f"{name}: {text!r}, expected NAME=REFERENCE")
    return {key: reference for key, _, reference in pairs}


def _parameter(name: str) -> inspect.Parameter:
    """Create the option of a setting; typer reports whether it was given, even with the default value."""
    about, kind, default = ABOUT[name], TYPES[name], DEFAULTS.get(name)
    flag = "--" + name.replace("_", "-")
    flags = [flag, about.flag] if about.flag else [flag]
    if kind is bool:
        flags = [f"{flag}/--no-{flag[2:]}"]
    if kind == dict[str, str]:
        kind, default = list[str], []
    metavar = None
    if kind in {Path, Path | None}:
        kind, metavar = str if kind is Path else str | None, "<path>"
    if name not in DEFAULTS:  # it may be missing here, because the configuration file may have it
        kind |= None
    option = typer.Option(*flags, envvar=PREFIX + name.upper(), metavar=metavar, help=about.help)
    return _keyword(name, Annotated[kind, option], default)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
