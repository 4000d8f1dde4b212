"""Read and write spike files, and map spike events to lines: IBM's JSON lines (`.sfti`, `.sfci`) and plain text.

A spike event is a row of int64: (tick, core, axon), or (tick, line) in a plain text file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import limits
from ..errors import InputError
from .kinds import HEAD, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from ..image import CoreImage

OFF_CHIP: Final = -32
"""IBM's highest core number off the chip; output line l is axon l % 256 of core OFF_CHIP - l // 256."""

DEFAULT_DELAY: Final = 1
"""Ticks from an input spike's `srcTime` to its arrival at the axon, where the header does not state them."""

MAX_CELLS: Final = 2**28
"""Most cells of a raster made from a file, ticks x lines rounded up to 64s: our own bound on what a file can cost."""

MAX_TICK: Final = 2**31
"""Highest time in a spike file: our own bound."""

_HEADER: Final = {"class", "encoding", "nscsVersion", "version", "defaultDestinationDelay"}
_VERSIONS: Final = ("sfti1.0", "sfto1.0", "sfci1.0")
_SPIKE: Final = ("srcTime", "destCore", "destAxon")


def output_place(line: int) -> tuple[int, int]:
    """Return the (destCore, destAxon) by which IBM's files name an output line."""
    return OFF_CHIP - line // limits.AXONS, line % limits.AXONS


def output_line(core: int, axon: int) -> int:
    """Return the output line of a (destCore, destAxon) off the chip; the inverse of `output_place`."""
    return (OFF_CHIP - core) * limits.AXONS + axon


def read_events(path: Path, *, delivered: bool = True) -> NDArray[np.int64]:
    """Read a spike file of IBM's tools.

    Parameters
    ----------
    path
        JSON lines.
    delivered
        True: ticks are those of arrival at the axon, `srcTime` + `defaultDestinationDelay`, as inputs need them;
        False: ticks are `srcTime`.

    Returns
    -------
    int64 (n, 3)
        (tick, core, axon) in the order of the file.

    Raises
    ------
    InputError
        The file cannot be read, or a line is not a header or a spike; the text names file and line.

    """
    delay = DEFAULT_DELAY
    events: list[tuple[int, int, int]] = []
    for n, text in _lines(path):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{path}, line {n}: not a JSON object") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {n}: not a JSON object")
        if "spike" in record:
            events.append(_event(record, f"{path}, line {n}"))
        elif events:
            raise InputError(f"{path}, line {n}: a header after the first spike")
        else:
            delay = _header(record, f"{path}, line {n}", delay)
    table = np.array(events, dtype=np.int64).reshape(-1, 3)
    if delivered:
        table[:, 0] += delay
    return table


def write_events(path: Path, events: ArrayLike) -> None:
    """Write input spikes (tick, core, axon) as a `.sfti` file, ordered by tick, core and axon, each once.

    Raises
    ------
    InputError
        A spike is at tick 0: the earliest spike of the format has `srcTime` 0 and arrives a tick later.
    OSError
        The file cannot be written.

    """
    table = np.unique(np.asarray(events, dtype=np.int64).reshape(-1, 3), axis=0)
    if len(table) and table[0, 0] < DEFAULT_DELAY:
        raise InputError(
            f"input spike at tick {table[0, 0]}, core {table[0, 1]}, axon {table[0, 2]}:"
            f" spikes of an sfti file arrive at tick {DEFAULT_DELAY} or later"
        )
    table[:, 0] -= DEFAULT_DELAY
    _write(path, "sfti1.0", table)


def write_outputs(path: Path, raster: ArrayLike) -> None:
    """Write output spikes as a `.sfci` file.

    Parameters
    ----------
    path
        The file to write.
    raster
        Spikes on each line in each tick, (ticks, output lines); `srcTime` is the tick in which the neuron fired.

    Raises
    ------
    OSError
        The file cannot be written.

    """
    table = np.asarray(raster)
    tick, line = np.nonzero(table)
    # The format has no counts: several spikes on a line in one tick become as many lines of text.
    tick, line = (np.repeat(column, table[tick, line]) for column in (tick, line))
    places = [output_place(n) for n in line.tolist()]
    rows = [(t, c, a) for t, (c, a) in zip(tick.tolist(), places, strict=True)]
    _write(path, "sfto1.0", np.array(rows, dtype=np.int64).reshape(-1, 3))


