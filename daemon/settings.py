"""The daemon's settings: one typed object, checked when it is built.

Every field is a flag (`--scan-s`), a variable (`SPIKEWATCHD_SCAN_S`) and a key of the configuration file (`scan_s`);
its help, its limits and whether it may change while the daemon runs stand here and nowhere else.
"""

from __future__ import annotations

import math
import re
from dataclasses import MISSING, dataclass, field, fields
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints

from .errors import SettingsError
from .files.durable import Durability
from .spool.shards import Shard

DEFAULT_MODEL: Final = "trec:production"
"""The bundled model, used when neither a registry nor a model is named."""

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


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting beside its type.

    Attributes
    ----------
    help
        One line for people.
    least, most
        Limits of a number.
    choices
        What a string may be; empty: anything, or what its own type says.
    fixed
        Whether it stays what it was when the daemon started, whatever a reload says.
    flag
        A second name of its flag.

    """

    help: str
    least: float = -math.inf
    most: float = math.inf
    choices: tuple[str, ...] = ()
    fixed: bool = False
    flag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that decides what a daemon does.

    Raises
    ------
    SettingsError
        A value is of another type or out of range, by its name and limit.

    """

    spool: Annotated[Path, About("Folder of the spool; made if it is absent.", fixed=True)]
    registry: Annotated[
        Path | None, About("Root of the model registry; without it, the bundled one.")
    ] = None
    model: Annotated[str, About("NAME:VERSION, NAME:ALIAS or NAME@sha256:DIGEST.")] = DEFAULT_MODEL
    models: Annotated[
        dict[str, str],
        About("NAME=REFERENCE: in/NAME/ is answered by a model of its own.", flag="--serve"),
    ] = field(default_factory=dict)
    shard: Annotated[
        str, About("I/N: answer one of N shares of the names, beside other daemons.", fixed=True)
    ] = ""
    model_poll_s: Annotated[
        float, About("Seconds between two looks at what the reference means.", 0.01, 3600)
    ] = 2.0
    durability: Annotated[
        Durability, About("What is synced: strict, file or process.", fixed=True)
    ] = Durability.STRICT
    once: Annotated[bool, About("Stop when what was there is answered.", fixed=True)] = False
    log_format: Annotated[
        str,
        About(
            "json, console, or auto: console on a terminal.",
            choices=("json", "console", "auto"),
            fixed=True,
        ),
    ] = "auto"
    log_level: Annotated[
        str,
        About(
            "Least level that is written.",
            choices=("debug", "info", "warning", "error"),
            fixed=True,
        ),
    ] = "info"
    log_file: Annotated[
        Path | None, About("File that gets the log's lines as well, as JSON.", fixed=True)
    ] = None
    log_file_bytes: Annotated[
        int, About("Size at which that file is put aside.", 4096, 1 << 50, fixed=True)
    ] = 64 << 20
    log_file_count: Annotated[int, About("Files put aside that are kept.", 0, 1000, fixed=True)] = 4
    network_fs: Annotated[
        bool,
        About("Take a network file system; scan, without file events and leases.", fixed=True),
    ] = False
    done_marker: Annotated[
        bool, About("Claim NAME only when an empty file NAME.done lies beside it.", fixed=True)
    ] = False
    batch_questions: Annotated[int, About("Questions in one simulator call.", 1, 65536)] = 2048
    group_files: Annotated[
        int, About("Files claimed in one turn, and the most made durable together.", 1, 4096)
    ] = 512
    linger_s: Annotated[float, About("Seconds a finished file waits for others.", 0, 10)] = 0.05
    max_line_bytes: Annotated[
        int, About("Longest line; a longer one fails its file.", 1, 1 << 30)
    ] = 1 << 20
    max_input_bytes: Annotated[
        int, About("Most bytes of one input, decompressed; 0: any number.", 0, 1 << 62)
    ] = 64 << 30
    max_attempts: Annotated[
        int, About("Claims without a result until a file is put aside.", 1, 100)
    ] = 3
    scan_s: Annotated[float, About("Seconds between two scans of the inbox.", 0.01, 3600)] = 1.0
    settle_s: Annotated[
        float,
        About("Seconds without change until a file is complete, without leases.", 0, 3600),
    ] = 1.0
    empty_grace_s: Annotated[
        float, About("Seconds that an empty file is given to fill.", 0, 3600)
    ] = 2.0
    retry_first_s: Annotated[
        float, About("First pause in seconds before work is tried again.", 0.001, 3600)
    ] = 0.25
    retry_last_s: Annotated[float, About("Longest such pause in seconds.", 0.001, 3600)] = 30.0
    min_free_bytes: Annotated[
        int,
        About("Bytes left free in the spool; with less, nothing is claimed; 0: none.", 0, 1 << 62),
    ] = 16 << 20
    min_free_inodes: Annotated[int, About("Inodes left free, likewise.", 0, 1 << 40)] = 256
    min_free_percent: Annotated[
        float,
        About(
            "Share of both left free, at most 1 GiB and 10,000 inodes; the larger counts.", 0, 99
        ),
    ] = 5.0
    ballast_bytes: Annotated[
        int, About("Size of a file in tmp/ that is given up when the disk is full.", 0, 1 << 40)
    ] = 1 << 20
    max_out_files: Annotated[
        int, About("Results in out/ from which on nothing is claimed; 0: no limit.", 0, 10**7)
    ] = 0
    stop_grace_s: Annotated[
        float, About("Seconds to finish what is in hand, when told to stop.", 0, 3600)
    ] = 30.0
    stall_s: Annotated[
        float,
        About(
            "Seconds without a sign of life until a thread counts as hanging.", 5, 3600, fixed=True
        ),
    ] = 120.0
    http: Annotated[
        str,
        About("ADDRESS:PORT of health, status and metrics; empty serves none.", fixed=True),
    ] = ""
    http_public: Annotated[
        bool, About("Allow an address that other machines reach.", fixed=True)
    ] = False

    def __post_init__(self) -> None:
        for name in NAMES:
            check(name, getattr(self, name))
        if self.retry_first_s > self.retry_last_s:
            raise SettingsError(
                f"retry_first_s: {self.retry_first_s:g}, most {self.retry_last_s:g} (retry_last_s)"
            )


