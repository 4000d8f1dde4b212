"""The daemon's settings: one typed object, checked when it is built.

Every field is an option (`--scan-s`), an environment variable (`SPIKEWATCHD_SCAN_S`) and a key of the configuration
file (`scan_s`).  Its help, its limits and whether a reload can change it are defined here and nowhere else.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import MISSING, dataclass, field, fields
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints

from .errors import SettingsError
from .files.durable import Durability
from .spool.shards import Shard

DEFAULT_MODEL: Final = "trec:production"
"""The bundled model, used by default."""

_KINDS: Final[dict[Any, str]] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    Path | None: "a path",
    dict[str, str]: "a table of names and references",
}
_LANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_LANES: Final = 64
_HEADER_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class About:
    """The facts about a setting that its type does not state.

    Attributes
    ----------
    help
        One line for the user.
    least, most
        Limits of a number, inclusive.
    choices
        The allowed values of a string; empty if its type alone decides.
    fixed
        Whether only a restart can change it; a reload then reports and ignores a new value.
    flag
        A second name of its option.

    """

    help: str
    least: float = -math.inf
    most: float = math.inf
    choices: tuple[str, ...] = ()
    fixed: bool = False
    flag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Settings:
    """All settings of a daemon.  A path may be given as a string; it is converted.

    Raises
    ------
    SettingsError
        A value has a wrong type or is out of range; the message has the setting's name, the value and the limit.

    """

    spool: Annotated[
        Path, About("Folder of the spool; `run` creates it if it does not exist.", fixed=True)
    ]
    registry: Annotated[
        Path | None, About("Root of the model registry; default: the bundled registry.")
    ] = None
    model: Annotated[str, About("NAME:VERSION, NAME:ALIAS or NAME@sha256:DIGEST.")] = DEFAULT_MODEL
    models: Annotated[
        dict[str, str],
        About("NAME=REFERENCE: answer the files in in/NAME/ with this model.", flag="--serve"),
    ] = field(default_factory=dict)
    shard: Annotated[
        str,
        About(
            "I/N: answer share I of N of the file names; other daemons answer the rest.", fixed=True
        ),
    ] = ""
    model_poll_s: Annotated[
        float, About("Seconds between two checks which model the reference points to.", 0.01, 3600)
    ] = 2.0
    durability: Annotated[
        Durability, About("What is synced to the disk: strict, file or process.", fixed=True)
    ] = Durability.STRICT
    once: Annotated[
        bool, About("Stop when all files that were there are answered.", fixed=True)
    ] = False
    log_format: Annotated[
        str,
        About(
            "json, console, or auto: console on a terminal, else json.",
            choices=("json", "console", "auto"),
            fixed=True,
        ),
    ] = "auto"
    log_level: Annotated[
        str,
        About(
            "Lowest level that is written.",
            choices=("debug", "info", "warning", "error"),
            fixed=True,
        ),
    ] = "info"
    log_file: Annotated[
        Path | None, About("File to which the log is written as well, as JSON lines.", fixed=True)
    ] = None
    log_file_bytes: Annotated[
        int, About("Size in bytes at which that file is rotated.", 4096, 1 << 50, fixed=True)
    ] = 64 << 20
    log_file_count: Annotated[
        int, About("Number of rotated files to keep.", 0, 1000, fixed=True)
    ] = 4
    network_fs: Annotated[
        bool,
        About("Accept a network file system; scan it, without file events and leases.", fixed=True),
    ] = False
    done_marker: Annotated[
        bool, About("Claim NAME only when there is an empty file NAME.done next to it.", fixed=True)
    ] = False
    batch_questions: Annotated[int, About("Questions in one call of the simulator.", 1, 65536)] = (
        2048
    )
    group_files: Annotated[
        int, About("Most files claimed in one turn, and most committed together.", 1, 4096)
    ] = 512
    linger_s: Annotated[
        float,
        About("Seconds that a finished file waits for others, to be committed together.", 0, 10),
    ] = 0.05
    max_line_bytes: Annotated[
        int, About("Longest line in bytes; a file with a longer one fails.", 1, 1 << 30)
    ] = 1 << 20
    max_input_bytes: Annotated[
        int,
        About(
            "Most bytes of one input, as it is and after decompression; 0: no limit.", 0, 1 << 62
        ),
    ] = 64 << 30
    encoding: Annotated[
        str, About("Encoding of inputs without a byte order mark, such as cp1252.")
    ] = "utf-8"
    text_field: Annotated[
        str, About("Column or key of a question's text; default: the known names, text first.")
    ] = ""
    id_field: Annotated[
        str, About("Column or key of a question's id; default: the known names, id first.")
    ] = ""
    max_attempts: Annotated[
        int, About("Claims without a result after which a file is quarantined.", 1, 100)
    ] = 3
    scan_s: Annotated[float, About("Seconds between two scans of the inbox.", 0.01, 3600)] = 1.0
    settle_s: Annotated[
        float,
        About(
            "Seconds without a change after which a file is complete, where leases do not work.",
            0,
            3600,
        ),
    ] = 1.0
    empty_grace_s: Annotated[float, About("Seconds after which an empty file fails.", 0, 3600)] = (
        2.0
    )
    unknown_suffix_wait_s: Annotated[
        float,
        About(
            "Seconds to wait for a file of unknown suffix to be renamed before it fails.", 0, 3600
        ),
    ] = 10.0
    retry_first_s: Annotated[
        float, About("First back-off in seconds after a fault of the machine.", 0.001, 3600)
    ] = 0.25
    retry_last_s: Annotated[float, About("Longest back-off in seconds.", 0.001, 3600)] = 30.0
    min_free_bytes: Annotated[
        int,
        About("Bytes to leave free; with less, nothing is claimed; 0: no such limit.", 0, 1 << 62),
    ] = 16 << 20
    min_free_inodes: Annotated[
        int,
        About("Inodes to leave free; with less, nothing is claimed; 0: no such limit.", 0, 1 << 40),
    ] = 256
    min_free_percent: Annotated[
        float,
        About(
            "Percentage of both to leave free, capped at 1 GiB and 10,000 inodes; the larger limit counts.",
            0,
            99,
        ),
    ] = 5.0
    ballast_bytes: Annotated[
        int,
        About(
            "Size in bytes of a file in tmp/ that is removed when the disk is full; 0: none.",
            0,
            1 << 40,
        ),
    ] = 1 << 20
    max_out_files: Annotated[
        int, About("Number of results in out/ at which claiming stops; 0: no limit.", 0, 10**7)
    ] = 0
    stop_grace_s: Annotated[
        float, About("Seconds to finish the work in progress after a signal to stop.", 0, 3600)
    ] = 30.0
    stall_s: Annotated[
        float,
        About(
            "Seconds without a heartbeat after which a thread counts as hanging.",
            5,
            3600,
            fixed=True,
        ),
    ] = 120.0
    http: Annotated[
        str,
        About("ADDRESS:PORT to serve health, status and metrics; empty: not served.", fixed=True),
    ] = ""
    http_public: Annotated[
        bool, About("Allow an address that other machines can reach.", fixed=True)
    ] = False

    def __post_init__(self) -> None:
        for name in NAMES:
            value = as_path(name, getattr(self, name))
            check(name, value)
            object.__setattr__(self, name, value)  # a plain assignment fails: the class is frozen
        if self.retry_first_s > self.retry_last_s:
            raise SettingsError(
                f"retry_first_s: {self.retry_first_s:g}, expected at most {self.retry_last_s:g} (retry_last_s)"
            )

    @property
    def most_file_bytes(self) -> int:
        """Most bytes that are read of an input's file: `max_input_bytes`, and what compression may add to these."""
        most = self.max_input_bytes
        # Bytes that cannot be compressed grow: by 0.5 % in bzip2, least in the others; names and headers come on top.
        return most + most // 64 + _HEADER_BYTES if most else sys.maxsize

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in NAMES}
        changed = (
            f"{name}={value!r}"
            for name, value in values.items()
            if name not in DEFAULTS or value != DEFAULTS[name]
        )
        return f"Settings({', '.join(changed)})"