def read_outputs(path: Path, ticks: int, lines: int) -> NDArray[np.uint16]:
    """Read a `.sfci` file back into output spikes (ticks, output lines).

    Raises
    ------
    InputError
        The file cannot be read, or holds a spike outside 0..ticks - 1 or on another line.

    """
    raster = np.zeros((ticks, lines), dtype=np.uint16)
    for t, core, axon in read_events(path, delivered=False).tolist():
        line = output_line(core, axon)
        if not (0 <= t < ticks and 0 <= line < lines):
            raise InputError(f"{path}: spike at time {t} to core {core}, axon {axon}: no such line")
        raster[t, line] += 1
    return raster


def read_text(path: Path) -> NDArray[np.int64]:
    """Read a plain text file: one spike `tick line` per line, `#` starts a comment.

    Returns
    -------
    int64 (n, 2)
        (tick, line).

    Raises
    ------
    InputError
        The file cannot be read, or a line is not `tick line`; the text names file and line.

    """
    events = []
    for n, text in _lines(path):
        words = text.partition("#")[0].split()
        if not words:
            continue
        # At most nine digits: no tick or line needs more, and a longer number could overflow int64.
        if len(words) != 2 or not all(w.isdecimal() and len(w) < 10 for w in words):
            raise InputError(f"{path}, line {n}: {text.strip()[:40]!r}, expected `tick line`")
        events.append([int(w) for w in words])
    return np.array(events, dtype=np.int64).reshape(-1, 2)


def write_text(path: Path, raster: ArrayLike) -> None:
    """Write spikes (ticks, lines) as plain text; several spikes on a line in one tick become as many lines of text.

    Raises
    ------
    OSError
        The file cannot be written.

    """
    table = np.asarray(raster)
    tick, line = np.nonzero(table)
    rows = np.repeat(np.stack([tick, line], axis=1), table[tick, line], axis=0)
    body = "".join(f"{t} {k}\n" for t, k in rows.tolist())
    Path(path).write_text(f"# tick line\n{body}", encoding="ascii")


def line_raster(events: NDArray[np.int64], ticks: int, lines: int) -> NDArray[np.uint8]:
    """Return events (tick, line) as a raster 0/1 (ticks, lines), without those at or after `ticks`.

    Raises
    ------
    InputError
        An event is on a line that the image does not have, or the raster would exceed `MAX_CELLS`.

    """
    if len(events) and events[:, 1].max() >= lines:
        raise InputError(f"input spike on line {events[:, 1].max()}, limits 0..{lines - 1}")
    raster = empty_raster(ticks, lines)
    kept = events[events[:, 0] < ticks]
    raster[kept[:, 0], kept[:, 1]] = 1
    return raster


def empty_raster(ticks: int, lines: int) -> NDArray[np.uint8]:
    """Return a raster without spikes, uint8 (ticks, lines).

    Raises
    ------
    InputError
        The raster would exceed `MAX_CELLS`.

    """
    check_cells(ticks, lines, "lines")
    return np.zeros((ticks, lines), dtype=np.uint8)


