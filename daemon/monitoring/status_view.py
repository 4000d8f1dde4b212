"""A daemon's status on the terminal: `spikewatchd status` prints it once, `--watch` refreshes it."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..errors import DaemonError
from .status import status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from .status import Status

PERIOD_S: Final = 1.0
"""Period in seconds of a refresh; the daemon writes its status no more often."""

SILENT_S: Final = 15.0
"""Age in seconds from which a status file shows that the daemon fails to write it (it does so every 10 s at least)."""

SAMPLES: Final = 20
"""Number of bars in the history of the rate, which fit on 80 columns."""

NAME: Final = 24
"""Number of characters of a file's name in the list of errors."""

SPIKES: Final = ("input", "hidden", "output")

_BARS: Final = " ▁▂▃▄▅▆▇█"
_STYLES: Final = {"ready": "green", "starting": "yellow", "stopping": "yellow", "degraded": "red"}
_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class History:
    """Answered inputs per second, for each refresh so far."""

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=SAMPLES)
        self._last: tuple[float, int] | None = None

    def add(self, document: Mapping[str, Any], now_s: float) -> None:
        """Add the rate since the last refresh; the count of a restarted daemon begins at 0."""
        done = document["files"]["done"]
        if self._last is not None and now_s > self._last[0]:
            at, before = self._last
            self._rates.append(max(done - before, 0) / (now_s - at))
        self._last = now_s, done

    def bars(self) -> str:
        """Draw the rates as bars; empty if all are zero."""
        most = max(self._rates, default=0.0)
        if most == 0.0:
            return ""
        steps = len(_BARS) - 1
        return "".join(_BARS[min(round(rate / most * steps), steps)] for rate in self._rates)