NAMES: Final = tuple(each.name for each in fields(Settings))
"""Names of all settings, in the order in which they are shown."""

TYPES: Final[dict[str, Any]] = get_type_hints(Settings)

ABOUT: Final[dict[str, About]] = {
    name: get_args(annotated)[1]
    for name, annotated in get_type_hints(Settings, include_extras=True).items()
}

DEFAULTS: Final[dict[str, Any]] = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory()
    for each in fields(Settings)
    if each.default is not MISSING or each.default_factory is not MISSING
}


def as_path(name: str, value: object) -> object:
    """Convert a string to a path if the setting is one; an empty string stays, and `check` then refuses it."""
    if isinstance(value, str) and value and TYPES[name] in {Path, Path | None}:
        return Path(value)
    return value


def check(name: str, value: object) -> None:
    """Check a value against the type and the limits of its setting.

    Raises
    ------
    SettingsError
        It does not fit; the message has the setting's name, the value and the limit.

    """
    kind, about = TYPES[name], ABOUT[name]
    if isinstance(kind, EnumType) and not isinstance(value, kind):
        raise SettingsError(f"{name}: {value!r}, expected one of {', '.join(kind)}")
    if not _fits(kind, value):
        raise SettingsError(f"{name}: {_shown(value)}, expected {_KINDS[kind]}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        # `not >=` rather than `<`: NaN fails every comparison, and must be refused.
        if not value >= about.least:
            raise SettingsError(f"{name}: {value}, expected at least {about.least}")
        if not value <= about.most:
            raise SettingsError(f"{name}: {value}, expected at most {about.most}")
    if name == "models":
        _check_lanes(value)
    if name == "encoding":
        _check_encoding(str(value))
    if name == "shard" and isinstance(value, str):
        Shard.parse(value)
    if about.choices and value not in about.choices:
        raise SettingsError(f"{name}: {value!r}, expected one of {', '.join(about.choices)}")


def _shown(value: object) -> str:
    return f"{str(value)!r} with a NUL" if isinstance(value, Path) else repr(value)


def _check_encoding(name: str) -> None:
    if name == DEFAULTS["encoding"]:
        return
    from ..simcore.question_files.options import checked_encoding  # noqa: PLC0415 - imports the simulator

    try:
        checked_encoding(name)
    except ValueError as e:
        raise SettingsError(f"encoding: {e}") from None


def _check_lanes(models: Any) -> None:
    if len(models) > _MOST_LANES:
        raise SettingsError(f"models: {len(models)} names, expected at most {_MOST_LANES}")
    for lane in models:
        if not _LANE.fullmatch(lane):
            raise SettingsError(
                f"models: {lane!r}, expected up to 64 letters, digits, - and _, a letter or digit first"
            )


def _fits(kind: Any, value: object) -> bool:
    # A bool is an int in Python, but not a number in a configuration file.
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == dict[str, str]:
        return isinstance(value, dict) and all(
            isinstance(text, str) for pair in value.items() for text in pair
        )
    # No file system takes NUL, and Python's calls raise a ValueError for it.
    return isinstance(value, kind) and not (isinstance(value, Path) and "\0" in str(value))