def check_cells(ticks: int, lines: int, what: str) -> None:
    """Check the size of a raster before it is allocated.

    Raises
    ------
    InputError
        The raster would exceed `MAX_CELLS`.  Lines count in units of 64, the machine words of the simulator's raster.

    """
    padded = max(1, -(-lines // 64)) * 64
    if not 0 <= ticks * padded <= MAX_CELLS:
        raise InputError(
            f"{ticks} ticks x {lines} {what}, limits 0..{MAX_CELLS // padded} ticks for that many lines"
        )


def axon_raster(image: CoreImage, events: NDArray[np.int64], ticks: int) -> NDArray[np.uint8]:
    """Return the input lines that produce spikes given by (tick, core, axon), 0/1 (ticks, input lines).

    A line spikes in the ticks in which all the axons that it drives receive a spike.

    Raises
    ------
    InputError
        No set of lines produces the spikes of a tick, and the text names the first spike that is missing; or the
        raster would exceed `MAX_CELLS`.

    """
    if (events[:, 0] < 0).any():
        raise InputError(f"input spike at tick {events[:, 0].min()}, expected 0 or later")
    raster = empty_raster(ticks, image.input_lines)
    line, core, axon = image.inputs.T
    # Number all axons of all cores, so that events and connections compare as integers.
    place = core.astype(np.int64) * limits.AXONS + axon
    needed = np.bincount(line, minlength=image.input_lines)
    kept = np.unique(events[events[:, 0] < ticks], axis=0)
    bounds = np.searchsorted(kept[:, 0], np.arange(ticks + 1))
    for t in np.unique(kept[:, 0]).tolist():
        spikes = kept[bounds[t] : bounds[t + 1]]
        wanted = spikes[:, 1] * limits.AXONS + spikes[:, 2]
        reached = np.isin(place, wanted)
        # A line can spike only if all of its axons do; then every wanted axon must have such a line.
        full = (np.bincount(line[reached], minlength=len(needed)) == needed) & (needed > 0)
        missing = ~np.isin(wanted, place[full[line]])
        if missing.any():
            _, c, a = spikes[np.argmax(missing)]
            raise InputError(
                f"input spike at tick {t}, core {c}, axon {a}: no input line of the image produces it"
            )
        raster[t] = full
    return raster


def axon_events(image: CoreImage, raster: ArrayLike) -> NDArray[np.int64]:
    """Return the (tick, core, axon) spikes that spikes on input lines produce, int64 (n, 3), each once."""
    spiking = np.asarray(raster, dtype=np.bool_)
    tick, row = np.nonzero(spiking[:, image.inputs[:, 0]])
    events = np.concatenate([tick[:, None], image.inputs[row, 1:]], axis=1).astype(np.int64)
    return np.unique(events, axis=0)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            for n, text in enumerate(file, 1):
                if text.strip():
                    yield n, text
    except OSError as e:
        raise InputError(f"{path}: {e.strerror or e}") from None
    except UnicodeDecodeError:
        with Path(path).open("rb") as raw:
            kind = describe(raw.read(HEAD))
        what = "not UTF-8 text" if kind is None else f"{kind.name}, not spikes (.sfti, .txt)"
        raise InputError(f"{path}: {what}") from None


def _header(record: Mapping[str, Any], where: str, delay: int) -> int:
    """Check a header line; return its delay from `srcTime` to the axon, or `delay` where it states none."""
    unknown = sorted(record.keys() - _HEADER)
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]}")
    if record.get("encoding", "TEXT") != "TEXT":
        raise InputError(f"{where}: encoding {record['encoding']!r}, only TEXT is read")
    if record.get("version", _VERSIONS[0]) not in _VERSIONS:
        raise InputError(f"{where}: version {record['version']!r}, expected {_VERSIONS[0]}")
    value = record.get("defaultDestinationDelay", delay)
    if type(value) is not int or not limits.DELAY_MIN <= value <= limits.DELAY_MAX:
        raise InputError(f"{where}: defaultDestinationDelay {value!r}, limits 1..15")
    return value


def _event(record: Mapping[str, Any], where: str) -> tuple[int, int, int]:
    """Check a spike's line; return (srcTime, destCore, destAxon)."""
    spike = record["spike"]
    if len(record) != 1 or not isinstance(spike, dict):
        raise InputError(f"{where}: not one spike")
    unknown = sorted(spike.keys() - set(_SPIKE))
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]}")
    bounds = ((0, MAX_TICK), (-MAX_TICK, MAX_TICK), (0, limits.AXONS - 1))
    for name, (low, high) in zip(_SPIKE, bounds, strict=True):
        value = spike.get(name)
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"{where}: {name} {value!r}, limits {low}..{high}")
    return spike["srcTime"], spike["destCore"], spike["destAxon"]


def _write(path: Path, version: str, table: NDArray[np.int64]) -> None:
    """Write rows (srcTime, destCore, destAxon) in the layout of IBM's tools, header first."""
    head = [
        '{"class":"SpikeWriter","encoding":"TEXT","nscsVersion":"1.4.0"}\n',
        f'{{"version":"{version}", "defaultDestinationDelay" : {DEFAULT_DELAY}}}\n',
    ]
    body = [
        f'{{"spike":{{"srcTime":{t},"destCore":{c},"destAxon":{a}}}}}\n'
        for t, c, a in table.tolist()
    ]
    Path(path).write_text("".join(head + body), encoding="ascii")