NAMES: Final = tuple(each.name for each in fields(Settings))
"""Every setting, in the order in which they are shown."""

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


def check(name: str, value: object) -> None:
    """Hold a value to the type and the limits of its setting.

    Raises
    ------
    SettingsError
        It breaks them; the text has the name, the value and the limit.

    """
    kind, about = TYPES[name], ABOUT[name]
    if isinstance(kind, EnumType) and not isinstance(value, kind):
        raise SettingsError(f"{name}: {value!r}, expected one of {', '.join(kind)}")
    if not _fits(kind, value):
        raise SettingsError(f"{name}: {value!r}, expected {_KINDS[kind]}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not value >= about.least:
            raise SettingsError(f"{name}: {value}, least {about.least}")
        if not value <= about.most:
            raise SettingsError(f"{name}: {value}, most {about.most}")
    if name == "models":
        _check_lanes(value)
    if name == "shard" and isinstance(value, str):
        Shard.parse(value)
    if about.choices and value not in about.choices:
        raise SettingsError(f"{name}: {value!r}, expected one of {', '.join(about.choices)}")


def _check_lanes(models: Any) -> None:
    if len(models) > _MOST_LANES:
        raise SettingsError(f"models: {len(models)} names, most {_MOST_LANES}")
    for lane in models:
        if not _LANE.fullmatch(lane):
            raise SettingsError(
                f"models: {lane!r}, expected up to 64 letters, digits, - and _, a letter or digit first"
            )


def _fits(kind: Any, value: object) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == dict[str, str]:
        return isinstance(value, dict) and all(
            isinstance(text, str) for pair in value.items() for text in pair
        )
    return isinstance(value, kind)
