"""Combine the sources of settings: options override variables, these the configuration file, and that the defaults."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from enum import EnumType
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..named_pipes import is_waiting_pipe
from .errors import SettingsError
from .settings import NAMES, TYPES, Settings, as_path, check
from .spool.names import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

Origin = Literal["flag", "env", "file", "default"]

PREFIX: Final = "SPIKEWATCHD_"
"""Prefix of the environment variables; the setting's name in capitals follows."""

MAX_FILE_BYTES: Final = 1 << 20
"""Size limit of the configuration file in bytes: a larger file is a wrong path, and is not read to its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effective:
    """Settings, and the origin of each."""

    settings: Settings
    origins: Mapping[str, Origin]

    def as_dict(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return both as plain values for JSON: `{"settings": {name: {"value", "from"}}}`."""
        values = {name: getattr(self.settings, name) for name in NAMES}
        return {
            "settings": {
                name: {
                    "value": str(value) if isinstance(value, Path) else value,
                    "from": self.origins[name],
                }
                for name, value in values.items()
            }
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The sources of a daemon's settings; every `load` reads the file again.

    Attributes
    ----------
    file
        The configuration file, if any.
    given
        Values from options and environment variables, by setting.
    origins
        Which of the two each of them came from.

    """

    file: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def load(self) -> Effective:
        """Read the file and combine all sources.

        Raises
        ------
        SettingsError
            A value is invalid, or the file cannot be read.

        """
        filed = {} if self.file is None else read(self.file)
        values = filed | dict(self.given)
        if "spool" not in values:
            raise SettingsError(
                f"no spool given: use --spool DIR, {PREFIX}SPOOL, or spool in --config"
            )
        origins: dict[str, Origin] = dict.fromkeys(NAMES, "default")
        origins |= dict.fromkeys(filed, "file")
        origins |= self.origins
        return Effective(settings=Settings(**values), origins=origins)


def read(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Returns
    -------
    dict
        Checked values by setting.

    Raises
    ------
    SettingsError
        The file cannot be read, is not TOML, or has an unknown key or an invalid value; the message has the file, the
        key, the value and the limit.

    """
    try:
        if is_waiting_pipe(path):
            raise SettingsError(f"{path}: a named pipe, expected a file")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SettingsError(f"{path}: more than {MAX_FILE_BYTES} bytes")
        document = tomllib.loads(data.decode())
    except OSError as fault:
        raise SettingsError(f"{path}: {fault.strerror}") from None
    except (ValueError, RecursionError) as e:  # not UTF-8, or not TOML
        raise SettingsError(f"{path}: not TOML: {' '.join(str(e).split())}") from None
    try:
        return {name: _value(name, value) for name, value in document.items()}
    except SettingsError as e:  # the messages of `check` do not name the file
        raise SettingsError(f"{path}: {e}") from None


def _value(name: str, value: object) -> object:
    if name not in NAMES:
        raise SettingsError(
            f"{printable(name)}: no such setting; expected one of {', '.join(NAMES)}"
        )
    value = as_path(name, value)
    if isinstance(value, str) and isinstance(TYPES[name], EnumType) and value in set(TYPES[name]):
        value = TYPES[name](value)
    if isinstance(value, int) and not isinstance(value, bool) and TYPES[name] is float:
        # An integer too large for a float stays one, and `check` refuses it by the setting's limit.
        with suppress(OverflowError):
            value = float(value)
    check(name, value)
    return value