def watch(path: Path, console: Console) -> None:
    """Show the status of a spool's daemon until the user interrupts it (SIGINT).

    Raises
    ------
    DaemonError
        Standard output is not a terminal, or there is no spool at this path.

    """
    if not console.is_terminal:
        raise DaemonError("status --watch: standard output is not a terminal; omit --watch")
    history = History()

    def look() -> RenderableType:
        now = time.time()
        found = status(path, now_s=now, folders=())
        if found.daemon is None:  # with a daemon, its status document has the counts
            found = status(path, now_s=now, folders=("in", "work"))
        else:
            history.add(found.daemon, now)
        return view(found, now_s=now, history=history)

    try:
        with Live(look(), console=console, auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(PERIOD_S)
                live.update(look(), refresh=True)
    except KeyboardInterrupt:
        return


def view(found: Status, *, now_s: float, history: History | None = None) -> RenderableType:
    """Draw a spool and its daemon.

    Parameters
    ----------
    found
        The status of the spool.
    now_s
        Wall time against which ages are computed.
    history
        History of the rate, if any.

    """
    document = found.daemon
    if document is None:
        return _without_document(found)
    parts: list[RenderableType] = [_head(found, document, now_s)]
    problems = [*document["problems"]]
    age = _age_s(document["written"], now_s)
    if age is not None and age > SILENT_S:
        problems.insert(0, f"the daemon has not written its status for {_duration(age)}")
    if problems:
        text = Text("\n").join(Text(problem) for problem in problems)
        parts.append(_panel("Problems", text, style="red"))
    boxes = Table.grid(expand=True)
    boxes.add_column(ratio=1)
    boxes.add_column(ratio=1)
    boxes.add_row(_work(document, now_s), _rates(document, history, now_s))
    boxes.add_row(_chip(document), _machine(document))
    parts.append(boxes)
    if document["errors"]:
        parts.append(_errors(document["errors"]))
    return Group(*parts)


def _without_document(found: Status) -> RenderableType:
    counts = ", ".join(f"{folder.files} in {name}/" for name, folder in found.folders.items())
    daemon = (
        "no daemon" if found.holder_pid is None else "a daemon that has not written its status yet"
    )
    return Text(f"{found.spool}: {daemon}; {counts}")


def _head(found: Status, document: Mapping[str, Any], now_s: float) -> RenderableType:
    state, up = document["state"], _age_s(document["started"], now_s)
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(no_wrap=True, justify="right")
    style = _STYLES.get(state, "red")
    line.add_row(
        Text(f"● {state}", style=f"bold {style}"),
        Text(found.spool, style="bold"),
        Text(f"process {document['pid']}, up {_duration(up)}", style="dim"),
    )
    models = Table.grid(padding=(0, 1))
    models.add_column(style="dim", no_wrap=True)
    models.add_column(no_wrap=True, overflow="ellipsis")
    for lane, pin in document["models"].items():  # a pin is name:version@sha256:digest
        name, _, digest = pin.partition("@sha256:")
        models.add_row(f"in/{lane}", f"{name} ({digest[:12]})")
    return Group(line, models)


def _work(document: Mapping[str, Any], now_s: float) -> RenderableType:
    oldest = _age_s(document["inbox"]["oldest"], now_s)
    files, questions = document["files"], document["questions"]
    return _box(
        "Inputs",
        [
            ("waiting", _count(document["inbox"]["files"])),
            ("oldest", _duration(oldest)),
            ("in progress", _count(document["work"]["files"])),
            ("stuck", _count(document.get("stuck", {}).get("files"))),
            ("answered", _count(files["done"])),
            ("questions", _count(questions["ok"])),
            ("failed", _count(files["failed"])),
            ("duplicates", _count(files["duplicate"])),
        ],
    )


def _rates(document: Mapping[str, Any], history: History | None, now_s: float) -> RenderableType:
    recent = document["recent"]
    last = _age_s(document["last_success"], now_s)
    latency = recent["latency_ms"]
    return _box(
        f"Last {recent['window_s']} s",
        [
            ("inputs", f"{_number(recent['files_per_s'])}/s"),
            ("", "" if history is None else history.bars()),
            ("questions", f"{_number(recent['questions_per_s'])}/s"),
            ("latency p50", _milliseconds(latency["p50"])),
            ("p90", _milliseconds(latency["p90"])),
            ("p99", _milliseconds(latency["p99"])),
            ("last answer", "-" if last is None else f"{_duration(last)} ago"),
        ],
    )


def _chip(document: Mapping[str, Any]) -> RenderableType:
    spikes, power, energy = document["spikes"], document["power_uw"], document["energy_uj"]
    return _box(
        "Chip (estimates)",
        [
            *((f"{layer} spikes", _number(spikes.get(layer))) for layer in SPIKES),
            ("synaptic events", _number(document["synaptic_events"])),
            ("power", _both(power, 1e-6, "W")),
            ("energy", _both(energy, 1e-6, "J")),
        ],
    )


def _machine(document: Mapping[str, Any]) -> RenderableType:
    disk, watched = document["disk"], document["watch"]
    return _box(
        "Machine",
        [
            ("free space", f"{_number(disk['free_bytes'])}B"),
            ("free inodes", _number(disk["free_inodes"])),
            ("missed events", _count(watched["missed"])),
            ("watch restarts", _count(watched["restarts"])),
            ("lost log lines", _count(document["log_lines_lost"])),
            ("http", document["http"] or "not served"),
        ],
    )


def _errors(errors: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for error in errors[-5:]:
        at = datetime.fromisoformat(error["timestamp"]).astimezone()
        parts = (
            _shortened(error.get("file", "")),
            error.get("code"),
            error.get("message") or error.get("reason"),
        )
        style = "red" if error["level"] == "error" else "yellow"
        text = ": ".join(str(part) for part in parts if part)
        table.add_row(f"{at:%H:%M:%S}", Text(error["event"], style=style), text)
    return _panel("Last warnings and errors", table)


def _box(title: str, rows: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True, width=15)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for name, value in rows:
        table.add_row(name, Text(value))
    return _panel(title, table)


def _panel(title: str, inside: RenderableType, *, style: str = "none") -> RenderableType:
    return Panel(inside, title=title, title_align="left", box=box.ROUNDED, border_style=style)


def _shortened(name: str) -> str:
    """Shorten a long name in the middle: its end, with a number or a date, distinguishes it best."""
    return name if len(name) <= NAME else f"{name[: NAME // 2 - 1]}…{name[-NAME // 2 :]}"


def _age_s(moment: str | None, now_s: float) -> float | None:
    return None if moment is None else max(now_s - datetime.fromisoformat(moment).timestamp(), 0.0)


def _duration(seconds: float | None) -> str:
    """Format a duration in its two largest units."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    for size, unit, part, smaller in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _number(value: float | None) -> str:
    """Format a number with three digits and the SI prefix of its unit."""
    if value is None:
        return "-"
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def _both(values: Mapping[str, float], factor: float, unit: str) -> str:
    """Format the estimates of both methods."""
    found = [_small(value * factor, unit) for value in values.values()]
    return " / ".join(found) or "-"


def _small(value: float, unit: str) -> str:
    for size, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "u")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value / 1e-9:.3g} n{unit}"
